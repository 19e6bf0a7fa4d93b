package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"
)

// Part is one backend call and the member of the answer that it becomes. Make one
// with [Get]; the methods return changed copies.
type Part struct {
	name     string
	from     http.RoundTripper
	path     string
	timeout  time.Duration
	optional bool
	fallback json.RawMessage // nil: none
}

// Get returns a required part: the answer of from, usually a balancer.Pool, to a GET
// of the path that the template makes, under the member name. The template is a
// path, and maybe a query, with holes as the package comment describes. The request
// carries Accept, and X-Request-Id, traceparent and tracestate as the client's
// request has them; no other field of it, and so no credentials.
func Get(name string, from http.RoundTripper, template string) Part {
	return Part{name: name, from: from, path: template}
}

// Timeout returns the part with a limit on its call, to the end of its body. Without
// one, only the request's own deadline ends it.
func (p Part) Timeout(d time.Duration) Part {
	p.timeout = d
	if d <= 0 {
		p.timeout = -1 // reported by Build, with all the other faults
	}
	return p
}

// Optional returns the part as one that is left out of the answer if it fails.
func (p Part) Optional() Part {
	p.optional = true
	return p
}

// Default returns the part as one that is replaced by value, a JSON text, if it fails.
func (p Part) Default(value string) Part {
	p.fallback = json.RawMessage(value)
	return p
}

func (p Part) check() (faults []error) {
	if p.name == "" || !utf8.ValidString(p.name) {
		faults = append(faults, errors.New("the name is empty or not UTF-8"))
	}
	if p.from == nil {
		faults = append(faults, errors.New("there is no RoundTripper to get it from"))
	}
	if p.timeout < 0 {
		faults = append(faults, errors.New("the timeout is not positive"))
	}
	if p.fallback != nil && !validJSON(p.fallback) {
		faults = append(faults, fmt.Errorf("the default %q is not JSON", p.fallback))
	}
	return faults
}

// validJSON reports whether b is one JSON text (RFC 8259), in UTF-8, which
// [json.Valid] does not ask for.
func validJSON(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }
