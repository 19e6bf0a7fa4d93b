package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/compose"
)

// An aggregate takes as long as its slowest part, and up to a millisecond more, however
// many parts it has: over sockets, with backends that take 20 ms, on a machine that has
// nothing else to do. Both halves share its processors, so it is the best tenth that counts.
func TestAnAggregateTakesAsLongAsItsSlowestPart(t *testing.T) {
	const takes = 20 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		<-time.After(takes)
		ctx.SetContentType("application/json")
		ctx.Response.SetBodyRaw(document)
	}}
	go func() { _ = server.Serve(l) }() // ends with the listener
	for _, n := range []int{1, 4, 16, 50} {
		pool := balancer.To("http://" + l.Addr().String())
		var parts []compose.Part
		for i := range n {
			parts = append(parts, compose.Get(fmt.Sprintf("part%d", i), pool, fmt.Sprintf("/%d", i)))
		}
		gw := gateway.New()
		gw.Handle("GET /", compose.New(parts...))
		var took []time.Duration
		for range 50 {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			begin := time.Now()
			gw.ServeHTTP(w, r)
			took = append(took, time.Since(begin))
			require.Equal(t, http.StatusOK, w.Code)
		}
		slices.Sort(took)
		t.Logf("%d parts: best tenth %v, median %v", n, took[5], took[25])
		assert.LessOrEqual(t, took[5], takes+2*time.Millisecond, "%d parts", n) // a part by itself: see the log
		require.NoError(t, pool.Close())
	}
}
