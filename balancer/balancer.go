// Package balancer turns addresses into a [http.RoundTripper]: a [Pool] sends each
// request to one of its endpoints, and knows which of them are fit to serve.
//
//	request ──▶ ready endpoints ──▶ Balancer.Pick ──▶ attempt ──▶ judge ──▶ response
//	            healthy,              user's             │          │
//	            breaker allows,       choice             Base       └─▶ breaker, retry elsewhere
//	            not tried yet
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
//			Breaker: balancer.Breaker{Failures: 5},
//		})
//		defer orders.Close()
//		log.Fatal(http.ListenAndServe(":8080", gateway.Proxy(orders)))
//	}
//
// The request given to a pool needs no scheme and no host: the pool aims it, and
// aims it again if an attempt fails and may be repeated (see [Retry]).
//
// What an attempt says about its endpoint is decided in one place. A failure is an
// error on the way there or back, no response before the request's deadline, a
// response that breaks off, and a 5xx but for 501 and 505. A client that leaves or
// whose body breaks counts for nothing, and so do 429 and a 503 with Retry-After:
// they say that there is too much load, and moving it to the other endpoints would
// bring these down as well. Everything else is a success.
package balancer

import "net/http"

// A Balancer chooses the endpoint for an attempt. It keeps no state about endpoints:
// load and health are asked of the [Endpoint]. Pick is called concurrently.
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
