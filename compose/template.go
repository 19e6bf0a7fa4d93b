package compose

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/rawpath"
	"github.com/tidwall/gjson"
)

// template is a path and query with holes, parsed. Literals and holes alternate:
// literals[0], holes[0], literals[1], … so there is one literal more.
type template struct {
	literals []string
	holes    []hole
}

// hole is a place for a value.
type hole struct {
	source  source
	name    string // of the path value, claim, parameter, field or part
	member  string // path within a part's JSON; empty: the part itself
	inQuery bool
}

type source string

const (
	fromPath   source = "path"
	fromClaim  source = "claim"
	fromQuery  source = "query"
	fromHeader source = "header"
	fromPart   source = "part"
)

func parseTemplate(s string) (template, error) {
	var t template
	if !strings.HasPrefix(s, "/") {
		return t, fmt.Errorf("template %q does not begin with a slash", s)
	}
	inQuery := false
	for rest := s; ; {
		literal, after, open := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return t, fmt.Errorf("template %q closes a hole that is not open", s)
		}
		t.literals = append(t.literals, literal)
		inQuery = inQuery || strings.Contains(literal, "?")
		if !open {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return t, fmt.Errorf("template %q leaves a hole open", s)
		}
		h, err := parseHole(name)
		if err != nil {
			return t, fmt.Errorf("template %q: hole {%s}: %w", s, name, err)
		}
		h.inQuery = inQuery
		t.holes = append(t.holes, h)
		rest = after
	}
	return t, t.checkLiterals(s)
}

// checkLiterals tries the template with harmless values: what is wrong then is
// wrong with its literals.
func (t template) checkLiterals(s string) error {
	u, err := url.Parse(t.join(slices.Repeat([]string{"x"}, len(t.holes))))
	if err != nil || u.Host != "" || u.Fragment != "" {
		return fmt.Errorf("template %q is not a path with a query", s)
	}
	if err := rawpath.Check(u.EscapedPath()); err != nil {
		return fmt.Errorf("template %q: %w", s, err)
	}
	return nil
}

func parseHole(s string) (hole, error) {
	if kind, name, ok := strings.Cut(s, ":"); ok {
		switch src := source(kind); {
		case name == "":
			return hole{}, errors.New("it has no name")
		case src == fromClaim, src == fromQuery, src == fromHeader:
			return hole{source: src, name: name}, nil
		}
		return hole{}, fmt.Errorf("there is no source %q: say claim, query or header", kind)
	}
	name, member, ofPart := strings.Cut(s, ".")
	if !validName(name) {
		return hole{}, errors.New("a name consists of letters, digits, _ and -")
	}
	if !ofPart {
		if name == "sub" {
			return hole{source: fromClaim, name: name}, nil
		}
		return hole{source: fromPath, name: name}, nil
	}
	for key := range strings.SplitSeq(member, ".") {
		if !validName(key) {
			return hole{}, errors.New("a member name consists of letters, digits, _ and -")
		}
	}
	return hole{source: fromPart, name: name, member: member}, nil
}

// validName keeps out what gjson would take for an operator.
func validName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	}) < 0
}

// parts returns the names of the parts that t takes values from, each once.
func (t template) parts() []string {
	var names []string
	for _, h := range t.holes {
		if h.source == fromPart && !slices.Contains(names, h.name) {
			names = append(names, h.name)
		}
	}
	return names
}

func (t template) join(values []string) string {
	var b strings.Builder
	for i, literal := range t.literals {
		b.WriteString(literal)
		if i < len(values) {
			b.WriteString(values[i])
		}
	}
	return b.String()
}

// fill returns the URL that t makes of r and the JSON of the parts it names.
func (t template) fill(r *http.Request, part func(name string) []byte) (*url.URL, error) {
	values := make([]string, len(t.holes))
	for i, h := range t.holes {
		v, err := h.value(r, part)
		if err != nil {
			return nil, err
		}
		values[i] = h.escape(v)
	}
	path, query, _ := strings.Cut(t.join(values), "?")
	// A value may be "..", or hold what a backend would decode into one.
	if err := rawpath.Check(path); err != nil {
		return nil, &gateway.Problem{Status: http.StatusBadRequest, Detail: "a value cannot stand in a path", Err: err}
	}
	u := &url.URL{RawQuery: query}
	if !rawpath.Set(u, path) {
		return nil, fmt.Errorf("path %q is not valid", path)
	}
	return u, nil
}

func (h hole) escape(v string) string {
	if h.inQuery {
		return url.QueryEscape(v)
	}
	return url.PathEscape(v)
}

func (h hole) value(r *http.Request, part func(name string) []byte) (string, error) {
	var v string
	switch h.source {
	case fromPath:
		v = r.PathValue(h.name)
	case fromClaim:
		s := exchange.From(r.Context())
		if s == nil || s.Principal == nil {
			return "", h.missing()
		}
		v, _ = s.Principal.Claim(h.name)
	case fromQuery:
		v = r.URL.Query().Get(h.name)
	case fromHeader:
		v = r.Header.Get(h.name)
	case fromPart:
		return scalar(part(h.name), h)
	}
	if v == "" {
		return "", h.missing()
	}
	return v, nil
}

// missing blames the client for what it could have sent, and the program for a path
// value that its pattern does not have.
func (h hole) missing() error {
	err := fmt.Errorf("no value for {%s:%s}", h.source, h.name)
	switch h.source {
	case fromQuery, fromHeader:
		return &gateway.Problem{Status: http.StatusBadRequest, Detail: "the " + string(h.source) + " value " + h.name + " is missing", Err: err}
	case fromClaim:
		return &gateway.Problem{Status: http.StatusForbidden, Err: err}
	}
	return &gateway.Problem{Status: http.StatusInternalServerError, Err: err}
}

// scalar returns a string's content, or a number or boolean as it is written: an
// integer of 64 bits must not go through a float.
func scalar(part []byte, h hole) (string, error) {
	v := gjson.GetBytes(part, h.member)
	switch v.Type {
	case gjson.String:
		if v.Str != "" {
			return v.Str, nil
		}
	case gjson.Number, gjson.True, gjson.False:
		return v.Raw, nil
	}
	return "", &gateway.Problem{
		Status: http.StatusBadGateway,
		Fault:  gateway.UpstreamBody,
		Err:    fmt.Errorf("part %q has no value at %q", h.name, h.member),
	}
}
