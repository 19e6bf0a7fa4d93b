package conformance_test

import (
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/conformance"
	"github.com/gatewright/gateway/internal/http1"
	"github.com/gatewright/gateway/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// over returns what a transport of that name can do, and what stands on it.
func over(base string) conformance.Features {
	return conformance.Features{Network: true, Upgrade: true, Errors: true, Counted: true, Strict: base == "http1"}
}

// through returns what a proxy over a transport of that name can do.
func through(base string) conformance.Features {
	ours := base == "http1" // it tells a proxy whether there is more to come
	return conformance.Features{Network: true, Strict: ours, Counted: ours}
}

// transport is one with connections of its own.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// bases are the transports that a pool may stand on.
var bases = map[string]func() transport{
	"http1":    func() transport { return &http1.Transport{} },
	"net-http": func() transport { return &http.Transport{DisableCompression: true} },
}

// serve returns the address of a server of backend, or of nobody if it is nil.
func serve(t *testing.T, backend http.Handler) string {
	t.Helper()
	if backend == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		return l.Addr().String()
	}
	s := httptest.NewUnstartedServer(backend)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// aimed sends to one address: the least that a pool does.
type aimed struct {
	http.RoundTripper
	addr string
}

func (a aimed) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context())
	u := *r.URL
	u.Scheme, u.Host = "http", a.addr
	out.URL = &u
	return a.RoundTripper.RoundTrip(out)
}

func newPool(t *testing.T, backend http.Handler, base func() transport) *balancer.Pool {
	t.Helper()
	addr, b := serve(t, backend), base()
	t.Cleanup(b.CloseIdleConnections)
	pool := balancer.Must(balancer.Config{Targets: []string{"http://" + addr}, Base: b})
	t.Cleanup(func() { pool.Close() })
	return pool
}

func TestTransports(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.RoundTripper(t, func(t *testing.T, backend http.Handler) http.RoundTripper {
				b := base()
				addr := serve(t, backend)
				t.Cleanup(b.CloseIdleConnections)
				return aimed{b, addr}
			}, over(name))
		})
	}
}

func TestPools(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.RoundTripper(t, func(t *testing.T, backend http.Handler) http.RoundTripper {
				return newPool(t, backend, base)
			}, over(name))
		})
	}
}

func TestCaches(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.RoundTripper(t, func(t *testing.T, backend http.Handler) http.RoundTripper {
				return &cache.Transport{Base: newPool(t, backend, base), Store: cache.Memory(1 << 20)}
			}, over(name))
		})
	}
}

func TestLocalHandlers(t *testing.T) {
	conformance.RoundTripper(t, func(_ *testing.T, backend http.Handler) http.RoundTripper {
		return gateway.Local(backend)
	}, conformance.Features{Errors: true, Counted: true})
}

// A proxy in process: what one part of a modular monolith sees of a part that has moved
// out.
func TestLocalProxies(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.RoundTripper(t, func(t *testing.T, backend http.Handler) http.RoundTripper {
				return gateway.Local(gateway.Proxy(newPool(t, backend, base)))
			}, through(name))
		})
	}
}

func TestForwarders(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.Forwarder(t, func(t *testing.T, backend http.Handler) http.Handler {
				return gateway.Proxy(newPool(t, backend, base))
			}, through(name))
		})
	}
}

// What the cache fetches comes through a handler of its own.
func TestForwardersBehindACache(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.Forwarder(t, func(t *testing.T, backend http.Handler) http.Handler {
				return cache.Middleware(cache.Memory(1 << 20))(gateway.Proxy(newPool(t, backend, base)))
			}, through(name))
		})
	}
}

func TestAGibibyteEachWayNeedsLittleMemory(t *testing.T) {
	conformance.Memory(t, func(t *testing.T, backend http.Handler) http.Handler {
		return gateway.Proxy(newPool(t, backend, bases["http1"]))
	}, 1<<30, 32<<20)
}

// Middlewares wrap what the forwarder writes to, and must hide nothing of it.
func TestForwardersInAGateway(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.Forwarder(t, func(t *testing.T, backend http.Handler) http.Handler {
				gw := gateway.New(
					middleware.RequestID,
					middleware.AccessLog(slog.New(slog.DiscardHandler)),
					middleware.Metrics(noop.NewMeterProvider()),
					middleware.Recover,
					middleware.Timeout(time.Minute),
				)
				gw.Handle("/", gateway.Proxy(newPool(t, backend, base)))
				return gw
			}, through(name))
		})
	}
}
