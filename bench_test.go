package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// canned answers every request on every connection with the same bytes.
func canned(b *testing.B, answer []byte) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for n := 0; ; {
					m, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
						if _, err := c.Write(answer); err != nil {
							return
						}
						n = 0
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// BenchmarkProxy is a proxied GET of 1 KiB without the server's part in it: route,
// forwarder, pool and transport, to a backend on loopback that allocates nothing.
func BenchmarkProxy(b *testing.B) {
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n"), make([]byte, 1024)...)
	pool := balancer.To(canned(b, answer))
	defer pool.Close()
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(pool))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := httptest.NewRequest(http.MethodGet, "/v1/users/7?full=1", nil).WithContext(ctx)
	r.Header.Set("User-Agent", "bench")
	r.Header.Set("Accept", "application/json")
	w := sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		gw.ServeHTTP(w, r)
	}
}

// BenchmarkRoutes reports the memory of a route in a table of 10,000.
func BenchmarkRoutes(b *testing.B) {
	const routes = 10_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		gw := gateway.New()
		h := http.NotFoundHandler()
		for i := range routes {
			gw.Handle(fmt.Sprintf("GET /service-%d/{id}", i), h)
		}
		b.ReportMetric(float64(heap()-before)/routes, "B/route")
		runtime.KeepAlive(gw)
	}
}
