// Package balancer turns addresses into a [http.RoundTripper]: a [Pool] sends each
// request to one of its endpoints, and knows which of them are fit to serve.
//
//	request ──▶ breaker ──▶ endpoints ──▶ Balancer.Pick ──▶ attempt ──▶ judge ──▶ response
//	            and limits  that are ready,                   │           │
//	            of the pool in the first group                │           ├─▶ latency, ejection
//	                        that is well                     Base         └─▶ retry elsewhere
//
// A complete reverse proxy over three servers, one of which may be dead:
//
//	package main
//
//	import (
//		"log"
//		"net/http"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/balancer"
//	)
//
//	func main() {
//		orders := balancer.Must(balancer.Config{
//			Targets: []string{"http://orders-1:8080", "http://orders-2:8080", "http://orders-3:8080"},
//			Health:  balancer.Health{Path: "/healthz"},
//		})
//		defer orders.Close()
//		log.Fatal(http.ListenAndServe(":8080", gateway.Proxy(orders)))
//	}
//
// The request given to a pool needs no scheme and no host: the pool aims it, and
// aims it again if an attempt fails and may be repeated (see [Retry]).
//
// What an attempt says about its endpoint is decided in one place, and balancer, ejection,
// breaker and retries go by it. A failure is an error on the way there or back, no response
// in time, a response that breaks off, and a 5xx but for 501 and 505. A 429 and a 503 with
// Retry-After are overload: the endpoint is spared, but not taken out, since moving its load to
// the others would bring these down as well. A client that leaves or whose body breaks
// counts for nothing. Everything else is a success.
//
// With [Config].Metrics a pool measures: gateway.upstream.attempt.duration (to the
// response's header, with server.address, server.port, url.scheme, gateway.path_prefix if the
// target has a path, and gateway.outcome, which is one of success, overload, failure and
// ignored), gateway.upstream.active_requests,
// gateway.upstream.ready and gateway.upstream.ejections by endpoint, and
// gateway.upstream.retries, gateway.upstream.hedges and gateway.upstream.panics; all with
// gateway.pool if the pool has a name. Attempts that failed are in the access log
// (upstream.failed) and events of the request's span, whether or not another made up for
// them.
package balancer

import "net/http"

// A Balancer chooses the endpoint for an attempt. It keeps no state about endpoints:
// load, latency and weight are asked of the [Endpoint]. Pick is called concurrently.
type Balancer interface {
	// Pick returns one of ready, which is never empty and must be neither kept nor
	// changed. Endpoints that this request has tried are left out for as long as
	// there are others. Nil, or an endpoint that is not in ready, stands for none.
	Pick(r *http.Request, ready []*Endpoint) *Endpoint
}

// BalancerFunc is a function that is a [Balancer].
type BalancerFunc func(r *http.Request, ready []*Endpoint) *Endpoint

// Pick calls f.
func (f BalancerFunc) Pick(r *http.Request, ready []*Endpoint) *Endpoint { return f(r, ready) }

// A follower is a Balancer that marks the response to a request, so as to know the next
// one of the same client.
type follower interface {
	follow(r *http.Request, res *http.Response, e *Endpoint)
}
