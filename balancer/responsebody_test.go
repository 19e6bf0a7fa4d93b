package balancer_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

const (
	waitLimit = 5 * time.Second
	waitTick  = time.Millisecond
)

// The backend dies in mid-body.
func TestACutBodyLooksCutAndCountsOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Breaker: balancer.Breaker{Failures: 2}})
	e := p.Endpoints()[0]
	for _, open := range []bool{false, true} {
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		assert.EqualValues(t, 1, e.InFlight())
		got, err := io.ReadAll(res.Body)
		assert.Equal(t, "half", string(got))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		problem := problemIn(t, err)
		assert.Equal(t, gateway.UpstreamBody, problem.Fault)
		assert.ErrorContains(t, problem, s.URL)
		_, err = res.Body.Read(make([]byte, 1))
		require.Error(t, err)
		res.Body.Close()
		assert.Zero(t, e.InFlight())
		assert.Equal(t, open, isOpen(p))
	}
}

// The client leaves in mid-body: the backend hears of it, the endpoint is not blamed.
func TestAClientThatLeavesInMidBodyCancelsTheBackend(t *testing.T) {
	canceled := make(chan struct{}, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		canceled <- struct{}{}
	})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Breaker: balancer.Breaker{Failures: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	res, err := p.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx))
	require.NoError(t, err)
	_, err = io.ReadFull(res.Body, make([]byte, 5))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(res.Body)
	assert.Equal(t, gateway.ClientCanceled, problemIn(t, err).Fault)
	res.Body.Close()
	select {
	case <-canceled:
	case <-time.After(time.Second):
		t.Error("the backend was not told within a second")
	}
	assert.True(t, p.Endpoints()[0].Ready())
	assert.Zero(t, p.Endpoints()[0].InFlight())
}

func TestARequestIsInFlightUntilItsBodyIsDone(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			switch r.URL.Path {
			case "/nil":
				return &http.Response{StatusCode: 204}, nil
			case "/none":
				return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
			}
			return respond(200, "body"), nil
		}),
	})
	e := p.Endpoints()[0]
	for path, done := range map[string]func(io.ReadCloser){
		"/read":   func(b io.ReadCloser) { _, _ = io.ReadAll(b) },
		"/closed": func(b io.ReadCloser) { b.Close(); b.Close() },
		"/both":   func(b io.ReadCloser) { _, _ = io.ReadAll(b); b.Close() },
	} {
		res, err := p.RoundTrip(request(t, "GET", path, nil))
		require.NoError(t, err)
		assert.EqualValues(t, 1, e.InFlight(), path)
		done(res.Body)
		assert.Zero(t, e.InFlight(), path)
	}
	for _, path := range []string{"/nil", "/none"} {
		res, err := p.RoundTrip(request(t, "GET", path, nil))
		require.NoError(t, err)
		assert.Zero(t, e.InFlight(), path)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Empty(t, got)
	}
}

// Callers that only look at the status close the body unread. Successes of theirs
// must count, or failures with many of them in between would be five in a row.
func TestABodyThatIsClosedUnreadIsASuccess(t *testing.T) {
	upstream := always(200, "unread")
	p := breakerPool(t, &upstream)
	for range 10 {
		upstream = always(500, "")
		_, _ = get(t, p)
		upstream = always(200, "unread")
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		res.Body.Close()
	}
	assert.True(t, p.Endpoints()[0].Ready())
}

// echo upgrades, and answers what it was sent once it has n bytes, or the other side
// has closed its half.
func echo(n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		got, _ := io.ReadAll(io.LimitReader(rw, n))
		_, _ = conn.Write(got)
	}
}

func upgradeRequest(t *testing.T) *http.Request {
	r := request(t, "GET", "/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	return r
}

func TestAnUpgradedBodyKeepsWriterAndCloseWrite(t *testing.T) {
	s := serve(t, echo(1<<20))
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	e := p.Endpoints()[0]
	res, err := p.RoundTrip(upgradeRequest(t))
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	conn, ok := res.Body.(io.ReadWriteCloser)
	require.True(t, ok)
	half, ok := res.Body.(interface{ CloseWrite() error })
	require.True(t, ok)

	_, err = io.WriteString(conn, "ping")
	require.NoError(t, err)
	require.NoError(t, half.CloseWrite())
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Equal(t, "ping", string(got))
	assert.EqualValues(t, 1, e.InFlight(), "until it is closed")
	require.NoError(t, conn.Close())
	_ = conn.Close() // twice is fine
	assert.Zero(t, e.InFlight())
}

func TestAnUpgradeDoesNotInventCloseWrite(t *testing.T) {
	near, far := net.Pipe() // has no CloseWrite
	defer far.Close()
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Base: tripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Header: http.Header{}, Body: near}, nil
		}),
	})
	res, err := p.RoundTrip(upgradeRequest(t))
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Implements(t, (*io.Writer)(nil), res.Body)
	_, ok := res.Body.(interface{ CloseWrite() error })
	assert.False(t, ok)
}

func TestAWebSocketPassesProxyAndPool(t *testing.T) {
	p := newPool(t, balancer.Config{Targets: []string{closedPort(t), serve(t, echo(5)).URL}, Balancer: first})
	front := serve(t, gateway.Proxy(p).ServeHTTP)
	conn, err := net.Dial("tcp", strings.TrimPrefix(front.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	got := make([]byte, 5)
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	assert.Equal(t, "early", string(got))
	conn.Close()
	assert.Eventually(t, func() bool { return p.Endpoints()[1].InFlight() == 0 }, waitLimit, waitTick)
}
