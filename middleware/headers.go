package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
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
			apply(r.Header)
			next.ServeHTTP(w, r)
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
			x.OnHeader(apply)
			next.ServeHTTP(x, r)
		})
	}
}

// compile checks the change and returns it with canonical names and ready values.
func (c Headers) compile() func(http.Header) {
	var faults []error
	set := make(map[string][]string, len(c.Set))
	for name, value := range c.Set {
		if !validFieldName(name) || strings.ContainsAny(value, "\r\n\x00") {
			faults = append(faults, fmt.Errorf("middleware: headers: field %q: %q is not valid", name, value))
		}
		set[http.CanonicalHeaderKey(name)] = []string{value}
	}
	remove := make([]string, 0, len(c.Remove))
	for _, name := range c.Remove {
		if !validFieldName(name) {
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

// validFieldName reports whether name is a token (RFC 9110 section 5.6.2).
func validFieldName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}
