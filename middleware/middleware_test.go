package middleware_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func request(method, target string) *http.Request { return httptest.NewRequest(method, target, nil) }

func TestRequestIDKeepsAGoodIDAndReplacesAnyOther(t *testing.T) {
	var seen string
	h := middleware.RequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("X-Request-Id") }))
	for _, id := range []string{"a", "0af7651916cd43dd8448eb211c80319c", "01:2-3_4.5/6+7=8~", strings.Repeat("x", 128)} {
		r := request("GET", "/")
		r.Header.Set("X-Request-Id", id)
		assert.Equal(t, id, serve(h, r).Header().Get("X-Request-Id"))
		assert.Equal(t, id, seen)
	}
	for _, ids := range [][]string{nil, {""}, {"a b"}, {"a\nb"}, {`"`}, {"é"}, {strings.Repeat("x", 129)}, {"a", "b"}} {
		r := request("GET", "/")
		r.Header["X-Request-Id"] = ids
		got := serve(h, r).Header().Get("X-Request-Id")
		assert.Len(t, got, 26)
		assert.Equal(t, got, seen, "the backend must see the id of the log")
		assert.Len(t, r.Header["X-Request-Id"], 1)
	}
	first, second := serve(h, request("GET", "/")), serve(h, request("GET", "/"))
	assert.NotEqual(t, first.Header(), second.Header())
}

// logged serves r by h behind an access log and returns the one record.
func logged(t *testing.T, h http.Handler, r *http.Request, mw ...gateway.Middleware) map[string]any {
	t.Helper()
	var out bytes.Buffer
	gw := gateway.New(append([]gateway.Middleware{middleware.AccessLog(slog.New(slog.NewJSONHandler(&out, nil)))}, mw...)...)
	gw.Handle("/users/{id}", h)
	func() {
		defer func() { _ = recover() }()
		serve(gw, r)
	}()
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), "one record a request: %s", &out)
	record := map[string]any{}
	require.NoError(t, json.Unmarshal(out.Bytes(), &record))
	return record
}

func TestAccessLogNamesWhatHappenedAndNoSecrets(t *testing.T) {
	r := request("GET", "/users/7?token=secret")
	r.Header.Set("Authorization", "Bearer secret")
	record := logged(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	}), r, middleware.RequestID)

	assert.Equal(t, "GET", record["http.request.method"])
	assert.Equal(t, "/users/7", record["url.path"])
	assert.Equal(t, "/users/{id}", record["http.route"])
	assert.EqualValues(t, 201, record["http.response.status_code"])
	assert.EqualValues(t, 5, record["http.response.body.size"])
	assert.Equal(t, "192.0.2.1", record["client.address"])
	assert.Len(t, record["request.id"], 26)
	assert.Equal(t, "INFO", record["level"])
	assert.NotContains(t, fmt.Sprint(record), "secret")
}

func TestAccessLogSeesFailuresOfTheInside(t *testing.T) {
	fail := func(err error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gateway.Fail(w, r, err) })
	}
	record := logged(t, fail(&gateway.Problem{Status: 502, Fault: gateway.UpstreamDial, Err: errors.New("users-1: refused")}), request("GET", "/users/7"))
	assert.Equal(t, "upstream_dial", record["error.type"])
	assert.Contains(t, record["error"], "users-1: refused")
	assert.Equal(t, "ERROR", record["level"])

	record = logged(t, status(200), request("GET", "/nowhere"))
	assert.EqualValues(t, 404, record["http.response.status_code"], "requests without a route are logged too")
	assert.Equal(t, "INFO", record["level"])

	record = logged(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}), request("GET", "/users/7"))
	assert.Equal(t, true, record["aborted"])
	assert.Equal(t, "ERROR", record["level"], "a response that was cut off is not a success")

	record = logged(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), request("GET", "/users/7"))
	assert.EqualValues(t, 200, record["http.response.status_code"], "what net/http sends for a handler that writes nothing")
}

func TestAccessLogNamesThePrincipalThatAnInnerMiddlewareFound(t *testing.T) {
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			x.Principal = subject("u1")
			next.ServeHTTP(x, r)
		})
	}
	record := logged(t, status(200), request("GET", "/users/7"), authenticate)
	assert.Equal(t, "u1", record["user.id"])
}

type subject string

func (s subject) Claim(name string) (string, bool) { return string(s), name == "sub" }

func TestRecoverAnswersAPanicAndLogsItsStackWhereTheServerWould(t *testing.T) {
	var out bytes.Buffer
	server := httptest.NewUnstartedServer(middleware.Recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("users-1 is nil") })))
	server.Config.ErrorLog = log.New(&out, "", 0)
	server.Start()
	res, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	server.Close()
	assert.Equal(t, 500, res.StatusCode)
	assert.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	assert.NotContains(t, string(body), "users-1")
	assert.Contains(t, out.String(), "users-1 is nil")
	assert.Contains(t, out.String(), "middleware_test.go", "the stack")
}

func TestRecoverLetsABrokenResponseLookBroken(t *testing.T) {
	abort := middleware.Recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { serve(abort, request("GET", "/")) })

	log.SetOutput(io.Discard)
	defer log.SetOutput(log.Default().Writer())
	late := middleware.Recover(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("late")
	}))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { serve(late, request("GET", "/")) })
}

func TestBodyLimitRefusesWhatIsDeclaredOrTurnsOutTooLong(t *testing.T) {
	h := middleware.BodyLimit(5)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			gateway.Fail(w, r, err)
		}
	}))
	assert.Equal(t, 200, serve(h, httptest.NewRequest("POST", "/", strings.NewReader("12345"))).Code)

	w := serve(h, httptest.NewRequest("POST", "/", strings.NewReader("123456")))
	assert.Equal(t, 413, w.Code)
	assert.Equal(t, "close", w.Header().Get("Connection"))

	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("123456")))
	r.ContentLength = -1
	w = serve(h, r)
	assert.Equal(t, 413, w.Code)
	assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
}

func TestCORSAnswersAPreflightThatHasNoRoute(t *testing.T) {
	gw := gateway.New(middleware.CORS(middleware.CORSPolicy{
		Origins: []string{"https://shop.test"}, Methods: []string{"PUT"}, Headers: []string{"Authorization"}, Credentials: true, MaxAge: time.Hour,
	}))
	gw.Handle("PUT /orders/{id}", status(204))
	preflight := func(origin, method string) http.Header {
		r := request("OPTIONS", "/orders/7")
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", method)
		r.Header.Set("Access-Control-Request-Headers", "authorization")
		return serve(gw, r).Header()
	}
	h := preflight("https://shop.test", "PUT")
	assert.Equal(t, "https://shop.test", h.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "PUT", h.Get("Access-Control-Allow-Methods"))
	assert.Equal(t, "true", h.Get("Access-Control-Allow-Credentials"))
	assert.Equal(t, "3600", h.Get("Access-Control-Max-Age"))
	assert.Empty(t, preflight("https://evil.test", "PUT").Get("Access-Control-Allow-Origin"))
	assert.Empty(t, preflight("https://shop.test", "DELETE").Get("Access-Control-Allow-Origin"))

	for _, bad := range []middleware.CORSPolicy{
		{}, {Origins: []string{"shop.test"}}, {Origins: []string{"https://shop.test/"}}, {Origins: []string{"*"}, Methods: []string{"put"}},
		{Origins: []string{"*"}, Headers: []string{"a b"}}, {Origins: []string{"*"}, MaxAge: -1},
	} {
		assert.Panics(t, func() { middleware.CORS(bad) }, "%+v", bad)
	}
	assert.Panics(t, func() { middleware.CORS(middleware.CORSPolicy{Origins: []string{"*"}, Credentials: true}) })
}

func TestTheUpstreamHasNoSayInCORSAndTheRequestID(t *testing.T) {
	gw := gateway.New(middleware.RequestID, middleware.CORS(middleware.CORSPolicy{Origins: []string{"https://shop.test"}}))
	gw.Handle("/", gateway.Proxy(gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("X-Request-Id", "theirs")
	}))))
	for origin, want := range map[string]string{"https://shop.test": "https://shop.test", "https://evil.test": ""} {
		r := request("GET", "/")
		r.Header.Set("Origin", origin)
		h := serve(gw, r).Header()
		assert.Equal(t, want, h.Get("Access-Control-Allow-Origin"))
		assert.Empty(t, h.Get("Access-Control-Allow-Credentials"))
		assert.Len(t, h.Get("X-Request-Id"), 26)
	}
}

func TestHeadersChangeTheRequestBeforeAndTheResponseAfterTheHandler(t *testing.T) {
	var seen http.Header
	h := middleware.RequestHeaders(middleware.Headers{Remove: []string{"cookie"}, Set: map[string]string{"x-env": "prod"}})(
		middleware.ResponseHeaders(middleware.Headers{Remove: []string{"Server"}, Set: map[string]string{"X-Frame-Options": "DENY"}})(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r.Header
				w.Header().Set("Server", "secret/1.0")
				w.Header().Set("X-Frame-Options", "ALLOWALL")
				_ = http.NewResponseController(w).Flush() // sends the header
			})))
	r := request("GET", "/")
	r.Header.Set("Cookie", "a=b")
	r.Header.Set("X-Env", "client's")
	w := serve(h, r)
	assert.Equal(t, http.Header{"X-Env": {"prod"}}, seen)
	assert.Equal(t, []string{"DENY"}, w.Header()["X-Frame-Options"])
	assert.NotContains(t, w.Result().Header, "Server")

	for _, bad := range []middleware.Headers{
		{Set: map[string]string{"X": "a\r\nY: b"}}, {Set: map[string]string{"a b": "c"}}, {Remove: []string{""}}, {Remove: []string{"é"}},
	} {
		assert.Panics(t, func() { middleware.RequestHeaders(bad) })
		assert.Panics(t, func() { middleware.ResponseHeaders(bad) })
	}
}
