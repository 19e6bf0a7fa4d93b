package balancer

import (
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/gatewright/gateway/internal/rawpath"
)

// Endpoint is one address of a [Pool], and what the pool knows about it. It is
// identified by its pointer. All methods may be called concurrently.
type Endpoint struct {
	target string
	base   *url.URL
	prefix string // escaped, goes before every path; "": none

	inFlight  atomic.Int64
	unhealthy atomic.Bool // so that an endpoint counts as healthy until it is checked
	breaker   *breaker    // nil: none
}

func newEndpoint(target string, base *url.URL, b Breaker) *Endpoint {
	return &Endpoint{
		target:  target,
		base:    base,
		prefix:  strings.TrimSuffix(base.EscapedPath(), "/"),
		breaker: newBreaker(b),
	}
}

// URL returns the target as it was configured.
func (e *Endpoint) URL() string { return e.target }

// String is URL, for logs.
func (e *Endpoint) String() string { return e.target }

// InFlight returns how many requests are under way: sent, and the response's body
// neither read to its end nor closed. Health checks do not count.
func (e *Endpoint) InFlight() int64 { return e.inFlight.Load() }

// Ready reports whether the endpoint may be given requests: it is healthy as far as
// is known, and its breaker is closed or waits for a trial.
func (e *Endpoint) Ready() bool {
	return !e.unhealthy.Load() && (e.breaker == nil || e.breaker.ready())
}

// condition says in a log why the endpoint is not ready.
func (e *Endpoint) condition() string {
	if e.unhealthy.Load() {
		return e.target + " is unhealthy"
	}
	if e.breaker != nil && !e.breaker.ready() {
		return e.target + " has its breaker open"
	}
	return e.target + " was refused"
}

// aim makes aimed what u is at this endpoint: the path's bytes behind the prefix, the
// query as it is.
func (e *Endpoint) aim(aimed, u *url.URL) {
	*aimed = *u
	aimed.Scheme, aimed.Host, aimed.User, aimed.Opaque = e.base.Scheme, e.base.Host, nil, ""
	if e.prefix != "" {
		rawpath.Set(aimed, rawpath.Join(e.prefix, u.EscapedPath()))
	}
}
