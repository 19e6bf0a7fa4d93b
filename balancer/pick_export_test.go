package balancer

import (
	"net/http"
	"time"
)

// What tests of balancers do to endpoints, where a request would take a while to.

// Hold has n more requests in flight at e; fewer if n is negative.
func Hold(e *Endpoint, n int64) { e.inFlight.Add(n) }

// Answer has e answer a request now that has taken so long.
func Answer(e *Endpoint, took time.Duration) { e.observe(success, took, e.pool.clock.now()) }

// Fail has e fail a request now that has taken so long.
func Fail(e *Endpoint, took time.Duration) { e.observe(failure, took, e.pool.clock.now()) }

// WarmUp has e begin its slow start now.
func WarmUp(e *Endpoint) { e.warmFrom.Store(e.pool.clock.now()) }

// Retarget makes targets those of p, as a resolver does.
func Retarget(p *Pool, targets []Target) error { return p.update(targets) }

// Follow has b mark the response of e, as a pool does.
func Follow(b Balancer, r *http.Request, res *http.Response, e *Endpoint) {
	b.(follower).follow(r, res, e)
}
