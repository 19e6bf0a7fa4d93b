package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/gatewright/gateway/internal/field"
)

// component is a part of a request that a signature covers (RFC 9421 section 2).
type component struct {
	part
	id   string // the component identifier, serialized
	item httpsfv.Item
}

// part is what of the request it is. Two components are the same if their parts are, in
// whatever order their parameters stand.
type part struct {
	name string
	form string // the parameter that says how the value is made: sf, bs, key or name; empty: none
	arg  string // the value of key and name
}

var (
	contentDigest = mustComponent("content-digest")
	targetCover   = []component{mustComponent("@method"), mustComponent("@authority"), mustComponent("@path"), mustComponent("@query")}
)

func mustComponent(s string) component {
	c, err := parseComponent(s)
	if err != nil {
		panic(err)
	}
	return c
}

// parseCover parses components as a literal has them: without the quotes around the name.
func parseCover(list []string) ([]component, error) {
	if list == nil {
		return targetCover, nil
	}
	var cover []component
	var faults []error
	for _, s := range list {
		c, err := parseComponent(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("component %q: %w", s, err))
		}
		cover = append(cover, c)
	}
	return cover, errors.Join(faults...)
}

func parseComponent(s string) (component, error) {
	name, _, _ := strings.Cut(s, ";")
	item, err := httpsfv.UnmarshalItem([]string{`"` + strings.ToLower(name) + `"` + s[len(name):]})
	if err != nil {
		return component{}, errors.New("no component identifier")
	}
	return newComponent(item)
}

// parseComponents parses what a signature says it covers.
func parseComponents(items []httpsfv.Item) ([]component, error) {
	if len(items) > maxComponents {
		return nil, fmt.Errorf("more than %d components", maxComponents)
	}
	components := make([]component, len(items))
	seen := make(map[part]bool, len(items))
	for i, item := range items {
		c, err := newComponent(item)
		if err != nil {
			return nil, fmt.Errorf("component %d: %w", i, err)
		}
		if seen[c.part] {
			return nil, fmt.Errorf("component %d is there twice", i)
		}
		components[i], seen[c.part] = c, true
	}
	return components, nil
}

func newComponent(item httpsfv.Item) (component, error) {
	name, _ := item.Value.(string)
	c := component{part: part{name: name}, item: item}
	known := derived[name] != nil || name == queryParam
	if !known && (!field.IsToken(name) || strings.ToLower(name) != name) {
		return c, errors.New("unknown, or no field's name in lower case")
	}
	for _, param := range item.Params.Names() {
		v, _ := item.Params.Get(param)
		if !c.set(param, v, known) {
			return c, errors.New("a parameter that it cannot have")
		}
	}
	if name == queryParam && c.form == "" {
		return c, errors.New("no name of a parameter")
	}
	id, err := httpsfv.Marshal(item)
	c.id = id
	return c, err
}

// set applies a parameter, and reports whether c can have it.
func (c *component) set(param string, v any, derived bool) bool {
	s, isString := v.(string)
	switch {
	case derived && c.name == queryParam && param == "name" && isString && c.form == "":
		c.form, c.arg = "name", s
	case derived:
		return false
	case param == "sf" && v == true && (c.form == "" || c.form == "key"):
		if c.form == "" { // key is a part, and of that always the strict form
			c.form = "sf"
		}
	case param == "bs" && v == true && c.form == "":
		c.form = "bs"
	case param == "key" && isString && (c.form == "" || c.form == "sf"):
		c.form, c.arg = "key", s
	default: // req and tr among them, as they are not of a request's header
		return false
	}
	return true
}

// implied are the parts that are wholly within others.
var implied = map[string][]string{
	"@target-uri":     {"@scheme", "@authority", "@path", "@query", "@request-target", queryParam},
	"@request-target": {"@path", "@query", queryParam},
	"@query":          {queryParam},
}

// covered reports whether want cannot change without one of the components changing.
func covered(components []component, want component) bool {
	return slices.ContainsFunc(components, func(c component) bool {
		whole := c.form == "" || c.form == "sf" || c.form == "bs"
		return c.part == want.part || whole && want.form == "" && c.name == want.name || slices.Contains(implied[c.name], want.name)
	})
}

// message is a request as its components see it.
type message struct {
	*http.Request
	scheme, host string
	length       int64                      // of the content, for who signs before there is a field of it
	query        func() (queryIndex, error) // nil: not asked for yet
}

// base returns what is signed (RFC 9421 section 2.5). As no identifier and no value has a
// line break in it, there is one way only to read it.
func (m *message) base(components []component, params string) (string, error) {
	var b strings.Builder
	for _, c := range components {
		v, err := m.value(c)
		if err == nil && !field.IsValue(v) {
			err = errors.New("a control character in it")
		}
		if err != nil {
			return "", fmt.Errorf("component %.100s: %w", c.id, err)
		}
		b.WriteString(c.id + ": " + v + "\n")
	}
	b.WriteString(`"@signature-params": ` + params)
	return b.String(), nil
}

func (m *message) value(c component) (string, error) {
	switch of := derived[c.name]; {
	case of != nil:
		return of(m)
	case c.name == queryParam:
		return m.queryParam(c.arg)
	}
	lines := m.lines(c.name)
	if len(lines) == 0 {
		return "", errors.New("not in the request")
	}
	switch c.form {
	case "sf":
		return strict(c.name, lines)
	case "key":
		return member(lines, c.arg)
	case "bs":
		for i, line := range lines {
			lines[i] = ":" + base64.StdEncoding.EncodeToString([]byte(line)) + ":"
		}
	}
	return strings.Join(lines, ", "), nil
}

// lines returns the lines of a field, without the space around them; net/http has
// unfolded them. Two fields it keeps elsewhere.
func (m *message) lines(name string) []string {
	values := m.Header[http.CanonicalHeaderKey(name)]
	switch {
	case name == "host" && m.host != "":
		return []string{m.host}
	case name == "content-length" && len(values) == 0 && m.length > 0:
		return []string{strconv.FormatInt(m.length, 10)}
	}
	lines := make([]string, len(values))
	for i, v := range values {
		lines[i] = textproto.TrimString(v)
	}
	return lines
}

// member returns one member of a field that is a dictionary.
func member(lines []string, key string) (string, error) {
	d, err := dictionary(lines)
	if err != nil {
		return "", err
	}
	m, ok := d.Get(key)
	if !ok {
		return "", errors.New("no such member")
	}
	return httpsfv.Marshal(m)
}

// structured says of which type a field is, as far as we know some.
var structured = map[string]string{
	"accept-signature": "dictionary", "cdn-cache-control": "dictionary", "content-digest": "dictionary",
	"priority": "dictionary", "repr-digest": "dictionary", "signature": "dictionary", "signature-input": "dictionary",
	"want-content-digest": "dictionary", "want-repr-digest": "dictionary",
	"accept-ch": "list", "cache-status": "list", "client-cert-chain": "list", "proxy-status": "list",
	"client-cert": "item", "idempotency-key": "item",
}

// strict returns a structured field as it would be serialized anew. What of a field has
// no known type has no such form (RFC 9421 section 2.1.1).
func strict(name string, lines []string) (v string, err error) {
	var parsed httpsfv.StructuredFieldValue
	switch structured[name] {
	case "dictionary":
		parsed, err = dictionary(lines)
	case "list":
		parsed, err = httpsfv.UnmarshalList(lines)
	case "item":
		parsed, err = httpsfv.UnmarshalItem(lines)
	default:
		return "", errors.New("a field that is not known to be structured")
	}
	if err != nil {
		return "", errors.New("not of its type")
	}
	return httpsfv.Marshal(parsed)
}
