package compose

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/gatewright/gateway/internal/rawpath"
)

// template is a text with holes, parsed. Literals and holes alternate: literals[0],
// holes[0], literals[1], … so there is one literal more.
type template struct {
	literals []string
	holes    []hole
}

// parse cuts s into literals and holes. What isHole does not take for the inside of one
// stays a literal, brace and all.
func (t *template) parse(s string, isHole func(string) bool) error {
	literal := ""
	for rest := s; ; {
		before, after, open := strings.Cut(rest, "{")
		literal += before
		if !open {
			t.literals = append(t.literals, literal)
			return nil
		}
		name, behind, closed := strings.Cut(after, "}")
		if !isHole(name) {
			literal += "{"
			rest = after
			continue
		}
		if !closed {
			return fmt.Errorf("template %q leaves a hole open", s)
		}
		h, err := parseHole(name)
		if err != nil {
			return fmt.Errorf("template %q: hole {%s}: %w", s, name, err)
		}
		t.literals = append(t.literals, literal)
		t.holes = append(t.holes, h)
		literal, rest = "", behind
	}
}

func always(string) bool { return true }

// parseTarget parses a path, and maybe a query.
func parseTarget(s string) (template, error) {
	var t template
	if !strings.HasPrefix(s, "/") {
		return t, fmt.Errorf("template %q does not begin with a slash", s)
	}
	if err := t.parse(s, always); err != nil {
		return t, err
	}
	query := false
	for i, literal := range t.literals {
		if strings.Contains(literal, "}") {
			return t, fmt.Errorf("template %q closes a hole that is not open", s)
		}
		query = query || strings.Contains(literal, "?")
		if i < len(t.holes) && query {
			t.holes[i].place = inQuery
		}
	}
	u, err := url.Parse(t.sample())
	if err != nil || u.Host != "" || !isQuery(u.RawQuery) || strings.Contains(s, "#") {
		return t, fmt.Errorf("template %q is not a path with a query", s)
	}
	// A path that is not escaped as it has to be would be escaped anew, from what it says:
	// and a value's slash with it.
	if path, _, _ := strings.Cut(t.sample(), "?"); u.EscapedPath() != path {
		return t, fmt.Errorf("template %q has a byte in its path that has to be escaped", s)
	}
	if err := rawpath.Check(u.EscapedPath()); err != nil {
		return t, fmt.Errorf("template %q: %w", s, err)
	}
	return t, nil
}

// isQuery reports whether s can be sent as it is: a space would end the request's target,
// and half an escape would take what a hole's value begins with for its other half.
func isQuery(s string) bool {
	_, err := url.QueryUnescape(s)
	return err == nil && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// parseField parses the value of a header field.
func parseField(s string) (template, error) {
	var t template
	if err := t.parse(s, always); err != nil {
		return t, err
	}
	for i := range t.holes {
		t.holes[i].place = inField
	}
	if !field.IsValue(t.sample()) {
		return t, fmt.Errorf("template %q is not the value of a field", s)
	}
	return t, nil
}

// parseBody parses a JSON text with holes within strings, or in the place of values.
func parseBody(s string) (template, error) {
	var t template
	// In JSON a brace is followed by a quote, by white space or by another brace, and so
	// never by what a hole begins with; but in a string anything may be.
	inside := func(name string) bool { return name != "" && strings.Trim(name, holeBytes) == "" }
	if err := t.parse(s, inside); err != nil {
		return t, err
	}
	var q quotes
	var sample strings.Builder
	for i, literal := range t.literals {
		q.read(literal)
		sample.WriteString(literal)
		if i == len(t.holes) {
			break
		}
		// What stands for a value must be no part of what may be around it, not of an escape
		// in a string, and not of a number or a word: "1{x}" would be 1"text".
		if q.open {
			t.holes[i].place, q.holed = inString, true
			sample.WriteByte('z')
		} else {
			t.holes[i].place = inJSON
			sample.WriteString("null")
		}
	}
	if q.named {
		return t, fmt.Errorf("the body's template %q has a hole in a name: a value could be another member's", s)
	}
	if _, err := rawjson.Check([]byte(sample.String())); err != nil {
		return t, fmt.Errorf("the body's template is not %w", err)
	}
	return t, nil
}

const holeBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:"

// quotes reads a JSON text piece by piece and knows where its strings are.
type quotes struct {
	open   bool // the text so far ends within a string
	holed  bool // there is a hole in that string
	behind bool // the last that was read is the end of a string with a hole
	named  bool // a string with a hole is the name of a member
}

func (q *quotes) read(s string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			q.behind = q.open && q.holed
			q.open, q.holed = !q.open, false
		case '\\':
			i++
		case ' ', '\t', '\r', '\n':
		case ':':
			q.named = q.named || q.behind
			q.behind = false
		default:
			q.behind = false
		}
	}
}

// sample is the template with harmless values: what is wrong then is wrong with its
// literals.
func (t *template) sample() string {
	var b strings.Builder
	for i, literal := range t.literals {
		b.WriteString(literal)
		if i < len(t.holes) {
			b.WriteByte('x')
		}
	}
	return b.String()
}

// append appends t with its holes filled.
func (t *template) append(b []byte, s *scope) ([]byte, error) {
	for i, literal := range t.literals {
		b = append(b, literal...)
		if i == len(t.holes) {
			break
		}
		h := &t.holes[i]
		text, raw, err := h.value(s)
		if err != nil {
			return nil, err
		}
		switch h.place {
		case inPath:
			b = append(b, url.PathEscape(text)...)
		case inQuery:
			b = append(b, url.QueryEscape(text)...)
		case inField:
			b = append(b, text...)
		case inString:
			at := len(b)
			b = rawjson.AppendString(b, text)
			b = append(b[:at], b[at+1:len(b)-1]...) // the quotes are the template's
		case inJSON:
			if raw != nil {
				b = append(b, raw...)
			} else {
				b = rawjson.AppendString(b, text)
			}
		}
	}
	return b, nil
}

// target makes u the URL that t makes of s.
func (t *template) target(u *url.URL, s *scope) error {
	filled := t.literals[0]
	if len(t.holes) > 0 {
		b, err := t.append(make([]byte, 0, 128), s)
		if err != nil {
			return err
		}
		filled = string(b)
	}
	path, query, _ := strings.Cut(filled, "?")
	u.RawQuery = query
	if len(t.holes) > 0 {
		// A value may be "..", or hold what a backend would decode into one.
		if err := rawpath.Check(path); err != nil {
			return &gateway.Problem{Status: http.StatusBadRequest, Detail: "a value cannot stand in a path", Err: err}
		}
	}
	if !rawpath.Set(u, path) {
		return fmt.Errorf("path %q is not valid", path)
	}
	return nil
}

var errField = errors.New("a value cannot stand in a header field")

// field returns the value of the header field that t makes of s.
func (t *template) field(s *scope) (string, error) {
	b, err := t.append(nil, s)
	if err != nil {
		return "", err
	}
	if !field.IsValue(string(b)) { // CR LF would be another field
		return "", &gateway.Problem{Status: http.StatusBadRequest, Detail: errField.Error(), Err: errField}
	}
	return string(b), nil
}
