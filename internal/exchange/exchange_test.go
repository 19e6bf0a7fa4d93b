package exchange_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newRequest() *http.Request { return httptest.NewRequest("GET", "/", nil) }

func TestJoinMakesOneExchangeForTheWholeChain(t *testing.T) {
	outer, r := exchange.Join(httptest.NewRecorder(), newRequest())
	inner, r2 := exchange.Join(outer, r)
	assert.Same(t, outer, inner)
	assert.Same(t, r, r2)
	assert.Same(t, outer.State, exchange.From(r.Context()))
	assert.Nil(t, exchange.From(newRequest().Context()))
}

// wrapper is a middleware of somebody else's that hides what it wraps.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestJoinSharesTheStateAcrossAForeignWrapper(t *testing.T) {
	outer, r := exchange.Join(httptest.NewRecorder(), newRequest())
	inner, _ := exchange.Join(wrapper{outer}, r)
	assert.NotSame(t, outer, inner, "what goes through the wrapper is counted apart")
	assert.Same(t, outer.State, inner.State)
	assert.Same(t, outer, exchange.Of(wrapper{wrapper{outer}}))
	assert.Nil(t, exchange.Of(wrapper{httptest.NewRecorder()}))
}

func TestForkSeesTheCallerAndKeepsItsOwnToItself(t *testing.T) {
	x, r := exchange.Join(httptest.NewRecorder(), newRequest())
	x.RequestID = "id"
	forked := exchange.From(exchange.Fork(r.Context()))
	assert.Equal(t, "id", forked.RequestID)
	forked.RequestID = "other"
	assert.Equal(t, "id", x.RequestID)
	assert.Nil(t, exchange.From(exchange.Fork(context.Background())))
}

func TestTheRecordedStatusIsTheFinalOneAndHooksRunBeforeTheHeader(t *testing.T) {
	done := make(chan *exchange.Exchange, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, _ := exchange.Join(w, r)
		var order []string
		x.OnHeader(func(http.Header) { order = append(order, "outer") })
		x.OnHeader(func(h http.Header) { order = append(order, "inner"); h.Set("X-Hook", "1") })
		x.WriteHeader(http.StatusEarlyHints)
		assert.Zero(t, x.Status())
		assert.Empty(t, order)
		x.WriteHeader(http.StatusAccepted)
		x.WriteHeader(http.StatusTeapot) // superfluous
		_, _ = io.WriteString(x, "hello")
		assert.Equal(t, []string{"inner", "outer"}, order)
		done <- x
	}))
	defer server.Close()
	server.Config.ErrorLog = nil
	res, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	x := <-done
	assert.Equal(t, 202, x.Status())
	assert.EqualValues(t, 5, x.Bytes())
	assert.Equal(t, 202, res.StatusCode)
	assert.Equal(t, "1", res.Header.Get("X-Hook"))
}

func TestAFlushIsSeenAndAHijackReachesTheConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, _ := exchange.Join(w, r)
		rc := http.NewResponseController(x)
		if r.URL.Path == "/flush" {
			assert.NoError(t, rc.Flush())
			assert.Equal(t, 200, x.Status())
			return
		}
		c, _, err := rc.Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(c, "raw")
			c.Close()
		}
	}))
	defer server.Close()
	res, err := server.Client().Get(server.URL + "/flush")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())

	c, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(bufio.NewReader(c))
	require.NoError(t, err)
	assert.Equal(t, "raw", string(all))
}

func TestPeerIPReadsWhatServersWrite(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
	} {
		r := newRequest()
		r.RemoteAddr = addr
		ip, ok := exchange.PeerIP(r)
		assert.True(t, ok)
		assert.Equal(t, want, ip.String())
	}
	for _, addr := range []string{"", "nonsense", "192.0.2.1", "@"} {
		r := newRequest()
		r.RemoteAddr = addr
		_, ok := exchange.PeerIP(r)
		assert.False(t, ok, addr)
	}
}

// A proxy over something that does not know the state, over a pool on net/http: both ask.
func TestInterimResponsesAreTracedOnce(t *testing.T) {
	passed := 0
	ctx := exchange.With(context.Background(), &exchange.State{Interim: func(int, http.Header) { passed++ }})
	ctx = exchange.Trace(exchange.Trace(ctx))
	require.NoError(t, httptrace.ContextClientTrace(ctx).Got1xxResponse(http.StatusEarlyHints, nil))
	assert.Equal(t, 1, passed)
	again := exchange.With(ctx, &exchange.State{Interim: func(int, http.Header) { passed += 10 }})
	require.NoError(t, httptrace.ContextClientTrace(exchange.Trace(again)).Got1xxResponse(http.StatusEarlyHints, nil))
	assert.Equal(t, 12, passed, "another exchange within is another's")
}
