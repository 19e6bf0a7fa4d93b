// Package rawjson reads JSON texts (RFC 8259) without decoding them: it checks a text once,
// strictly, and then finds its way about in the bytes. So what is passed on is what came:
// numbers keep every digit, members their order, strings their escapes.
package rawjson

import (
	"bytes"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/field"
)

// MaxDepth is how deep arrays and objects may lie in one another.
const MaxDepth = 512

// A SyntaxError says where a text stops being one that [Check] takes.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("JSON, at byte %d: %s", e.Offset, e.Reason) }

// Check returns b without the white space around it if it is one JSON text, and otherwise
// a [*SyntaxError]. Beyond the grammar it refuses what two parsers can read differently:
// invalid UTF-8, a byte order mark, an escape that is half of a surrogate pair, a name
// that an object has twice; and nesting of more than [MaxDepth]. All other functions of the
// package are for what Check has returned, or parts of it.
func Check(b []byte) ([]byte, error) {
	c := checkers.Get().(*checker)
	c.b = b
	err := c.text()
	c.b = nil
	c.names = c.names[:0]
	checkers.Put(c)
	if err != nil {
		return nil, err
	}
	return bytes.Trim(b, space), nil
}

const space = " \t\r\n"

// checker reads b. Its methods take where to begin, and return where they have ended: an
// index that is passed on stays in a register, and this is what an aggregate does most.
type checker struct {
	b     []byte
	names []span // of the members of all objects that are open
}

// span is a name: b[from:to], between its quotes.
type span struct {
	from, to int
	escaped  bool
}

var checkers = sync.Pool{New: func() any { return new(checker) }}

func fail(i int, reason string) (int, error) { return i, &SyntaxError{i, reason} }

func (c *checker) text() error {
	if bytes.HasPrefix(c.b, []byte("\xef\xbb\xbf")) {
		return &SyntaxError{0, "a byte order mark"}
	}
	i := c.skip(0)
	if i == len(c.b) {
		return &SyntaxError{i, "there is nothing"}
	}
	i, err := c.value(i, 0)
	if err != nil {
		return err
	}
	if i = c.skip(i); i < len(c.b) {
		return &SyntaxError{i, "something follows the value"}
	}
	return nil
}

// skip returns where white space ends that may begin at i.
func (c *checker) skip(i int) int {
	b := c.b
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// at returns the byte at i; 0, which no token begins with, at the end.
func (c *checker) at(i int) byte {
	if i < len(c.b) {
		return c.b[i]
	}
	return 0
}

func (c *checker) value(i, depth int) (int, error) {
	switch ch := c.at(i); ch {
	case '"':
		end, _, err := c.str(i)
		return end, err
	case '{', '[':
		if depth == MaxDepth {
			return fail(i, "it is nested too deep")
		}
		if ch == '{' {
			return c.object(i, depth+1)
		}
		return c.array(i, depth+1)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return c.number(i)
	case 't':
		return c.word(i, "true")
	case 'f':
		return c.word(i, "false")
	case 'n':
		return c.word(i, "null")
	}
	return fail(i, "a value is missing")
}

func (c *checker) word(i int, w string) (int, error) {
	if len(c.b)-i < len(w) || string(c.b[i:i+len(w)]) != w {
		return fail(i, "a value is missing")
	}
	return i + len(w), nil
}

func (c *checker) array(i, depth int) (int, error) {
	i = c.skip(i + 1)
	if c.at(i) == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = c.value(i, depth); err != nil {
			return i, err
		}
		i = c.skip(i)
		switch c.at(i) {
		case ',':
			i = c.skip(i + 1)
		case ']':
			return i + 1, nil
		default:
			return fail(i, "a comma or the array's end is missing")
		}
	}
}

func (c *checker) object(i, depth int) (int, error) {
	i = c.skip(i + 1)
	if c.at(i) == '}' {
		return i + 1, nil
	}
	k := known{base: len(c.names)}
	for {
		if c.at(i) != '"' {
			return fail(i, "a name is missing")
		}
		end, name, err := c.str(i)
		if err != nil {
			return end, err
		}
		if c.given(name, &k) {
			return fail(end, "a name is given twice")
		}
		if i = c.skip(end); c.at(i) != ':' {
			return fail(i, "a colon is missing")
		}
		if i, err = c.value(c.skip(i+1), depth); err != nil {
			return i, err
		}
		i = c.skip(i)
		switch c.at(i) {
		case ',':
			i = c.skip(i + 1)
		case '}':
			c.names = c.names[:k.base]
			return i + 1, nil
		default:
			return fail(i, "a comma or the object's end is missing")
		}
	}
}

// fewNames are compared one by one: quicker than a map, and not yet quadratic.
const fewNames = 16

// known is what an object has of names, so as to find those that it has twice.
type known struct {
	base    int                 // where they begin in the checker's
	signs   uint64              // a bit for each: one that is not there is new
	escaped bool                // there are names that are not written as they are
	many    map[string]struct{} // the names, once they are too many to compare one by one
}

// given reports whether the object has the name already, and adds it.
func (c *checker) given(name span, k *known) bool {
	k.escaped = k.escaped || name.escaped
	names := c.names[k.base:]
	if len(names) >= fewNames {
		return c.givenOfMany(name, k)
	}
	sign := uint64(1)
	if name.to > name.from {
		sign <<= (c.b[name.from] ^ c.b[name.to-1]<<3 ^ byte(name.to-name.from)) & 63
	}
	if k.signs&sign != 0 || k.escaped {
		for _, other := range names {
			if c.same(name, other) {
				return true
			}
		}
	}
	k.signs |= sign
	c.names = append(c.names, name)
	return false
}

func (c *checker) givenOfMany(name span, k *known) bool {
	if k.many == nil {
		k.many = make(map[string]struct{}, 2*fewNames)
		for _, other := range c.names[k.base:] {
			k.many[c.plain(other)] = struct{}{}
		}
	}
	before := len(k.many)
	k.many[c.plain(name)] = struct{}{}
	return len(k.many) == before
}

func (c *checker) same(a, b span) bool {
	if !a.escaped && !b.escaped {
		return bytes.Equal(c.b[a.from:a.to], c.b[b.from:b.to])
	}
	return c.plain(a) == c.plain(b)
}

func (c *checker) plain(s span) string {
	if !s.escaped {
		return string(c.b[s.from:s.to])
	}
	return unescape(c.b[s.from:s.to])
}

// str reads a string and returns where its content is, too.
func (c *checker) str(i int) (int, span, error) {
	b := c.b
	i++
	s := span{from: i}
	for {
		for i < len(b) && ordinary[b[i]] {
			i++
		}
		if i == len(b) {
			end, err := fail(i, "a string does not end")
			return end, s, err
		}
		var err error
		switch ch := b[i]; {
		case ch == '"':
			s.to = i
			return i + 1, s, nil
		case ch == '\\':
			s.escaped = true
			i, err = c.escape(i)
		case ch < 0x20:
			i, err = fail(i, "a control character in a string")
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				i, err = fail(i, "invalid UTF-8")
			}
			i += n
		}
		if err != nil {
			return i, s, err
		}
	}
}

// ordinary are the bytes that stand for themselves in a string.
var ordinary = func() (t [256]bool) {
	for ch := 0x20; ch < utf8.RuneSelf; ch++ {
		t[ch] = ch != '"' && ch != '\\'
	}
	return t
}()

func (c *checker) escape(i int) (int, error) {
	if i+1 >= len(c.b) {
		return fail(i, "a string does not end")
	}
	switch c.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
	default:
		return fail(i, "an unknown escape")
	}
	r, ok := hex4(c.b[i:])
	switch {
	case !ok:
		return fail(i, "an unknown escape")
	case r < 0xd800 || r > 0xdfff:
		return i + 6, nil
	}
	low, ok := hex4(c.b[i+6:])
	if r > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return fail(i, "half of a surrogate pair")
	}
	return i + 12, nil
}

// hex4 returns the number in an escape \uXXXX that b begins with.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, ch := range b[2:6] {
		digit := field.Hex(ch)
		if digit < 0 {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

func (c *checker) number(i int) (int, error) {
	if c.b[i] == '-' {
		i++
	}
	switch ch := c.at(i); {
	case ch == '0':
		i++
	case '1' <= ch && ch <= '9':
		i = c.digits(i)
	default:
		return fail(i, "a digit is missing")
	}
	if c.at(i) == '.' {
		end := c.digits(i + 1)
		if end == i+1 {
			return fail(end, "a digit is missing")
		}
		i = end
	}
	if ch := c.at(i); ch == 'e' || ch == 'E' {
		i++
		if ch := c.at(i); ch == '+' || ch == '-' {
			i++
		}
		end := c.digits(i)
		if end == i {
			return fail(end, "a digit is missing")
		}
		i = end
	}
	return i, nil
}

// digits returns where those end that may begin at i.
func (c *checker) digits(i int) int {
	b := c.b
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}
