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
// stays one segment, a value in the query one value.
//
//	{id}               the path value "id" of the route's pattern
//	{sub}              the subject of the verified principal
//	{claim:email}      another claim of the principal
//	{query:page}       the query parameter "page" of the request
//	{header:X-Tenant}  the header field "X-Tenant" of the request
//	{profile.segment}  the member "segment" of the part "profile", which runs first
//
// A part that names no other part starts at once; the plan follows from the names
// alone. A part for which a value is missing, null or no scalar is not fetched and
// counts as failed: with 403 if the principal or the claim is missing, 400 if the
// parameter or the field is, or if a value such as ".." cannot stand in a path, and 500
// if the route's pattern has no such path value.
//
// # Failures
//
// A part fails if there is no response in time, its status is not 2xx, or its body
// is larger than 1 MiB, not JSON or not UTF-8. Then a part with a default has its
// default, an optional part is left out, and a required one, which is what a part is
// unless it says otherwise, fails the whole: with 404, 410 or 403 if that is what its
// backend said, 503 if it said 429 or 503, 504 if it was late, otherwise 502. A default
// wins over being optional. The access log names every part that failed, and why.
package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Aggregator is a [http.Handler] that fetches its parts concurrently and answers
// with one JSON object. Make one with [New] or [Build]. It may serve concurrently.
type Aggregator struct{ plan []step }

// New is [Build] for parts that are literals of the program: it panics if they
// cannot be built.
func New(parts ...Part) *Aggregator {
	a, err := Build(parts...)
	if err != nil {
		panic(err)
	}
	return a
}

// Build returns an Aggregator of the parts, or an error that joins every fault in
// them: a template that cannot be parsed, a name that is unknown or given twice,
// parts that wait for each other, a default that is not JSON.
func Build(parts ...Part) (*Aggregator, error) {
	plan, err := newPlan(parts)
	if err != nil {
		return nil, err
	}
	return &Aggregator{plan}, nil
}

// ServeHTTP fetches the parts and answers with their merger, or with the problem of
// a required part that failed. Parts still under way are then cancelled.
func (a *Aggregator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	results, err := run(ctx, a.plan, r)
	if err != nil {
		gateway.Fail(w, r, err)
		return
	}
	note(r, results)
	body := merge(a.plan, results)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// Parts are answers to one user and have lifetimes of their own.
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a client that has left is no failure of ours
}

// note tells the log of the parts that failed, as the answer does not.
func note(r *http.Request, results []result) {
	s := exchange.From(r.Context())
	if s == nil {
		return
	}
	for _, res := range results {
		if res.err != nil {
			s.Notes = append(s.Notes, slog.String("compose.failed", res.err.Error()))
		}
	}
}

// merge writes the members in the order of declaration.
func merge(plan []step, results []result) []byte {
	size := 2
	for i, res := range results {
		size += len(plan[i].member) + len(res.json) + 1
	}
	out := append(make([]byte, 0, size), '{')
	for i, res := range results {
		if res.json == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, plan[i].member...), res.json...)
	}
	return append(out, '}')
}

// step is a part made ready to run.
type step struct {
	Part
	template template
	member   []byte // the part's name as a JSON member name, with the colon
	after    []int  // indices of the parts it waits for
}

func newPlan(parts []Part) ([]step, error) {
	var faults []error
	fault := func(p Part, err error) { faults = append(faults, fmt.Errorf("compose: part %q: %w", p.name, err)) }
	if len(parts) == 0 {
		faults = append(faults, errors.New("compose: no parts"))
	}
	index := make(map[string]int, len(parts))
	plan := make([]step, len(parts))
	for i, p := range parts {
		if _, ok := index[p.name]; ok {
			fault(p, errors.New("the name is given twice"))
		}
		index[p.name] = i
		for _, err := range p.check() {
			fault(p, err)
		}
		t, err := parseTemplate(p.path)
		if err != nil {
			fault(p, err)
		}
		name, _ := json.Marshal(p.name) // a string always can be
		plan[i] = step{Part: p, template: t, member: append(name, ':')}
	}
	for i := range plan {
		for _, h := range plan[i].template.holes {
			if _, part := index[h.name]; part && h.source == fromPath {
				fault(plan[i].Part, fmt.Errorf("the hole {%s} would be a path value, and there is a part of that name: say which member of it", h.name))
			}
		}
		for _, name := range plan[i].template.parts() {
			j, ok := index[name]
			if !ok {
				fault(plan[i].Part, fmt.Errorf("there is no part %q", name))
				continue
			}
			plan[i].after = append(plan[i].after, j)
		}
	}
	if len(faults) == 0 {
		if p, ok := findCycle(plan); ok {
			fault(p, errors.New("it waits for itself, by way of the parts it names"))
		}
	}
	return plan, errors.Join(faults...)
}

// findCycle returns a part that can never start: what is left when all that can
// have been taken away.
func findCycle(plan []step) (Part, bool) {
	done := make([]bool, len(plan))
	for range plan {
		for i, s := range plan {
			ready := true
			for _, j := range s.after {
				ready = ready && done[j]
			}
			done[i] = done[i] || ready
		}
	}
	for i, s := range plan {
		if !done[i] {
			return s.Part, true
		}
	}
	return Part{}, false
}
