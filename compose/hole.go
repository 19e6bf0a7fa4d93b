package compose

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
)

// hole is a place for a value.
type hole struct {
	source origin
	name   string       // of the path value, claim, parameter, field or part
	path   rawjson.Path // within a part's or an element's JSON; nil: the whole
	part   int          // index of the part
	place  place
}

type origin string

const (
	fromPath   origin = "path"
	fromClaim  origin = "claim"
	fromQuery  origin = "query"
	fromHeader origin = "header"
	fromPart   origin = "part"
	fromEach   origin = "each"
)

// place is where a value lands, which says how it is escaped.
type place uint8

const (
	inPath place = iota
	inQuery
	inField  // of the header
	inString // of a JSON text
	inJSON   // as a value
)

func parseHole(s string) (hole, error) {
	if kind, name, ok := strings.Cut(s, ":"); ok {
		switch src := origin(kind); {
		case name == "":
			return hole{}, errors.New("it has no name")
		case src == fromHeader && !field.IsToken(name):
			return hole{}, errors.New("no field has such a name")
		case src == fromClaim, src == fromQuery, src == fromHeader:
			return hole{source: src, name: name}, nil
		}
		return hole{}, fmt.Errorf("there is no source %q: say claim, query or header", kind)
	}
	name, member, deeper := strings.Cut(s, ".")
	if !validName(name) {
		return hole{}, errors.New("a name consists of letters, digits, _ and -")
	}
	var path rawjson.Path
	if deeper {
		path = rawjson.ParsePath(member)
		for _, step := range path {
			if !validName(step) {
				return hole{}, errors.New("a member name consists of letters, digits, _ and -")
			}
		}
		if path == nil {
			return hole{}, errors.New("a member name is missing")
		}
	}
	switch {
	case name == eachName:
		return hole{source: fromEach, name: name, path: path}, nil
	case deeper:
		return hole{source: fromPart, name: name, path: path}, nil
	case name == "sub":
		return hole{source: fromClaim, name: name}, nil
	}
	return hole{source: fromPath, name: name}, nil
}

// eachName stands for the element in the templates of a part that has Each.
const eachName = "each"

func validName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	}) < 0
}

// scope is where holes get their values from.
type scope struct {
	r       *http.Request
	results []result
	element []byte // of a part that has Each; nil otherwise
}

// value returns what fills h: a text, or a JSON value where such a one is asked for.
func (h *hole) value(s *scope) (text string, raw []byte, err error) {
	switch h.source {
	case fromPart:
		return h.json(s.results[h.part].json)
	case fromEach:
		return h.json(s.element)
	case fromPath:
		text = s.r.PathValue(h.name)
	case fromClaim:
		if x := exchange.From(s.r.Context()); x != nil && x.Principal != nil {
			text, _ = x.Principal.Claim(h.name)
		}
	case fromQuery:
		text = s.r.URL.Query().Get(h.name)
	case fromHeader:
		text = s.r.Header.Get(h.name)
	}
	if text == "" {
		return "", nil, h.missing()
	}
	return text, nil, nil
}

// json returns what doc has for h: a string's content, or a number or boolean as it is
// written, as an integer of 64 bits must not go through a float.
func (h *hole) json(doc []byte) (text string, raw []byte, err error) {
	if doc != nil {
		raw = rawjson.Get(doc, h.path)
	}
	if raw == nil {
		return "", nil, h.missing()
	}
	switch rawjson.KindOf(raw) {
	case rawjson.Number, rawjson.Bool:
		return string(raw), raw, nil
	case rawjson.String:
		if text = rawjson.Text(raw); text != "" || h.place == inJSON {
			return text, raw, nil
		}
	case rawjson.Object, rawjson.Array:
		if h.place == inJSON {
			return "", raw, nil
		}
	}
	return "", nil, h.missing()
}

// missing is an error that a value is not there.
type missing struct {
	*gateway.Problem
	from origin
}

func (m missing) Unwrap() error { return m.Problem }

// missing blames the client for what it could have sent, the backend for what it should
// have, and the program for a path value that its pattern does not have.
func (h *hole) missing() error {
	err := fmt.Errorf("no value for {%s}", h)
	switch h.source {
	case fromQuery, fromHeader:
		return missing{&gateway.Problem{
			Status: http.StatusBadRequest, Detail: "the " + string(h.source) + " value " + h.name + " is missing", Err: err,
		}, h.source}
	case fromClaim:
		return missing{&gateway.Problem{Status: http.StatusForbidden, Err: err}, h.source}
	case fromPart, fromEach:
		return missing{&gateway.Problem{Status: http.StatusBadGateway, Fault: gateway.UpstreamBody, Err: err}, h.source}
	}
	return missing{&gateway.Problem{Status: http.StatusInternalServerError, Err: err}, h.source}
}

func (h *hole) String() string {
	switch h.source {
	case fromPart, fromEach:
		return strings.TrimSuffix(h.name+"."+h.path.String(), ".")
	case fromPath:
		return h.name
	}
	return string(h.source) + ":" + h.name
}
