package main

import (
	"net/http"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/middleware"
)

// plain is a route that does nothing but forward.
func plain(s setup) (http.Handler, error) {
	gw := gateway.New()
	gw.Handle("/v1/", gateway.Proxy(balancer.To(s.Backends[0])))
	return gw, nil
}

// full is a route with everything that a public one needs.
func full(s setup) (http.Handler, error) {
	key, err := parseKey(s.Key)
	if err != nil {
		return nil, err
	}
	logger, err := newLogger()
	if err != nil {
		return nil, err
	}
	t := newTelemetry()
	gw := gateway.New(
		middleware.RequestID,
		middleware.Trace(t.traces),
		middleware.AccessLog(logger),
		middleware.Metrics(t.metrics),
		middleware.Recover)
	v1 := gw.Group("/v1",
		auth.Require(auth.JWT{Issuer: issuer, Audience: audience, Key: key}),
		middleware.RateLimit(middleware.PerSecond(userRate).By(auth.Subject)))
	v1.Handle("/", gateway.Proxy(balancer.Must(balancer.Config{
		Targets:  s.Backends,
		Balancer: balancer.PowerOfTwo(),
		Breaker:  balancer.Breaker{Failures: breakerFailures},
	})))
	return gw, nil
}

// aggregateSize is that of four documents under names of one letter.
const aggregateSize = 4*(len(`"a":`)+documentSize) + len(`{,,,}`)

// aggregate4 is one answer of four from the backend.
func aggregate4(s setup) (http.Handler, error) {
	pool := balancer.To(s.Backends[0])
	gw := gateway.New()
	gw.Handle("GET /home", compose.New(
		compose.Get("a", pool, "/v1/a"),
		compose.Get("b", pool, "/v1/b"),
		compose.Get("c", pool, "/v1/c"),
		compose.Get("d", pool, "/v1/d"),
	))
	return gw, nil
}

// cached is a route with a cache in front. As a middleware a hit takes fewer steps
// than as a transport behind Proxy, which first makes a request to send.
func cached(s setup) (http.Handler, error) {
	gw := gateway.New()
	gw.Handle("/cached/", gateway.Proxy(balancer.To(s.Backends[0])), cache.Middleware(cache.Memory(64<<20)))
	return gw, nil
}
