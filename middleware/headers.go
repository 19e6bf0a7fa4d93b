package middleware

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// Headers is a change to header fields: what is removed goes first, then what is
// set replaces what is there. The zero value changes nothing.
type Headers struct {
	Remove []string          // names; nil: none
	Set    map[string]string // value by name; nil: none
}

// RequestHeaders returns a middleware that changes the header of requests, before
// the handler sees it. It panics if a name or a value is not valid in a header
// field (RFC 9110 section 5).
func RequestHeaders(change Headers) gateway.Middleware {
	apply := change.compile()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			apply(r.Header)
			next.ServeHTTP(x, r)
		})
	}
}

// ResponseHeaders returns a middleware that changes the header of responses, just
// before it is sent: it has the last word over the handler and the upstream. It
// panics as [RequestHeaders] does.
func ResponseHeaders(change Headers) gateway.Middleware {
	apply := change.compile()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			serveWithHeader(next, x, r, apply)
		})
	}
}

// compile checks the change and returns it with canonical names and ready values.
func (c Headers) compile() func(http.Header) {
	var faults []error
	set := make(map[string][]string, len(c.Set))
	for name, value := range c.Set {
		if !field.IsToken(name) || !field.IsValue(value) {
			faults = append(faults, fmt.Errorf("middleware: headers: field %q: %q is not valid", name, value))
		}
		set[http.CanonicalHeaderKey(name)] = []string{value}
	}
	remove := make([]string, 0, len(c.Remove))
	for _, name := range c.Remove {
		if !field.IsToken(name) {
			faults = append(faults, fmt.Errorf("middleware: headers: name %q is not valid", name))
		}
		remove = append(remove, http.CanonicalHeaderKey(name))
	}
	if err := errors.Join(faults...); err != nil {
		panic(err)
	}
	return func(h http.Header) {
		for _, name := range remove {
			delete(h, name)
		}
		for name, values := range set {
			h[name] = values[:1:1] // whoever appends gets an array of its own
		}
	}
}
