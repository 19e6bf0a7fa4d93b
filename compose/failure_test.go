package compose_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// body is a response with a body that is not what its header says, or not all there.
func body(header http.Header, length int64, from io.Reader) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(200, "")
		if header != nil {
			res.Header = header
		}
		res.ContentLength, res.Body = length, io.NopCloser(from)
		return res, nil
	})
}

// again makes a new body for each call.
func again(rt func() http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) { return rt().RoundTrip(r) })
}

// endless counts what has been read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func zipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.Bytes()
}

func failing(err error) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) { return nil, err })
}

// The error of a net.Conn names whom it could not reach.
var refused = &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 80}, Err: errors.New("connection refused by users-1.internal")}

// failures are what backends do, and the status of an answer that needs them. Where what the
// backend said is its answer, one before does not take its place.
func failures() map[string]struct {
	from   http.RoundTripper
	status int
	final  bool
} {
	type failure = struct {
		from   http.RoundTripper
		status int
		final  bool
	}
	text := func(s string) failure { return failure{answering(200, s), 502, false} }
	status := func(code, want int) failure {
		return failure{answering(code, `{"from":"users-1.internal"}`), want, want == code && want < 500}
	}
	bomb := zipped(strings.Repeat(" ", 32<<20))
	gz := http.Header{"Content-Encoding": {"gzip"}}
	return map[string]failure{
		"404":                        status(404, 404),
		"410":                        status(410, 410),
		"403":                        status(403, 403),
		"400 to our own request":     status(400, 502),
		"401 to our own credentials": status(401, 502),
		"405":                        status(405, 502),
		"418":                        status(418, 502),
		"500":                        status(500, 502),
		"502":                        status(502, 502),
		"503":                        status(503, 503),
		"504":                        status(504, 504),
		"429":                        status(429, 503),
		"204":                        {answering(204, ``), 502, false},
		"302":                        status(302, 502),
		"304":                        {answering(304, ``), 502, false},
		"a status nobody knows":      status(799, 502),
		"HTML":                       text("<!DOCTYPE html><title>users-1.internal</title>"),
		"nothing":                    text(""),
		"white space":                text(" \n"),
		"half":                       text(`{"a":`),
		"two":                        text(`{} {}`),
		"NaN":                        text(`{"a":NaN}`),
		"a comment":                  text(`{"a":1}//users-1.internal`),
		"a trailing comma":           text(`[1,]`),
		"a byte order mark":          text("\xef\xbb\xbf{}"),
		"UTF-16":                     text("\xff\xfe{\x00}\x00"),
		"invalid UTF-8":              text("\"\xff\""),
		"a lone surrogate":           text(`"\ud800"`),
		"a name twice":               text(`{"admin":false,"admin":true}`),
		"a name twice, escaped":      text(`{"admin":false,"\u0061dmin":true}`),
		"10,000 levels":              text(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
		"a million levels":           text(strings.Repeat(`{"a":`, 150_000)),
		"over 1 MiB":                 text(`"` + strings.Repeat("x", 1<<20) + `"`),
		"100 MB by its own word":     {again(func() http.RoundTripper { return body(nil, 100<<20, new(endless)) }), 502, false},
		"100 MB without a word":      {again(func() http.RoundTripper { return body(nil, -1, io.LimitReader(new(endless), 100<<20)) }), 502, false},
		"garbage as gzip":            {again(func() http.RoundTripper { return body(gz, 2, strings.NewReader(`{}`)) }), 502, false},
		"half of a gzip":             {again(func() http.RoundTripper { return body(gz, -1, bytes.NewReader(zipped(`{"a":1}`)[:20])) }), 502, false},
		"a gzip bomb":                {again(func() http.RoundTripper { return body(gz, -1, bytes.NewReader(bomb)) }), 502, false},
		"a coding that nobody knows": {again(func() http.RoundTripper {
			return body(http.Header{"Content-Encoding": {"x"}}, 2, strings.NewReader(`{}`))
		}), 502, false},
		"death in mid-body": {again(func() http.RoundTripper {
			return body(nil, 100, io.MultiReader(strings.NewReader(`{"a":1}`), iotest.ErrReader(io.ErrUnexpectedEOF)))
		}), 502, false},
		"a reset in mid-body": {again(func() http.RoundTripper {
			return body(nil, -1, io.MultiReader(strings.NewReader(`{"a":`), iotest.ErrReader(&net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset by users-1.internal")})))
		}), 502, false},
		"late in mid-body": {again(func() http.RoundTripper {
			return body(nil, -1, io.MultiReader(strings.NewReader(`{"a":`), iotest.ErrReader(context.DeadlineExceeded)))
		}), 504, false},
		"refused":                       {failing(refused), 502, false},
		"an error":                      {failing(errors.New("users-1.internal is on fire")), 502, false},
		"late":                          {failing(context.DeadlineExceeded), 504, false},
		"a problem of its own":          {failing(&gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable, Err: errors.New("users-1.internal is down")}), 503, false},
		"a panic":                       {roundTrip(func(*http.Request) (*http.Response, error) { panic("users-1.internal") }), 500, false},
		"a panic that ends connections": {roundTrip(func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) }), 500, false},
		"no response and no error":      {roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil }), 500, false},
		"a body that panics":            {again(func() http.RoundTripper { return body(nil, -1, panics{}) }), 500, false},
		"a handler that panics":         {gateway.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("users-1.internal") })), 502, false},
		"a handler that ends connections": {gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"a":1}`)
			panic(http.ErrAbortHandler)
		})), 502, false},
		"a handler that promised more": {gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"a":1}`)
		})), 502, false},
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("users-1.internal") }

func TestWhatBackendsDoWithRequiredOptionalDefaultAndStaleParts(t *testing.T) {
	for name, test := range failures() {
		t.Run(name, func(t *testing.T) {
			ok := compose.Get("ok", answering(200, `1`), "/")
			bad := compose.Get("bad", test.from, "/")
			for _, last := range []bool{false, true} { // the last part runs on the caller's goroutine
				answer := func(bad compose.Part) (*httptest.ResponseRecorder, string) {
					parts := []compose.Part{bad, ok}
					if last {
						parts = []compose.Part{ok, bad}
					}
					state := &exchange.State{}
					w := httptest.NewRecorder()
					r := httptest.NewRequest("GET", "/", nil)
					compose.New(parts...).ServeHTTP(w, r.WithContext(exchange.With(r.Context(), state)))
					assert.NotContains(t, w.Body.String()+fmt.Sprint(w.Header()), "users-1", "an upstream must not be named")
					assert.NotContains(t, w.Body.String(), "10.1.2.3")
					return w, fmt.Sprint(state.Notes, state.Err)
				}
				w, log := answer(bad)
				assert.Equal(t, test.status, w.Code, w.Body)
				assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
				assert.Contains(t, w.Body.String(), `part \"bad\" failed`)
				assert.Contains(t, log, `part "bad": `)

				w, log = answer(bad.Optional())
				assert.Equal(t, `{"ok":1}`, w.Body.String())
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				assert.Contains(t, log, `part "bad": `)

				w, log = answer(bad.Default(`[]`))
				assert.Contains(t, w.Body.String(), `"bad":[]`)
				assert.Contains(t, w.Body.String(), `"ok":1`)
				assert.Contains(t, log, `part "bad": `)

				w, _ = answer(bad.Default(`[]`).Stale(time.Hour))
				assert.Contains(t, w.Body.String(), `"bad":[]`, "there was none before")
			}

			first := true
			then := roundTrip(func(r *http.Request) (*http.Response, error) {
				if first {
					first = false
					return response(200, `{"old":1}`), nil
				}
				return test.from.RoundTrip(r)
			})
			a := compose.New(ok, compose.Get("bad", then, "/").Stale(time.Hour))
			want := `{"ok":1,"bad":{"old":1}}`
			require.Equal(t, want, get(t, a, "/", nil).Body.String())
			w := get(t, a, "/", nil)
			if test.final {
				assert.Equal(t, test.status, w.Code, "what the backend says is not there any more")
				return
			}
			assert.Equal(t, want, w.Body.String())
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

func TestALargeBodyIsNotReadToItsEnd(t *testing.T) {
	e := new(endless)
	get(t, compose.New(compose.Get("a", body(nil, -1, e), "/")), "/", nil)
	assert.Less(t, e.read, 4<<20)
	e = new(endless)
	get(t, compose.New(compose.Get("a", body(nil, 100<<20, e), "/")), "/", nil)
	assert.Zero(t, e.read)
}

// With sockets: what net/http makes of a backend's death is not what a double
// may imitate.
func TestABackendsDeathInMidBodyIsNoAnswer(t *testing.T) {
	dying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"a":1}`)
		case "/chunked":
			fmt.Fprint(w, `{"a":1}`)
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	defer dying.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	pool := roundTrip(func(r *http.Request) (*http.Response, error) {
		aimed := r.Clone(r.Context())
		aimed.URL.Scheme, aimed.URL.Host = "http", dying.Listener.Addr().String()
		return transport.RoundTrip(aimed)
	})
	for _, path := range []string{"/length", "/chunked", "/at-once"} {
		part := compose.Get("a", pool, path)
		w := get(t, compose.New(part), "/", nil)
		assert.Equal(t, 502, w.Code, path)
		assert.NotContains(t, w.Body.String(), "127.0.0.1")
		assert.Equal(t, `{"a":0}`, get(t, compose.New(part.Default(`0`)), "/", nil).Body.String())
	}
}

func TestALatePartIsReplacedAtItsTimeoutWhereverItWaits(t *testing.T) {
	hanging := func(r *http.Request) io.Reader {
		return readFunc(func([]byte) (int, error) {
			<-r.Context().Done()
			return 0, r.Context().Err()
		})
	}
	for name, from := range map[string]http.RoundTripper{
		"header": roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}),
		"body": roundTrip(func(r *http.Request) (*http.Response, error) {
			res := response(200, "")
			res.ContentLength, res.Body = -1, io.NopCloser(io.MultiReader(strings.NewReader(`{"a":1`), hanging(r)))
			return res, nil
		}),
		"handler": gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })),
		"handler's body": gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"a":1`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				part := compose.Get("slow", from, "/").Timeout(300 * time.Millisecond)
				ok := compose.Get("ok", answering(200, `1`), "/")
				start := time.Now()
				assert.Equal(t, `{"ok":1,"slow":"none"}`, get(t, compose.New(ok, part.Default(`"none"`)), "/", nil).Body.String())
				assert.Equal(t, `{"ok":1}`, get(t, compose.New(part.Optional(), ok), "/", nil).Body.String())
				assert.Equal(t, 504, get(t, compose.New(part, ok), "/", nil).Code)
				assert.Equal(t, 900*time.Millisecond, time.Since(start))
				synctest.Wait()
			})
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestAFailureIsThatOfThePartThatFailedAndNotOfThoseItCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code := range map[int]bool{404: true, 500: true} {
			b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{"/1": time.Hour, "/3": time.Hour}}
			slow1, slow3 := compose.Get("slow1", b, "/1"), compose.Get("slow3", b, "/3")
			bad := compose.Get("bad", answering(code, ``), "/")
			for _, parts := range [][]compose.Part{{slow1, bad, slow3}, {bad, slow1, slow3}, {slow1, slow3, bad}} {
				w := get(t, compose.New(parts...), "/", nil)
				assert.Equal(t, map[int]int{404: 404, 500: 502}[code], w.Code)
				assert.Contains(t, w.Body.String(), `part \"bad\" failed`)
			}
		}
	})
}
