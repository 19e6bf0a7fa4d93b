package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/middleware"
	"go.opentelemetry.io/otel"
)

// Who issues the tokens, and for whom.
const (
	issuer   = "https://id.shop.test"
	audience = "app"
)

// upstreams are the services behind the gateway: pools in the program, handlers in a
// test.
type upstreams struct{ users, orders, offers http.RoundTripper }

// newGateway is all of the wiring.
func newGateway(to upstreams, key []byte, logger *slog.Logger) *gateway.Gateway {
	offers := &cache.Transport{Base: to.offers, Store: cache.Memory(64 << 20)}

	gw := gateway.New(
		middleware.RequestID,
		middleware.Trace(otel.GetTracerProvider()), // nothing, until the program sets a provider
		middleware.AccessLog(logger),
		middleware.Metrics(otel.GetMeterProvider()),
		middleware.Recover,
		middleware.CORS(middleware.CORSPolicy{Origins: []string{"https://shop.test"}, Headers: []string{"Authorization"}}),
	)
	app := gw.Group("/app",
		auth.Require(auth.JWT{Issuer: issuer, Audience: audience, Key: key}),
		middleware.RateLimit(middleware.PerSecond(20).Burst(40).By(auth.Subject)),
		middleware.BodyLimit(1<<20),
		middleware.Timeout(10*time.Second),
	)
	app.Handle("GET /home", compose.New(
		compose.Get("profile", to.users, "/v1/users/{sub}"),
		compose.Get("orders", to.orders, "/v1/orders?user={sub}").Timeout(300*time.Millisecond).Default(`[]`),
		compose.Get("offers", offers, "/v1/offers?segment={profile.segment}").Timeout(300*time.Millisecond).Optional(),
	))
	orders := gateway.Proxy(to.orders, gateway.StripPrefix("/app"))
	app.Handle("GET /orders/{id}", orders)
	app.Handle("POST /orders/", orders)
	return gw
}
