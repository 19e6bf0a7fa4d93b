package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
)

// Part is one backend call, or one for each of several elements, and what becomes of it in
// the answer. Make one with [Get], [Post], [Call] or [GraphQL]; the methods return changed
// copies.
type Part struct {
	name    string
	from    http.RoundTripper
	method  string
	target  string
	body    string // template of a JSON text; empty: none
	headers []header
	timeout time.Duration

	optional bool
	fallback json.RawMessage // nil: none
	staleFor time.Duration
	absent   bool // a value that is missing leaves the part out

	each   string // path of an array; empty: there is one call
	many   bool   // there is one for each element of it
	batch  int    // elements a call; 0: one
	key    string // path to what tells a batch's results apart
	joined string // the member of the elements that the results become; empty: they stay apart

	decode Decoder // nil: the answer is JSON
	shape  []change
	place  string // path in the answer; empty: the name
	hidden bool
	spread Collision // empty: the answer is not spread
	faults []error   // of the methods, which cannot return any
}

type header struct{ name, template string }

// Get returns a required part: the answer of from, usually a balancer.Pool, to a GET
// of the path that the template makes, under the member name. The template is a
// path, and maybe a query, with holes as the package comment describes. The request
// carries Accept, and X-Request-Id, traceparent and tracestate as the client's
// request has them; no other field of it, and so no credentials.
func Get(name string, from http.RoundTripper, template string) Part {
	return Call(http.MethodGet, name, from, template)
}

// Post is [Get] for a POST with a JSON body, whose template has holes within strings, for
// text, or in the place of values, for any JSON of a part:
//
//	{"user": "{sub}", "note": "for {profile.name}", "items": {cart.items}}
func Post(name string, from http.RoundTripper, template, body string) Part {
	p := Call(http.MethodPost, name, from, template)
	p.body = body
	return p
}

// Call is [Get] for any method.
func Call(method, name string, from http.RoundTripper, template string) Part {
	return Part{name: name, from: from, method: method, target: template}
}

// Body returns the part with a JSON body, as in [Post].
func (p Part) Body(template string) Part {
	p.body = template
	return p
}

// Header returns the part with a field in its request, whose template may have holes. It
// replaces the field of that name which the request has anyway. With "Accept-Encoding" as
// gzip, br or zstd the answer comes compressed, which it is not asked to be otherwise.
func (p Part) Header(name, template string) Part {
	p.headers = append(slices.Clip(p.headers), header{http.CanonicalHeaderKey(name), template})
	return p
}

// Timeout returns the part with a limit on its call, to the end of its body. Without
// one, only the limit of the whole and the request's own deadline end it.
func (p Part) Timeout(d time.Duration) Part {
	p.timeout = d
	if d <= 0 {
		p.faults = append(slices.Clip(p.faults), errors.New("the timeout is not positive"))
	}
	return p
}

// Optional returns the part as one that is left out of the answer if it fails; with
// [Part.Each], an element whose call fails becomes null.
func (p Part) Optional() Part {
	p.optional = true
	return p
}

// Default returns the part as one that is replaced by value, a JSON text, if it fails; with
// [Part.Each] value is for an element, and the part fails if there is no array.
func (p Part) Default(value string) Part {
	p.fallback = json.RawMessage(value)
	return p
}

// Stale returns the part as one that is replaced by its last good answer if it fails, if that is
// not older than d; not if its backend says 403, 404 or 410, which is an answer, and has
// the one before forgotten. Answers are kept by the request that they answer, and those
// to an authenticated one for the same principal (by sub, iss and scope) alone, unless
// they say that they are public; none is kept that says no-store. The last 1,000 are kept,
// and up to 16 MiB. It is for GET and without [Part.Each].
func (p Part) Stale(d time.Duration) Part {
	p.staleFor = d
	if d <= 0 {
		p.faults = append(slices.Clip(p.faults), errors.New("the time for stale answers is not positive"))
	}
	return p
}

// SkipMissing returns the part as one that is left out, without having failed, if a hole
// has no value; parts that take values from it are then without these in turn. With
// [Part.Each], an element that lacks the value becomes null.
func (p Part) SkipMissing() Part {
	p.absent = true
	return p
}

// Each returns the part as a call for every element of the array at path, which begins
// with another part's name: "orders.items"; the name alone is all of that part. In the
// part's own templates {each} is the element, and {each.id} a member of it. The result is
// an array with the answers in the order of the elements. Calls that come out the same
// are made once, up to 8 at a time; more than 1,000 elements are a failure.
func (p Part) Each(path string) Part {
	p.each, p.many = path, true
	return p
}

// Batch returns a part with Each that asks for up to size elements in one call: the query
// parameter of its template that has the hole is repeated for each of them,
//
//	/products?id={each.product_id}      /products?id=7&id=9&id=12
//
// and the answer, an array, is told apart by the member at key, whose value is that of
// the hole, be it a string or a number. Elements that it says nothing of have failed with
// 404. A call is for fewer elements than size where their values are longer than 4 KiB.
func (p Part) Batch(size int, key string) Part {
	p.batch, p.key = size, key
	if size < 2 || key == "" {
		p.faults = append(slices.Clip(p.faults), errors.New("a batch has a size of at least 2 and a key"))
	}
	return p
}

// Join returns a part with Each whose results become the member name of the elements that
// they are for, instead of an array of their own. Elements that are no objects stay as
// they are.
func (p Part) Join(name string) Part {
	p.joined = name
	if name == "" {
		p.faults = append(slices.Clip(p.faults), errors.New("the name to join by is empty"))
	}
	return p
}

// At returns the part in another place of the answer than under its name: a path of member
// names, with dots between them.
func (p Part) At(path string) Part {
	p.place = path
	return p
}

// Hide returns the part as one that is fetched for what other parts take from it, and is
// not in the answer.
func (p Part) Hide() Part {
	p.hidden = true
	return p
}

// Collision says which member wins where a part's answer is spread into an object that
// has one of that name.
type Collision string

// The collisions. A part with a place of its own has it in any case, also where an earlier
// part has spread a member. Where two parts have the same, it is the order of declaration that
// counts, never that of completion.
const (
	Refuse Collision = "refuse" // the later part has failed
	First  Collision = "first"  // the earlier one stays
	Last   Collision = "last"   // the later one replaces it, in its place
	Deep   Collision = "deep"   // two objects become one, in turn by this rule, on 32 levels; of others the later one
	Append Collision = "append" // two arrays become one; of others the later one
)

// Spread returns the part with the members of its answer, an object, in the place of the
// part itself: without [Part.At], in the root.
func (p Part) Spread(on Collision) Part {
	p.spread = on
	switch on {
	case Refuse, First, Last, Deep, Append:
	default:
		p.faults = append(slices.Clip(p.faults), fmt.Errorf("there is no collision %q", on))
	}
	return p
}

// Decode returns the part with an answer that is not JSON but is made so by d, [XML] say.
func (p Part) Decode(d Decoder) Part {
	p.decode = d
	return p
}

func (p *Part) check() []error {
	faults := slices.Clone(p.faults)
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(p.name == "" || !utf8.ValidString(p.name), "the name is empty or not UTF-8")
	add(p.name == eachName, "the name %q stands for elements", eachName)
	add(p.from == nil, "there is no RoundTripper to get it from")
	add(!field.IsToken(p.method), "the method %q is none", p.method)
	add(p.method == http.MethodHead, "the answer to a HEAD has no body")
	add(p.body != "" && (p.method == http.MethodGet || p.method == http.MethodHead), "a %s has no body", p.method)
	add(p.staleFor > 0 && (p.method != http.MethodGet || p.many), "only the answer to a single GET can be kept")
	add(p.many && p.each == "", "the array for Each has no path")
	add(!p.many && (p.batch != 0 || p.joined != ""), "Batch and Join are for a part with Each")
	add(p.joined != "" && (p.place != "" || p.hidden || p.spread != ""), "a part that is joined has no place of its own")
	if c, ok := p.from.(interface{ Check() error }); ok { // as gateway.Proxy does
		err := c.Check()
		add(err != nil, "the RoundTripper is misconfigured: %w", err)
	}
	if p.fallback != nil {
		_, err := rawjson.Check(p.fallback)
		add(err != nil, "the default %q is not JSON", p.fallback)
	}
	for _, h := range p.headers {
		add(!field.IsToken(h.name) || field.OfConnection(h.name) || h.name == "Host" || h.name == "Content-Length",
			"the field %q cannot be set", h.name)
	}
	return faults
}
