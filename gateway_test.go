package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatewright/gateway"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text answers with fixed text.
func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func do(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// mark is a middleware that writes its name into X-Order of the response.
func mark(name string) gateway.Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("X-Order", name)
			next.ServeHTTP(w, r)
		})
	}
}

func TestMiddlewaresNestInTheOrderTheyAreWritten(t *testing.T) {
	gw := gateway.New(mark("a"), mark("b"))
	app := gw.Group("/app", mark("c")).Group("/v1/", mark("d"))
	app.Handle("GET shop.test/x/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Pattern, " ", r.PathValue("id"))
	}), mark("e"))
	w := do(gw, "GET", "http://shop.test/app/v1/x/7")
	assert.Equal(t, []string{"a", "b", "c", "d", "e"}, w.Header()["X-Order"])
	assert.Equal(t, "GET shop.test/app/v1/x/{id} 7", w.Body.String())
}

func TestTheRouteIsKnownInEveryMiddleware(t *testing.T) {
	var pattern, id string
	gw := gateway.New(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pattern, id = r.Pattern, r.PathValue("id")
			next.ServeHTTP(w, r)
		})
	})
	gw.Handle("GET /users/{id}", text(""))
	do(gw, "GET", "/users/7")
	assert.Equal(t, "GET /users/{id}", pattern)
	assert.Equal(t, "7", id)
}

func TestMiddlewaresAreAppliedWhenARouteIsRegisteredAndNotByRequest(t *testing.T) {
	wraps := 0
	count := func(next http.Handler) http.Handler { wraps++; return next }
	gw := gateway.New()
	gw.Handle("/", text(""), count)
	for range 3 {
		do(gw, "GET", "/")
	}
	assert.Equal(t, 1, wraps)
}

func TestRequestsWithoutARouteAreAnsweredWithProblemsBehindTheMiddlewares(t *testing.T) {
	gw := gateway.New(mark("log"))
	gw.Handle("GET /users/{id}", text("user"))
	gw.Handle("PUT /users/{id}", text("put"))
	gw.Handle("/tree/", text("tree"))
	tests := []struct {
		method, target string
		status         int
	}{
		{"GET", "/nowhere", 404},
		{"DELETE", "/users/7", 405},
		{"GET", "/users/..%2fadmin", 400},
		{"TRACE", "/tree/", 405},
		{"CONNECT", "/tree/", 405},
	}
	for _, test := range tests {
		w := do(gw, test.method, test.target)
		assert.Equal(t, test.status, w.Code, "%s %s", test.method, test.target)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		assert.Equal(t, []string{"log"}, w.Header()["X-Order"])
		var doc map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
		assert.Equal(t, "about:blank", doc["type"])
		assert.EqualValues(t, test.status, doc["status"])
		assert.Equal(t, http.StatusText(test.status), doc["title"])
	}
	assert.Equal(t, "GET, HEAD, PUT", do(gw, "DELETE", "/users/7").Header().Get("Allow"))
	w := do(gw, "GET", "/tree?a=b")
	assert.Equal(t, 307, w.Code, "net/http's own redirect to the subtree")
	assert.Equal(t, "/tree/?a=b", w.Header().Get("Location"))
	assert.Equal(t, []string{"log"}, w.Header()["X-Order"])
}

func TestTraceAndConnectNeedARouteThatNamesThem(t *testing.T) {
	gw := gateway.New()
	gw.Handle("TRACE /echo", text("echo"))
	assert.Equal(t, 200, do(gw, "TRACE", "/echo").Code)
}

// A guard by route must hold for every spelling of the path that a backend may
// read as the guarded one (INCIDENTS 2).
func TestAGuardedRouteHasNoSecondSpelling(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/", text("open"))
	gw.Handle("/admin/", text("guarded"))
	gw.Handle("/files/{name...}", text("file"))
	assert.Equal(t, "guarded", do(gw, "GET", "/admin/x").Body.String())
	assert.Equal(t, "guarded", do(gw, "GET", "/%61dmin/x").Body.String())
	for _, path := range []string{
		"//admin/x", "/./admin/x", "/a/../admin/x", "/a/%2e%2e/admin/x", "/a/.%2e/admin/x", "/a/..%2fadmin/x",
		"/a/%252e%252e/admin/x", "/admin%2Fa%252Fb", "/admin%2F;x", "/a/..;/admin/x", "/a/..%5cadmin/x", "/admin%2fx", "/admin%2Fx", "/admin%252fx",
		"/admin;a=b/x", "/;/admin/x", "/admin%3ba/x", "/%5cadmin/x", "/admin%00/x", "/a%0d%0ab", "/a/..", "/a/%2e",
	} {
		w := do(gw, "GET", path)
		assert.NotEqual(t, 200, w.Code, "%s reached %q", path, w.Body)
	}
	for path, want := range map[string]string{
		"/files/a%2Fb": "file", "/a;b": "open", "/a/b%3Fc": "open", "/100%25": "open", "/a/%23": "open", "/.well-known/x": "open", "/a..b/...": "open",
	} {
		w := do(gw, "GET", path)
		assert.Equal(t, 200, w.Code, path)
		assert.Equal(t, want, w.Body.String(), path)
	}
}

// Of a path that is not quite by the book, Go's EscapedPath decodes every slash. What is
// forwarded has them still, so that a backend sees the guarded route.
func TestAGuardedRouteIsNotReachedByASlashThatIsForwardedEncoded(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/files/{name}", text("guarded"))
	gw.Handle("/files/{name}/public", text("open"))
	for _, path := range []string{"/files/x%2fpublic", "/files/x|%2fpublic", "/files/x%2Fpublic|", "/files/\xc3\xa9%2fpublic"} {
		assert.Contains(t, []int{400, 404}, do(gw, "GET", path).Code, path)
	}
	assert.Equal(t, "guarded", do(gw, "GET", "/files/x|").Body.String())
	assert.Equal(t, "open", do(gw, "GET", "/files/x|/public").Body.String())
}

func TestFieldsNamedByConnectionAreGoneBeforeAnyMiddleware(t *testing.T) {
	var seen http.Header
	gw := gateway.New(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-User-Id", "verified")
			next.ServeHTTP(w, r)
		})
	})
	gw.Handle("/", gateway.Proxy(gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Connection"] = []string{"close, X-Foo", "x-BAR ,, X-User-Id"}
	r.Header.Set("X-Foo", "1")
	r.Header.Set("X-Bar", "1")
	r.Header.Set("X-User-Id", "claimed")
	gw.ServeHTTP(httptest.NewRecorder(), r)
	assert.NotContains(t, seen, "X-Foo")
	assert.NotContains(t, seen, "X-Bar")
	assert.NotContains(t, seen, "Connection")
	assert.Equal(t, "verified", seen.Get("X-User-Id"), "what the gateway adds is not the client's to delete")
}

func TestSetRoutesReportsEveryFaultAndChangesNothing(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/old", text("old"))
	err := gw.SetRoutes(
		gateway.Route{Pattern: "/new", Handler: text("new")},
		gateway.Route{Pattern: "/nil"},
		gateway.Route{Pattern: "GET relative", Handler: text("")},
		gateway.Route{Pattern: "/{a}/{a}", Handler: text("")},
		gateway.Route{Pattern: "/new", Handler: text("again")},
		gateway.Route{Pattern: "/mw", Handler: text(""), Middleware: []gateway.Middleware{nil}},
		gateway.Route{Pattern: "/mw2", Handler: text(""), Middleware: []gateway.Middleware{func(http.Handler) http.Handler { return nil }}},
		gateway.Route{Pattern: "/mw3", Handler: text(""), Middleware: []gateway.Middleware{func(http.Handler) http.Handler { panic("no") }}},
	)
	require.Error(t, err)
	for _, part := range []string{`"/nil"`, `"GET relative"`, `"/{a}/{a}"`, "conflicts", `"/mw"`, `"/mw2"`, `"/mw3"`} {
		assert.ErrorContains(t, err, part)
	}
	assert.Equal(t, 200, do(gw, "GET", "/old").Code)
	assert.Equal(t, 404, do(gw, "GET", "/new").Code)
	assert.Len(t, gw.Routes(), 1)
}

func TestRoutesCanBeTakenChangedAndSetAgain(t *testing.T) {
	gw := gateway.New(mark("gw"))
	gw.Group("/app", mark("group")).Handle("GET /a", text("a"), mark("route"))
	routes := gw.Routes()
	require.Len(t, routes, 1)
	assert.Equal(t, "GET /app/a", routes[0].Pattern)

	require.NoError(t, gw.SetRoutes(append(routes, gateway.Route{Pattern: "/b", Handler: text("b")})...))
	assert.Equal(t, []string{"gw", "group", "route"}, do(gw, "GET", "/app/a").Header()["X-Order"])
	assert.Equal(t, "b", do(gw, "GET", "/b").Body.String())

	require.NoError(t, gw.SetRoutes())
	assert.Equal(t, 404, do(gw, "GET", "/b").Code)
}

func TestRequestsFinishOnTheTableTheyCameInBy(t *testing.T) {
	gw := gateway.New()
	entered, leave := make(chan struct{}), make(chan struct{})
	gw.Handle("/slow", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "old")
	}))
	done := make(chan string)
	go func() { done <- do(gw, "GET", "/slow").Body.String() }()
	<-entered
	require.NoError(t, gw.SetRoutes(gateway.Route{Pattern: "/slow", Handler: text("new")}))
	assert.Equal(t, "new", do(gw, "GET", "/slow").Body.String())
	close(leave)
	assert.Equal(t, "old", <-done)
}

func TestBadLiteralsPanic(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/a", text(""))
	for name, bad := range map[string]func(){
		"conflict":       func() { gw.Handle("/a", text("")) },
		"pattern":        func() { gw.Handle("a b c", text("")) },
		"nil handler":    func() { gw.Handle("/b", nil) },
		"nil middleware": func() { gw.Handle("/c", text(""), nil) },
		"New":            func() { gateway.New(nil) },
		"group":          func() { gw.Group("app") },
		"no path":        func() { gw.Group("/app").Handle("GET", text("")) },
		"strip":          func() { gateway.StripPrefix("/") },
		"proxy":          func() { gateway.Proxy(nil) },
		"local":          func() { gateway.Local(nil) },
		"choose":         func() { gateway.Choose(gateway.When(nil, text(""))) },
	} {
		assert.Panics(t, bad, name)
	}
	assert.Len(t, gw.Routes(), 1)
}

func TestFailWritesTheProblemAndKeepsTheCauseToItself(t *testing.T) {
	secret := errors.New("dial users-1.internal: refused")
	tests := map[string]struct {
		err    error
		status int
		body   string
	}{
		"problem": {
			&gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable, Detail: "try later", Instance: "/log/7", Err: secret, RetryAfter: 1500 * time.Millisecond},
			503, `{"type":"urn:problem-type:gateway:upstream_unavailable","title":"Service Unavailable","status":503,"detail":"try later","instance":"/log/7"}`,
		},
		"wrapped":       {fmt.Errorf("orders: %w", &gateway.Problem{Status: 404, Type: "https://shop.test/gone", Title: "Gone away"}), 404, `{"type":"https://shop.test/gone","title":"Gone away","status":404}`},
		"unknown":       {secret, 500, `{"type":"about:blank","title":"Internal Server Error","status":500}`},
		"no status":     {&gateway.Problem{}, 500, `{"type":"about:blank","title":"Internal Server Error","status":500}`},
		"silly status":  {&gateway.Problem{Status: 200}, 500, `{"type":"about:blank","title":"Internal Server Error","status":500}`},
		"too large":     {fmt.Errorf("copy: %w", &http.MaxBytesError{Limit: 5}), 413, `{"type":"about:blank","title":"Request Entity Too Large","status":413}`},
		"expired":       {context.DeadlineExceeded, 504, `{"type":"urn:problem-type:gateway:upstream_timeout","title":"Gateway Timeout","status":504}`},
		"client's gone": {context.Canceled, 499, `{"type":"about:blank","title":"Client Closed Request","status":499}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "1000")
				w.Header().Set("Etag", `"of the success"`)
				w.Header().Set("Cache-Control", "public")
				gateway.Fail(w, r, test.err)
			}), "GET", "/")
			assert.Equal(t, test.status, w.Code)
			assert.JSONEq(t, test.body, w.Body.String())
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Empty(t, w.Header().Get("Etag"))
			assert.Empty(t, w.Header().Get("Content-Length"))
		})
	}
	w := do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gateway.Fail(w, r, tests["problem"].err) }), "GET", "/")
	assert.Equal(t, "2", w.Header().Get("Retry-After"), "whole seconds, rounded up")
	assert.ErrorIs(t, tests["problem"].err, secret)
	assert.ErrorContains(t, tests["problem"].err, "users-1", "the log has it all")
}

func TestFailAbortsAResponseThatHasBegun(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		gateway.Fail(w, r, errors.New("broken"))
	}))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { do(gw, "GET", "/") })
}

func TestFailOfAHeadRequestHasNoBody(t *testing.T) {
	w := do(gateway.New(), "HEAD", "/")
	assert.Equal(t, 404, w.Code)
	assert.Empty(t, w.Body.Bytes())
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func TestServeFinishesWhatRunsAndAcceptsNothingNew(t *testing.T) {
	gw := gateway.New()
	entered, leave := make(chan struct{}), make(chan struct{})
	gw.Handle("/slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		if r.Context().Err() == nil {
			_, _ = io.WriteString(w, "finished")
		}
	}))
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- gw.ServeListener(ctx, l) }()
	body := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String() + "/slow") //nolint:noctx // the test ends it
		if err != nil {
			body <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		body <- string(b)
	}()
	<-entered
	stop()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 5*time.Second, time.Millisecond, "nothing new is accepted")
	close(leave)
	assert.Equal(t, "finished", <-body)
	require.NoError(t, <-served)
	http.DefaultClient.CloseIdleConnections()
}

func TestServeSaysWhatWentWrong(t *testing.T) {
	gw := gateway.New()
	l := listen(t)
	defer l.Close()
	require.ErrorContains(t, gw.Serve(context.Background(), l.Addr().String()), "address already in use")

	closed := listen(t)
	require.NoError(t, closed.Close())
	require.ErrorContains(t, gw.ServeListener(context.Background(), closed), "closed")
}

func TestServeCutsOffWhatDoesNotFinishInTime(t *testing.T) {
	gw := gateway.New()
	gw.DrainTimeout = 20 * time.Millisecond
	entered := make(chan struct{})
	gw.Handle("/stuck", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- gw.ServeListener(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-entered
	stop()
	require.ErrorContains(t, <-served, "drain")
	_, err = bufio.NewReader(c).ReadByte()
	assert.Error(t, err, "the connection is closed without an answer")
}

func TestServeWaitsForUpgradedConnectionsAndThenCutsThemOff(t *testing.T) {
	backend := aim(t, echo(t))
	gw := gateway.New()
	gw.DrainTimeout = 50 * time.Millisecond
	gw.Handle("/", gateway.Proxy(backend))
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- gw.ServeListener(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	stop()
	require.ErrorContains(t, <-served, "drain")
	_, err = io.ReadAll(in)
	require.NoError(t, err, "the tunnel has ended")
}

func TestAMiddlewareMayLookAtTheRoutesWhileItIsApplied(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/", text(""), func(next http.Handler) http.Handler {
		assert.Empty(t, gw.Routes(), "and no lock is held")
		return next
	})
	assert.Len(t, gw.Routes(), 1)
}

func TestServeRefusesHeadersWithoutEnd(t *testing.T) {
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- gateway.New().ServeListener(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	assert.Equal(t, 431, res.StatusCode)
	stop()
	require.NoError(t, <-served)
}
