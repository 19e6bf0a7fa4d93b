// Package compose answers one request with the merged JSON of several backends.
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"time"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/balancer"
//		"github.com/gatewright/gateway/compose"
//	)
//
//	func main() {
//		users := balancer.To("http://users-1:8080", "http://users-2:8080")
//		orders := balancer.To("http://orders:8080")
//		offers := balancer.To("http://offers:8080")
//
//		gw := gateway.New()
//		gw.Handle("GET /users/{id}/home", compose.New(
//			compose.Get("profile", users, "/v1/users/{id}"),
//			compose.Get("orders", orders, "/v1/orders?user={id}").Timeout(300*time.Millisecond).Default(`[]`),
//			compose.Get("offers", offers, "/v1/offers?segment={profile.segment}").Optional(),
//		))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// The answer is {"profile":…,"orders":…,"offers":…}: a member for each part, in the
// order of declaration, the same bytes whichever backend is first. What a backend
// sent is checked to be JSON and then spliced as it is: numbers keep every digit.
//
// # Holes
//
// A hole in a part's template names where its value comes from, and so what the
// part has to wait for. Values are escaped for where they land: a value in the path
// stays one segment, a value in the query one value, a value in a string of a body text.
//
//	{id}               the path value "id" of the route's pattern
//	{sub}              the subject of the verified principal
//	{claim:email}      another claim of the principal
//	{query:page}       the query parameter "page" of the request
//	{header:X-Tenant}  the header field "X-Tenant" of the request
//	{profile.segment}  the member "segment" of the part "profile", which runs first
//	{each.id}          the member "id" of the element that the call is for ([Part.Each])
//
// A part that names no other part starts at once; the plan follows from the names
// alone ([Aggregator.Explain] shows it). A part for which a value is missing, null or, where a
// text is needed, no scalar, is not fetched and counts as failed, unless it says
// SkipMissing: with 403 if the principal or the claim is missing, 400 if the parameter or
// the field is, or if a value such as ".." cannot stand in a path, 502 if it is another
// part's, and 500 if the route's pattern has no such path value.
//
// # Failures
//
// A part fails if there is no response in time, its status is not 2xx, or its body
// is larger than 1 MiB, compressed in a way that is not known, or not one JSON text that
// all parsers read alike: in UTF-8, no name twice in an object, no half of a surrogate
// pair, not deeper than 512. Then a part has its last good answer if it keeps that
// ([Part.Stale]), or its default; an optional part is left out, and a required one, which
// is what a part is unless it says otherwise, fails the whole: with 404, 410 or 403 if
// that is what its backend said, 503 if it said 429 or 503, 504 if it was late, otherwise
// 502. The access log names every part that failed, and why.
//
// # Go code instead of a plan
//
// What templates cannot say is written in Go over the same upstreams, with the same checks:
// [Fetch] and [Do] into a type, [Both], [All] and [Each] at the same time, [Undo] for what has
// to be taken back, [Handler] to serve it. [Batch] has a client ask for several routes of a
// gateway in one request.
//
// # What the answer says of itself
//
// Its Cache-Control is the strictest of its parts: what one of them does not allow, or
// says nothing of, the whole does not; it is private where the principal has part in it.
// [Config] adds which parts are missing, how long they took, and fields of their responses.
package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
)

// Config is what an [Aggregator] is made from.
type Config struct {
	Parts []Part // in the order that they have in the answer; at least one

	// Timeout limits the whole; parts get a little less, so that there is time to answer
	// with what is there. A balancer.Pool tells its backends what is left of it
	// (balancer.Deadline), and sends the request for a slow part to another one too
	// (balancer.Hedge). Zero means that the request's context limits it.
	Timeout time.Duration

	// Array makes the answer an array of the parts' answers, and of one that is spread the
	// elements of its array. False means an object.
	Array bool

	// Errors is the name of a member of the answer that says which parts failed, and in
	// which phase: an array of problem documents (RFC 9457) with a member "part". It is
	// there only if there are any. Empty means that there is none.
	Errors string

	// PartialStatus is the status of an answer of which parts are missing or replaced. Zero
	// means 200.
	PartialStatus int

	// Headers are names of fields that parts' responses pass on to the answer: of the first
	// part that has it, and Set-Cookie, Link, Vary, Via and Warning of all. Nil means none.
	Headers []string

	// ServerTiming has the answer say how long each part took, in Server-Timing. It tells
	// everyone. False means that it does not.
	ServerTiming bool

	// XML is the name of the root element, for clients that accept application/xml rather
	// than JSON: members are elements, <member name="…"> if XML has no such name, elements
	// of arrays <item>, and null has null="true". Empty means that the answer is always JSON.
	XML string

	// Progressive lets clients that accept application/x-ndjson or text/event-stream, by name
	// and no less than application/json, have each part as it ends. A line, or the data of an
	// event "part", is
	//
	//	{"part":"orders","value":[],"problem":{"type":"about:blank","title":"Not Found","status":404}}
	//
	// without "problem" if the part has not failed, and without "value" if it is left out. The
	// last one, the data of an event "done" after which a client should close, says what the
	// status of the whole is, which a stream's own can no longer be: 200 or PartialStatus, or
	// that of the problem of a required part, with which the stream ends early:
	//
	//	{"done":true,"status":502,"problem":{…}}
	//
	// A part is sent with those that are joined to it; hidden and joined ones by themselves
	// only if they have failed. At, Spread, Array, Errors, XML, Headers and ServerTiming are
	// for the whole. False means that clients wait for the whole.
	Progressive bool
}

// Aggregator is a [http.Handler] that fetches its parts concurrently and answers
// with one JSON text. Make one with [New] or [Build]. It may serve concurrently.
type Aggregator struct {
	config Config
	plan   *plan
}

// New is [Build] for parts that are literals of the program, with everything else at its
// default: it panics if they cannot be built.
func New(parts ...Part) *Aggregator { return Must(Config{Parts: parts}) }

// Must is [Build] for a literal: it panics where Build returns an error.
func Must(c Config) *Aggregator {
	a, err := Build(c)
	if err != nil {
		panic(err)
	}
	return a
}

// Build returns an Aggregator, or an error that joins every fault of c: a template that
// cannot be parsed, a name that is unknown or given twice, parts that wait for each other
// or want the same place, a default that is not JSON.
func Build(c Config) (*Aggregator, error) {
	plan, err := newPlan(c.Parts)
	if err = errors.Join(err, c.check(plan), c.spreads(plan)); err != nil {
		return nil, err
	}
	return &Aggregator{c, plan}, nil
}

// spreads says in the plan what the answers must be that are spread.
func (c *Config) spreads(p *plan) error {
	kind, what := rawjson.Object, "an object"
	if c.Array {
		kind, what = rawjson.Array, "an array"
	}
	var faults []error
	for i := range p.steps {
		s := &p.steps[i]
		if s.spread == "" {
			continue
		}
		err := fmt.Errorf("what is spread must be %s", what)
		if s.many && !c.Array || s.fallback != nil && json.Valid(s.fallback) && rawjson.KindOf(bytes.TrimSpace(s.fallback)) != kind {
			faults = append(faults, fmt.Errorf("compose: part %q: %w", s.name, err))
		}
		if !s.many {
			s.kind = kind
		}
	}
	return errors.Join(faults...)
}

func (c *Config) check(p *plan) error {
	var faults []error
	add := func(wrong bool, what string) {
		if wrong {
			faults = append(faults, errors.New("compose: "+what))
		}
	}
	add(c.Timeout < 0, "the timeout is negative")
	add(c.PartialStatus != 0 && (c.PartialStatus < 200 || c.PartialStatus > 599 || c.PartialStatus == 204 || c.PartialStatus == 304),
		"the status for a partial answer is none that has a body")
	add(c.Array && c.Errors != "", "an array has no member for errors")
	add(c.XML != "" && !isXMLName(c.XML), "the root element's name is none of XML's")
	for _, name := range c.Headers {
		name = http.CanonicalHeaderKey(name)
		add(!field.IsToken(name) || field.OfConnection(name) || strings.HasPrefix(name, "Content-") || name == "Cache-Control",
			fmt.Sprintf("the field %q is not the parts' to pass on", name))
	}
	for i := range p.steps {
		s := &p.steps[i]
		add(c.Array && s.place != "", fmt.Sprintf("part %q: an array has no places", s.name))
		add(c.Array && s.spread != "" && s.spread != Append, fmt.Sprintf("part %q: into an array it can be spread by Append", s.name))
		add(c.Errors != "" && s.placed() && len(s.at) > 0 && s.at[0] == c.Errors, fmt.Sprintf("part %q has the place of the errors", s.name))
	}
	return errors.Join(faults...)
}

// ServeHTTP fetches the parts and answers with their merger, or with the problem of
// a required part that failed. Parts still under way are then cancelled.
func (a *Aggregator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, problem := deeper(r.Context())
	if problem != nil {
		gateway.Fail(w, r, problem)
		return
	}
	if a.config.Progressive {
		if stream := a.progressive(w, r); stream != nil {
			stream.serve(ctx)
			return
		}
	}
	x := newRun(a, r)
	x.start(ctx)
	err := x.do()
	x.cancel()
	defer x.free()
	if err == nil {
		err = x.answer(w)
	}
	if err != nil {
		gateway.Fail(w, r, err)
	}
}

// start gives x its context.
func (x *run) start(ctx context.Context) {
	x.began = time.Now()
	if limit := x.agg.config.Timeout; limit > 0 {
		x.ctx, x.cancel = context.WithTimeout(ctx, limit-min(limit/10, timeToAnswer))
	} else {
		x.ctx, x.cancel = context.WithCancel(ctx)
	}
}

// timeToAnswer is kept back of the whole's time.
const timeToAnswer = 5 * time.Millisecond

// free gives back what the results are pieces of, if nobody can write there any more.
func (x *run) free() {
	if !x.whole() {
		return
	}
	for i := range x.results {
		x.results[i].free()
	}
}

// maxNested is how many aggregates may lie in one another, where a part is served by a
// gateway in process: one that comes back to itself would do so for ever.
const maxNested = 8

// maxAggregates is how many there may be for one request, in all: four parts, eight deep,
// would be 87,000.
const maxAggregates = 100

type nestedKey struct{}

// nest is where in a request an aggregate is.
type nest struct {
	depth int
	all   *atomic.Int32
}

// deeper returns ctx for the parts of an aggregate, or the problem that there are too
// many around it already.
func deeper(ctx context.Context) (context.Context, error) {
	n, ok := ctx.Value(nestedKey{}).(nest)
	if !ok {
		n.all = new(atomic.Int32)
	}
	if n.depth++; n.depth > maxNested || n.all.Add(1) > maxAggregates {
		return nil, &gateway.Problem{Status: http.StatusLoopDetected, Err: errLoop}
	}
	return context.WithValue(ctx, nestedKey{}, n), nil
}

var errLoop = errors.New("compose: an aggregate is part of itself")

// note tells the log of the parts that failed, as the answer need not.
func (x *run) note() {
	if x.state == nil {
		return
	}
	for i := range x.results {
		if err := x.results[i].err; err != nil {
			x.state.Notes = append(x.state.Notes, slog.String("compose.failed", err.problem.Error()))
		}
	}
}

func itoa(n int) []string { return []string{strconv.Itoa(n)} }
