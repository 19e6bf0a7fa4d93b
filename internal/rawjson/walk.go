package rawjson

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a value is, by its first byte.
type Kind byte

// The kinds of values.
const (
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0'
	Bool   Kind = 't'
	Null   Kind = 'n'
)

// KindOf returns what v is.
func KindOf(v []byte) Kind {
	switch v[0] {
	case '{', '[', '"', 'n':
		return Kind(v[0])
	case 't', 'f':
		return Bool
	}
	return Number
}

// Members yields the members of an object in their order: the name as it stands, with its
// quotes, and the value.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for i := spaces(object, 1); object[i] != '}'; {
			end := valueEnd(object, i)
			name := object[i:end:end]
			i = spaces(object, spaces(object, end)+1) // behind the colon
			end = valueEnd(object, i)
			if !yield(name, object[i:end:end]) {
				return
			}
			i = spaces(object, end)
			if object[i] == ',' {
				i = spaces(object, i+1)
			}
		}
	}
}

// Elements yields the elements of an array.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := spaces(array, 1); array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = spaces(array, end)
			if array[i] == ',' {
				i = spaces(array, i+1)
			}
		}
	}
}

func spaces(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r' {
		i++
	}
	return i
}

// End returns where the value ends that begins at b[i], for whoever reads b once and from
// the front.
func End(b []byte, i int) int { return valueEnd(b, i) }

// Space returns where white space ends that may begin at b[i].
func Space(b []byte, i int) int { return spaces(b, i) }

// valueEnd returns where the value ends that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		depth := 0
		for {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

func stringEnd(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		n := i // the quote is escaped if an odd number of backslashes is before it
		for b[n-1] == '\\' {
			n--
		}
		if (i-n)%2 == 0 {
			return i + 1
		}
	}
}

// Path is the way to a value in a text: names of members, and indices of elements.
type Path []string

// ParsePath returns the path that s writes, with dots between its steps; an empty s is the
// whole text.
func ParsePath(s string) Path {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

func (p Path) String() string { return strings.Join(p, ".") }

// Get returns the value at the end of path, or nil if there is none.
func Get(v []byte, path Path) []byte {
	for _, step := range path {
		switch KindOf(v) {
		case Object:
			v = Member(v, step)
		case Array:
			v = element(v, step)
		default:
			return nil
		}
		if v == nil {
			return nil
		}
	}
	return v
}

// Member returns the value of the object's member of that name, or nil.
func Member(object []byte, name string) []byte {
	for raw, v := range Members(object) {
		if Is(raw, name) {
			return v
		}
	}
	return nil
}

func element(array []byte, step string) []byte {
	n, err := strconv.ParseUint(step, 10, 31)
	if err != nil {
		return nil
	}
	for v := range Elements(array) {
		if n == 0 {
			return v
		}
		n--
	}
	return nil
}

// Is reports whether raw, a string with its quotes, says s.
func Is(raw []byte, s string) bool {
	content := raw[1 : len(raw)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return string(content) == s
	}
	return unescape(content) == s
}

// Text returns what a string says.
func Text(raw []byte) string {
	content := raw[1 : len(raw)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return string(content)
	}
	return unescape(content)
}

// unescape returns what stands between the quotes of a string says.
func unescape(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		switch b[i+1] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(b[i:])
			if low, ok := hex4(b[i+6:]); ok && utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
			i += 4
		default:
			out = append(out, b[i+1])
		}
		i += 2
	}
	return string(out)
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a string with its quotes. What is not UTF-8 becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch == '\n':
			b = append(b, `\n`...)
		case ch == '\r':
			b = append(b, `\r`...)
		case ch == '\t':
			b = append(b, `\t`...)
		case ch < 0x20 || ch == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
		case ch < utf8.RuneSelf:
			b = append(b, ch)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}
