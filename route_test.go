package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// aim sends to one address by net/http's transport: the least that a pool does.
func aim(t *testing.T, backend http.Handler) http.RoundTripper {
	t.Helper()
	server := httptest.NewServer(backend)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		out := r.WithContext(r.Context())
		u := *r.URL
		u.Scheme, u.Host = "http", server.Listener.Addr().String()
		out.URL = &u
		return transport.RoundTrip(out)
	})
}

func front(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// raw sends text over a new connection and returns it with a reader of the answer.
func raw(t *testing.T, server *httptest.Server, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c, bufio.NewReader(c)
}

// literal imitates a transport that knows at start-up what it would fail of later.
type literal struct {
	http.RoundTripper
	err error
}

func (l literal) Check() error { return l.err }

func TestProxyPanicsOnATransportThatSaysItIsMisconfigured(t *testing.T) {
	base := gateway.Local(http.NotFoundHandler())
	assert.NotPanics(t, func() { gateway.Proxy(literal{base, nil}) })
	assert.PanicsWithError(t, "gateway: proxy: no key", func() { gateway.Proxy(literal{base, errors.New("no key")}) })
}

func TestProxyForwardsPathAndQueryByteForByte(t *testing.T) {
	backend := aim(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) }))
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(backend))
	gw.Handle("/app/", gateway.Proxy(backend, gateway.StripPrefix("/app")))
	server := front(t, gw)
	for target, want := range map[string]string{
		"/a/x%2Fy": "", "/a/%25": "", "/a/b%3Fc=1": "", "/a/%23": "", "/a/%252F": "", "/a;x/b": "", "/?q=a%20b&u=/x": "",
		"/x?a;b": "", "/x?%zz": "", "/x?": "", "/x?a=b?c": "", "/a%7eb~c/(d)'!*": "", "/%C3%A9": "", "/a+b": "", "/x?a=%2e%2e/": "",
		"/app/a/x%2Fy?q": "/a/x%2Fy?q", "/app/": "/", "/%61pp/b%20c": "/b%20c", "/app/app/": "/app/",
	} {
		if want == "" {
			want = target
		}
		_, answer := raw(t, server, "GET "+target+" HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(answer, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, want, string(body))
	}
}

func TestProxyWritesForwardingFieldsAnewAndDropsThoseOfTheConnection(t *testing.T) {
	var got http.Header
	var host string
	server := front(t, gateway.Proxy(aim(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host }))))
	_, answer := raw(t, server, "GET / HTTP/1.1\r\nHost: shop.test\r\n"+
		"X-Forwarded-For: 10.0.0.1\r\nx-forwarded-host: evil\r\nX_Forwarded_Proto: https\r\nX.Forwarded.Proto: https\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Anything: x\r\n"+
		"Connection: close, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 1\r\nProxy-Authorization: secret\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Keep: 1\r\n\r\n")
	res, err := http.ReadResponse(answer, nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, "1", got.Get("X-Keep"))
	assert.Equal(t, []string{"127.0.0.1"}, got["X-Forwarded-For"])
	assert.Equal(t, []string{"shop.test"}, got["X-Forwarded-Host"])
	assert.Equal(t, []string{"http"}, got["X-Forwarded-Proto"])
	assert.Equal(t, []string{"for=127.0.0.1;host=shop.test;proto=http"}, got["Forwarded"])
	assert.Equal(t, []string{"trailers"}, got["Te"])
	assert.NotEqual(t, "shop.test", host, "the backend is asked by its own name")
	for _, name := range []string{"X_forwarded_proto", "X.forwarded.proto", "X-Real-Ip", "X-Forwarded-Anything", "X-Drop", "Keep-Alive", "Proxy-Authorization", "Upgrade", "User-Agent"} {
		assert.NotContains(t, got, name)
	}
}

func TestProxyPassesWhatTheBackendSays(t *testing.T) {
	server := front(t, gateway.Proxy(aim(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		h.Del("Link")
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2")
		h.Set("Trailer", "X-Sum")
		h.Set("Keep-Alive", "timeout=1")
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
		h.Set("X-Sum", "7")
		h.Set(http.TrailerPrefix+"X-Late", "8")
	}))))
	_, answer := raw(t, server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
	line, err := answer.ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "103 Early Hints")
	interim, err := textproto.NewReader(answer).ReadMIMEHeader()
	require.NoError(t, err)
	assert.Equal(t, "</a.css>; rel=preload", interim.Get("Link"))

	res, err := http.ReadResponse(answer, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, 418, res.StatusCode)
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
	assert.Equal(t, http.Header{"X-Sum": {"7"}, "X-Late": {"8"}}, res.Trailer)
	for _, name := range []string{"Keep-Alive", "X-Hop", "Link"} {
		assert.NotContains(t, res.Header, name)
	}
}

func TestProxySendsTheHeadOfAStreamBeforeItsFirstByteAndEachEventAtOnce(t *testing.T) {
	events := make(chan string)
	server := front(t, gateway.Proxy(aim(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_ = http.NewResponseController(w).Flush()
		for e := range events {
			_, _ = io.WriteString(w, e)
			_ = http.NewResponseController(w).Flush()
		}
	}))))
	res, err := server.Client().Get(server.URL)
	require.NoError(t, err) // the header came though nothing was written
	for _, e := range []string{"data: 1\n\n", "data: 2\n\n"} {
		events <- e
		got := make([]byte, len(e))
		_, err := io.ReadFull(res.Body, got)
		require.NoError(t, err)
		assert.Equal(t, e, string(got))
	}
	close(events)
	require.NoError(t, res.Body.Close())
}

func TestProxyDoesNotHoldBackWhatItHasWhileTheRestIsLate(t *testing.T) {
	next := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		for _, part := range []string{"abc", "def"} {
			_ = http.NewResponseController(w).Flush()
			<-next
			_, _ = io.WriteString(w, part)
		}
	}))
	defer backend.Close()
	pool := balancer.To(backend.URL)
	defer pool.Close()
	server := front(t, gateway.Proxy(pool))
	res, err := server.Client().Get(server.URL)
	require.NoError(t, err) // the header came before the body
	for _, part := range []string{"abc", "def"} {
		next <- struct{}{}
		got := make([]byte, 3)
		_, err := io.ReadFull(res.Body, got)
		require.NoError(t, err)
		assert.Equal(t, part, string(got))
	}
	require.NoError(t, res.Body.Close())
}

func TestProxyLetsACutBodyLookCut(t *testing.T) {
	backend := aim(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	for name, h := range map[string]http.Handler{
		"proxy":                            gateway.Proxy(backend),
		"proxy behind a proxy, in process": gateway.Proxy(gateway.Local(gateway.Proxy(backend))),
	} {
		res, err := front(t, h).Client().Get(front(t, h).URL)
		require.NoError(t, err, name)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, res.Body.Close())
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
		assert.Equal(t, "half", string(body), name)
	}
}

func TestProxyPlacesTheErrorsOfTheWayThere(t *testing.T) {
	fails := func(err error) http.RoundTripper {
		return roundTrip(func(*http.Request) (*http.Response, error) { return nil, err })
	}
	readsBody := roundTrip(func(r *http.Request) (*http.Response, error) {
		_, err := io.ReadAll(r.Body)
		return nil, fmt.Errorf("write request: %w", err)
	})
	limit := func(r *http.Request) *http.Request {
		r.Body = http.MaxBytesReader(nil, r.Body, 2)
		return r
	}
	tests := map[string]struct {
		to     http.RoundTripper
		r      *http.Request
		status int
		typ    string
	}{
		"refused":       {fails(&net.OpError{Op: "dial", Err: errors.New("users-1: refused")}), nil, 502, "upstream_dial"},
		"timeout":       {fails(&net.OpError{Op: "read", Err: context.DeadlineExceeded}), nil, 504, "upstream_timeout"},
		"no answer":     {fails(io.EOF), nil, 502, "upstream_header"},
		"problem":       {fails(fmt.Errorf("pool: %w", &gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable})), nil, 503, "upstream_unavailable"},
		"body too long": {readsBody, limit(httptest.NewRequest("POST", "/", strings.NewReader("12345"))), 413, "about:blank"},
		"body cut off":  {readsBody, httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("12"), broken{io.ErrUnexpectedEOF})), 400, "about:blank"},
		"body too slow": {readsBody, httptest.NewRequest("POST", "/", broken{&net.OpError{Op: "read", Err: context.DeadlineExceeded}}), 408, "about:blank"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.r == nil {
				test.r = httptest.NewRequest("GET", "/", nil)
			}
			w := httptest.NewRecorder()
			gateway.Proxy(test.to).ServeHTTP(w, test.r)
			assert.Equal(t, test.status, w.Code)
			assert.Contains(t, w.Body.String(), test.typ)
			assert.NotContains(t, w.Body.String(), "users-1")
		})
	}
}

// broken is a client's connection that fails in mid-body.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestProxyCancelsTheBackendWhenTheClientLeaves(t *testing.T) {
	gone := make(chan struct{})
	server := front(t, gateway.Proxy(aim(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))))
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
	require.NoError(t, err)
	res, err := server.Client().Do(req)
	require.NoError(t, err)
	leave()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the backend goes on working for nobody")
	}
	require.NoError(t, res.Body.Close())
}

func TestProxySendsNoBodyWhereThereIsNone(t *testing.T) {
	var length int64
	var body io.Reader
	to := roundTrip(func(r *http.Request) (*http.Response, error) {
		length, body = r.ContentLength, r.Body
		return nil, io.EOF
	})
	do(gateway.Proxy(to), "GET", "/")
	assert.Zero(t, length)
	assert.Nil(t, body, "a body that is not nil makes transports send chunks and defeats retries")
}

// echo upgrades and answers every line, until the client closes its half.
func echo(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello\n")
		lines := bufio.NewScanner(rw)
		for lines.Scan() {
			fmt.Fprintf(c, "echo %s\n", lines.Text())
		}
		_, _ = io.WriteString(c, "bye\n")
	})
}

func TestProxyJoinsUpgradedConnectionsWithEarlyBytesAndHalfClose(t *testing.T) {
	server := front(t, gateway.Proxy(aim(t, echo(t))))
	c, answer := raw(t, server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly\n")
	res, err := http.ReadResponse(answer, nil)
	require.NoError(t, err)
	assert.Equal(t, 101, res.StatusCode)
	assert.Equal(t, "websocket", res.Header.Get("Upgrade"))
	_, err = io.WriteString(c, "late\n")
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(answer)
	require.NoError(t, err)
	assert.Equal(t, "hello\necho early\necho late\nbye\n", string(all))
}

func TestProxyPassesOtherUpgradesOnlyWhereAllowed(t *testing.T) {
	backend := aim(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			w.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
			c.Close()
		}
	}))
	closed, open := front(t, gateway.Proxy(backend)), front(t, gateway.Proxy(backend, gateway.AllowUpgrade("tcp")))
	ask := func(s *httptest.Server, token string) int {
		_, answer := raw(t, s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "+token+"\r\n\r\n")
		res, err := http.ReadResponse(answer, nil)
		require.NoError(t, err)
		return res.StatusCode
	}
	assert.Equal(t, 101, ask(closed, "WebSocket"))
	assert.Equal(t, 426, ask(closed, "tcp"))
	assert.Equal(t, 101, ask(open, "TCP"))
	assert.Equal(t, 101, ask(open, "websocket"))
	for _, token := range []string{"h2c", "tcp, h2c", "h2c, websocket"} {
		assert.Equal(t, 426, ask(open, token), token)
	}
	assert.Panics(t, func() { gateway.AllowUpgrade("H2C") })
	assert.Panics(t, func() { gateway.AllowUpgrade("") })
}

func TestProxyRefusesAnUpgradeThatNobodyAskedFor(t *testing.T) {
	server := front(t, gateway.Proxy(aim(t, echo(t))))
	for _, ask := range []string{"Upgrade: h2c", "Upgrade: tcp", ""} {
		_, answer := raw(t, server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"+ask+"\r\n\r\n")
		res, err := http.ReadResponse(answer, nil)
		require.NoError(t, err)
		assert.Equal(t, 502, res.StatusCode, "%q", ask)
	}
}

func TestLocalIsAStreamingBackend(t *testing.T) {
	step := make(chan struct{})
	rt := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_ = http.NewResponseController(w).Flush()
		<-step
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n))
	}))
	r, err := http.NewRequest("POST", "http://users/x", strings.NewReader(strings.Repeat("x", 1<<20)))
	require.NoError(t, err)
	res, err := rt.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-Sum": nil}, res.Trailer)
	close(step)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Len(t, body, 1<<20)
	assert.Equal(t, http.Header{"X-Sum": {fmt.Sprint(1 << 20)}}, res.Trailer)
}

func TestLocalAnswersLikeAServer(t *testing.T) {
	get := func(method string, h http.HandlerFunc) (*http.Response, string) {
		r, err := http.NewRequest(method, "/a%2Fb?q", nil)
		require.NoError(t, err)
		res, err := gateway.Local(h).RoundTrip(r)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(body)
	}
	res, body := get("GET", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/a%2Fb?q", r.RequestURI)
		assert.NotNil(t, r.Body)
		fmt.Fprint(w, "<html>")
	})
	assert.Equal(t, "200 OK", res.Status)
	assert.Equal(t, "<html>", body)
	assert.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	assert.EqualValues(t, 6, res.ContentLength)

	res, _ = get("GET", func(http.ResponseWriter, *http.Request) {})
	assert.Equal(t, 200, res.StatusCode, "a handler that writes nothing")
	res, body = get("HEAD", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "body") })
	assert.Equal(t, 200, res.StatusCode)
	assert.Empty(t, body)
	_, body = get("GET", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(204)
		_, err := fmt.Fprint(w, "body")
		assert.ErrorIs(t, err, http.ErrBodyNotAllowed)
	})
	assert.Empty(t, body)
}

func TestLocalTurnsPanicsAndShortBodiesIntoErrors(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	_, err := gateway.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })).RoundTrip(r)
	require.ErrorContains(t, err, "oops")
	_, err = gateway.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).RoundTrip(r)
	require.ErrorIs(t, err, http.ErrAbortHandler)
	_, err = gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	})).RoundTrip(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	res, err := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("late")
	})).RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "half", string(body))
}

func TestLocalEndsWithItsCaller(t *testing.T) {
	ended := make(chan struct{}, 1)
	rt := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	_, err := rt.RoundTrip(httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	<-ended

	res, err := rt.RoundTrip(httptest.NewRequest("GET", "/stream", nil))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	<-ended
}

func TestLocalDoesNotLeaveAWritingHandlerBehind(t *testing.T) {
	ended := make(chan error, 1)
	rt := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		_, err := w.Write(make([]byte, 1<<20))
		ended <- err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	_, err := rt.RoundTrip(httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, <-ended)
}

func TestLocalSharesNothingWithItsCaller(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X", "1")
	before := r.Header.Clone()
	_, err := gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		in.Header.Set("X", "2")
		in.URL.Path = "/changed"
	})).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, before, r.Header)
	assert.Equal(t, "/", r.URL.Path)
}

func TestChooseTakesTheFirstCaseThatHolds(t *testing.T) {
	h := gateway.Choose(
		gateway.When(gateway.And(gateway.Header("X-Beta", "1"), gateway.Not(gateway.Query("v", "2"))), text("beta")),
		gateway.When(gateway.Or(gateway.Cookie("lab", "on"), gateway.Host("LAB.test")), text("lab")),
		gateway.When(gateway.ClientIP(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")), text("inside")),
	)
	serve := func(change func(*http.Request)) (int, string) {
		r := httptest.NewRequest("GET", "/?a=b%20c", nil)
		change(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for want, change := range map[string]func(*http.Request){
		"beta":   func(r *http.Request) { r.Header["X-Beta"] = []string{"0", "1"} },
		"lab":    func(r *http.Request) { r.Host = "lab.test:8080" },
		"inside": func(r *http.Request) { r.RemoteAddr = "[2001:db8::1%eth0]:1" },
	} {
		_, got := serve(change)
		assert.Equal(t, want, got)
	}
	_, got := serve(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "lab", Value: "on"}) })
	assert.Equal(t, "lab", got)
	_, got = serve(func(r *http.Request) { r.RemoteAddr = "[::ffff:10.1.2.3]:1" })
	assert.Equal(t, "inside", got, "an IPv4 address in IPv6 clothes")
	code, _ := serve(func(r *http.Request) {
		r.Header.Set("X-Beta", "1")
		r.URL.RawQuery = "v=2"
		r.Header.Set("X-Forwarded-For", "10.0.0.1")
	})
	assert.Equal(t, 404, code)
	assert.Equal(t, "else", do(gateway.Choose(gateway.Otherwise(text("else"))), "GET", "/").Body.String())
}

func TestBetweenGoesByTheClockOfThePlace(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	weekdays := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	office := gateway.Between("08:30", "18:00", berlin, weekdays...)
	night := gateway.Between("22:00", "06:00", berlin, time.Friday)
	always := gateway.Between("00:00", "00:00", time.UTC)
	for at, want := range map[string]struct{ office, night bool }{
		"2026-11-26T07:29:59Z": {false, false}, // Thursday, 08:29 in Berlin
		"2026-11-26T07:30:00Z": {true, false},
		"2026-11-26T16:59:59Z": {true, false},
		"2026-11-26T17:00:00Z": {false, false},
		"2026-11-28T10:00:00Z": {false, false}, // Saturday
		"2026-07-02T06:30:00Z": {true, false},  // in summer, 08:30
		"2026-11-27T20:59:00Z": {false, false}, // Friday, 21:59
		"2026-11-27T21:00:00Z": {false, true},
		"2026-11-28T04:59:00Z": {false, true}, // the morning after
		"2026-11-28T05:00:00Z": {false, false},
		"2026-11-28T21:00:00Z": {false, false}, // Saturday night
		"2026-11-27T04:00:00Z": {false, false}, // the morning after Thursday
	} {
		synctest.Test(t, func(t *testing.T) {
			moment, err := time.Parse(time.RFC3339, at)
			require.NoError(t, err)
			time.Sleep(time.Until(moment))
			assert.Equal(t, want.office, office(nil), at)
			assert.Equal(t, want.night, night(nil), at)
			assert.True(t, always(nil))
		})
	}
	for _, f := range []func(){
		func() { gateway.Between("8", "18:00", berlin) },
		func() { gateway.Between("08:00", "24:00", berlin) },
		func() { gateway.Between("08:00", "18:00", nil) },
	} {
		assert.Panics(t, f)
	}
}

func TestMethodAndPathHold(t *testing.T) {
	writes := gateway.And(gateway.Method("POST", "PUT"), gateway.Path("/admin/"))
	for target, want := range map[string]bool{
		"POST /admin/x": true, "PUT /admin/": true, "GET /admin/x": false, "POST /admin": false, "POST /adm%69n/x": true, "POST /admin%2Fx": true, "POST /x": false,
	} {
		method, path, _ := strings.Cut(target, " ")
		assert.Equal(t, want, writes(httptest.NewRequest(method, path, nil)), target)
	}
	one := gateway.Path("/projects/{id}")
	for target, want := range map[string]bool{
		"/projects/1": true, "/projects/group%2Fproject": true, "/projects/a%252fb": true, "/projects/1;v=2": true, "/projects/a/b": false, "/projects/": false,
	} {
		assert.Equal(t, want, one(httptest.NewRequest(http.MethodGet, target, nil)), target)
	}
	assert.Panics(t, func() { gateway.Path("admin") })
}

func TestHostHoldsWithADotAtTheEnd(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for host, want := range map[string]bool{
		"admin.test": true, "ADMIN.test.": true, "admin.test.:80": true, "admin.test:": true, "admin.test..": false, "admin": false, "": false,
	} {
		r.Host = host
		assert.Equal(t, want, gateway.Host("admin.test")(r), host)
		assert.Equal(t, want, gateway.Host("admin.test.")(r), host)
	}
}
