package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/compose"
)

// BenchmarkAggregateLatency is how much longer an aggregate takes than its parts, which take
// 20 ms each: over sockets, with backends that share the processors. Beside ns/op, "over-ms"
// is the median time over 20 ms, of which one part has some half a millisecond too: most of
// that is the timer's.
func BenchmarkAggregateLatency(b *testing.B) {
	const takes = 20 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		<-time.After(takes)
		ctx.SetContentType("application/json")
		ctx.Response.SetBodyRaw(document)
	}}
	go func() { _ = server.Serve(l) }() // ends with the listener
	for _, n := range []int{1, 4, 16, 50} {
		b.Run(fmt.Sprintf("%d-parts", n), func(b *testing.B) {
			pool := balancer.To("http://" + l.Addr().String())
			defer pool.Close()
			var parts []compose.Part
			for i := range n {
				parts = append(parts, compose.Get(fmt.Sprintf("part%d", i), pool, fmt.Sprintf("/%d", i)))
			}
			gw := gateway.New()
			gw.Handle("GET /", compose.New(parts...))
			var took []time.Duration
			for b.Loop() {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
				begin := time.Now()
				gw.ServeHTTP(w, r)
				took = append(took, time.Since(begin))
				require.Equal(b, http.StatusOK, w.Code)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]-takes)/float64(time.Millisecond), "over-ms")
		})
	}
}
