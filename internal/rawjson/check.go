// Package rawjson reads JSON texts (RFC 8259) without decoding them: it checks a text once,
// strictly, and then finds its way about in the bytes. So what is passed on is what came:
// numbers keep every digit, members their order, strings their escapes.
package rawjson

import (
	"bytes"
	"fmt"
	"sync"
	"unicode/utf8"
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
	c.b, c.i = b, 0
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

// checker reads b from i on.
type checker struct {
	b     []byte
	i     int
	names []span // of the members of all objects that are open
}

// span is a name: b[from:to], between its quotes.
type span struct {
	from, to int
	escaped  bool
}

var checkers = sync.Pool{New: func() any { return new(checker) }}

func (c *checker) fail(reason string) error { return &SyntaxError{c.i, reason} }

func (c *checker) text() error {
	if bytes.HasPrefix(c.b, []byte("\xef\xbb\xbf")) {
		return c.fail("a byte order mark")
	}
	c.skip()
	if c.i == len(c.b) {
		return c.fail("there is nothing")
	}
	if err := c.value(0); err != nil {
		return err
	}
	c.skip()
	if c.i < len(c.b) {
		return c.fail("something follows the value")
	}
	return nil
}

func (c *checker) skip() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return
		}
	}
}

// next returns the byte at i; 0, which no token begins with, at the end.
func (c *checker) next() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *checker) value(depth int) error {
	switch ch := c.next(); {
	case ch == '"':
		_, err := c.str()
		return err
	case ch == '{' || ch == '[':
		if depth == MaxDepth {
			return c.fail("it is nested too deep")
		}
		if ch == '{' {
			return c.object(depth + 1)
		}
		return c.array(depth + 1)
	case ch == '-' || '0' <= ch && ch <= '9':
		return c.number()
	case ch == 't':
		return c.word("true")
	case ch == 'f':
		return c.word("false")
	case ch == 'n':
		return c.word("null")
	}
	return c.fail("a value is missing")
}

func (c *checker) word(w string) error {
	if len(c.b)-c.i < len(w) || string(c.b[c.i:c.i+len(w)]) != w {
		return c.fail("a value is missing")
	}
	c.i += len(w)
	return nil
}

func (c *checker) array(depth int) error {
	c.i++
	c.skip()
	if c.next() == ']' {
		c.i++
		return nil
	}
	for {
		if err := c.value(depth); err != nil {
			return err
		}
		c.skip()
		switch c.next() {
		case ',':
			c.i++
			c.skip()
		case ']':
			c.i++
			return nil
		default:
			return c.fail("a comma or the array's end is missing")
		}
	}
}

func (c *checker) object(depth int) error {
	c.i++
	c.skip()
	if c.next() == '}' {
		c.i++
		return nil
	}
	base := len(c.names)
	var many map[string]struct{} // the names, once they are too many to compare one by one
	for {
		if c.next() != '"' {
			return c.fail("a name is missing")
		}
		name, err := c.str()
		if err != nil {
			return err
		}
		if c.given(name, base, &many) {
			return c.fail("a name is given twice")
		}
		c.skip()
		if c.next() != ':' {
			return c.fail("a colon is missing")
		}
		c.i++
		c.skip()
		if err := c.value(depth); err != nil {
			return err
		}
		c.skip()
		switch c.next() {
		case ',':
			c.i++
			c.skip()
		case '}':
			c.i++
			c.names = c.names[:base]
			return nil
		default:
			return c.fail("a comma or the object's end is missing")
		}
	}
}

// fewNames are compared one by one: quicker than a map, and not yet quadratic.
const fewNames = 16

// given reports whether the object whose names begin at base has the name already, and
// adds it.
func (c *checker) given(name span, base int, many *map[string]struct{}) bool {
	names := c.names[base:]
	if len(names) < fewNames {
		for _, other := range names {
			if c.same(name, other) {
				return true
			}
		}
		c.names = append(c.names, name)
		return false
	}
	if *many == nil {
		*many = make(map[string]struct{}, 2*fewNames)
		for _, other := range names {
			(*many)[c.plain(other)] = struct{}{}
		}
	}
	before := len(*many)
	(*many)[c.plain(name)] = struct{}{}
	return len(*many) == before
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

// str reads a string and returns where its content is.
func (c *checker) str() (span, error) {
	c.i++
	s := span{from: c.i}
	for {
		i := c.i
		for i < len(c.b) && ordinary[c.b[i]] {
			i++
		}
		c.i = i
		if i == len(c.b) {
			return s, c.fail("a string does not end")
		}
		ch := c.b[i]
		switch {
		case ch == '"':
			s.to = c.i
			c.i++
			return s, nil
		case ch == '\\':
			s.escaped = true
			if err := c.escape(); err != nil {
				return s, err
			}
		case ch < 0x20:
			return s, c.fail("a control character in a string")
		default:
			r, n := utf8.DecodeRune(c.b[c.i:])
			if r == utf8.RuneError && n == 1 {
				return s, c.fail("invalid UTF-8")
			}
			c.i += n
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

func (c *checker) escape() error {
	if c.i+1 >= len(c.b) {
		return c.fail("a string does not end")
	}
	switch c.b[c.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.i += 2
		return nil
	case 'u':
	default:
		return c.fail("an unknown escape")
	}
	r, ok := hex4(c.b[c.i:])
	switch {
	case !ok:
		return c.fail("an unknown escape")
	case r < 0xd800 || r > 0xdfff:
		c.i += 6
		return nil
	}
	low, ok := hex4(c.b[c.i+6:])
	if r > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return c.fail("half of a surrogate pair")
	}
	c.i += 12
	return nil
}

// hex4 returns the number in an escape \uXXXX that b begins with.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, ch := range b[2:6] {
		switch {
		case '0' <= ch && ch <= '9':
			ch -= '0'
		case 'a' <= ch && ch <= 'f':
			ch -= 'a' - 10
		case 'A' <= ch && ch <= 'F':
			ch -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(ch)
	}
	return r, true
}

func (c *checker) number() error {
	if c.next() == '-' {
		c.i++
	}
	switch ch := c.next(); {
	case ch == '0':
		c.i++
	case '1' <= ch && ch <= '9':
		c.digits()
	default:
		return c.fail("a digit is missing")
	}
	if c.next() == '.' {
		c.i++
		if !c.digits() {
			return c.fail("a digit is missing")
		}
	}
	if ch := c.next(); ch == 'e' || ch == 'E' {
		c.i++
		if ch := c.next(); ch == '+' || ch == '-' {
			c.i++
		}
		if !c.digits() {
			return c.fail("a digit is missing")
		}
	}
	return nil
}

func (c *checker) digits() bool {
	start := c.i
	for c.i < len(c.b) && '0' <= c.b[c.i] && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i > start
}
