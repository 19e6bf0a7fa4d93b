package cache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/exchange"
)

// behind serves pattern by h behind a cache of its own.
func behind(pattern string, h http.HandlerFunc) *gateway.Gateway {
	g := gateway.New()
	g.Handle(pattern, h, cache.Middleware(cache.Memory(1<<20)))
	return g
}

func call(h http.Handler, method, path string, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	add(r.Header, lines)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddlewareAnswersFromTheStore(t *testing.T) {
	type contextKey struct{}
	var calls atomic.Int64
	h := behind("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, r.Pattern+" "+r.PathValue("id")+" "+r.Host+" "+r.Context().Value(contextKey{}).(string))
	})
	for _, want := range []string{"gateway; fwd=uri-miss", "gateway; hit; ttl=60"} {
		r := httptest.NewRequest("GET", "http://a.test/users/7", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, "value")))
		require.Equal(t, "GET /users/{id} 7 a.test value", w.Body.String())
		require.Equal(t, want, w.Header().Get("Cache-Status"))
	}
	require.EqualValues(t, 1, calls.Load())
	head := call(h, "HEAD", "http://a.test/users/7")
	require.Equal(t, "30", head.Header().Get("Content-Length"))
	require.Empty(t, head.Body.String())
}

func TestMiddlewareSeparatesHosts(t *testing.T) {
	h := behind("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "<script src=//"+r.Host+r.Header.Get("X-Forwarded-Host")+">")
	})
	call(h, "GET", "http://evil.test/")
	require.Equal(t, "<script src=//shop.test>", call(h, "GET", "http://shop.test/").Body.String())
	call(h, "GET", "http://shop.test/", "X-Forwarded-Host: evil.test")
	require.Equal(t, "<script src=//shop.test>", call(h, "GET", "http://shop.test/").Body.String())
}

func TestMiddlewareIsSharedByItsRoutesAndByNobodyElse(t *testing.T) {
	store := cache.Memory(1 << 20)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=60") })
	mw := cache.Middleware(store)
	g := gateway.New()
	routes := func() error {
		return g.SetRoutes(gateway.Route{Pattern: "/a", Handler: answer, Middleware: []gateway.Middleware{mw}})
	}
	require.NoError(t, routes())
	call(g, "GET", "/a")
	require.NoError(t, routes())
	require.Contains(t, call(g, "GET", "/a").Header().Get("Cache-Status"), "hit")

	other := gateway.New()
	other.Handle("/a", answer, cache.Middleware(store))
	require.NotContains(t, call(other, "GET", "/a").Header().Get("Cache-Status"), "hit")
}

func TestMiddlewareInvalidatesBeforeTheClientSeesTheAnswer(t *testing.T) {
	var g *gateway.Gateway
	var version atomic.Int64
	g = behind("/doc", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, strconv.FormatInt(version.Load(), 10))
			return
		}
		version.Add(1)
		if r.Method == "PUT" {
			w.WriteHeader(204)
			// The client has its 204 and asks again, while this handler is not done.
			_, _ = io.WriteString(io.Discard, call(g, "GET", "/doc").Body.String())
		}
	})
	require.Equal(t, "0", call(g, "GET", "/doc").Body.String())
	call(g, "PUT", "/doc")
	require.Equal(t, "1", call(g, "GET", "/doc").Body.String())
	call(g, "POST", "/doc") // the handler writes nothing at all: a 200
	require.Equal(t, "2", call(g, "GET", "/doc").Body.String())
}

func TestMiddlewareLeavesTheResponseWriterAlone(t *testing.T) {
	for _, c := range []struct {
		method, line string
		direct       bool
	}{
		{"GET", "Accept: text/event-stream", true},
		{"GET", "Accept: text/html, Text/Event-Stream;q=1", true},
		{"GET", "Upgrade: websocket", true},
		{"GET", "Range: bytes=0-1", false},
		{"OPTIONS", "Accept: */*", true},
		{"POST", "Accept: */*", true},
		{"GET", "Accept: */*", false},
	} {
		t.Run(c.method+" "+c.line, func(t *testing.T) {
			w := httptest.NewRecorder()
			var reached bool
			mw := cache.Middleware(cache.Memory(1000))(http.HandlerFunc(func(inner http.ResponseWriter, _ *http.Request) {
				for {
					reached = reached || inner == http.ResponseWriter(w)
					u, ok := inner.(interface{ Unwrap() http.ResponseWriter })
					if !ok {
						return
					}
					inner = u.Unwrap()
				}
			}))
			r := httptest.NewRequest(c.method, "/", nil)
			add(r.Header, []string{c.line})
			mw.ServeHTTP(w, r)
			require.Equal(t, c.direct, reached)
		})
	}
}

func TestMiddlewareBelowALimitOfBodiesStillCaches(t *testing.T) {
	h := cache.Middleware(cache.Memory(10_000))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
	}))
	limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		h.ServeHTTP(w, r)
	})
	call(limited, "GET", "/")
	require.Contains(t, call(limited, "GET", "/").Header().Get("Cache-Status"), "hit")
}

func TestMiddlewareKeepsUsersApart(t *testing.T) {
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			x.Principal = principal(r.Header.Get("Authorization"))
			r.Header.Del("Authorization")
			next.ServeHTTP(x, r)
		})
	}
	g := gateway.New(authenticate)
	g.Handle("/me", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		sub, _ := exchange.From(r.Context()).Principal.Claim("sub")
		_, _ = io.WriteString(w, sub)
	}), cache.Middleware(cache.Memory(1<<20)))
	for _, user := range []string{"ann", "bob", "ann"} {
		require.Equal(t, user, call(g, "GET", "/me", "Authorization: "+user).Body.String())
	}
}

// failure returns a middleware that notes what the access log would.
func failure(err *error) gateway.Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			defer func() { *err = x.Err }()
			next.ServeHTTP(x, r)
		})
	}
}

func TestMiddlewareShowsTheLogWhatTheHandlerFailedBy(t *testing.T) {
	var logged error
	h := failure(&logged)(behind("/", func(w http.ResponseWriter, r *http.Request) {
		gateway.Fail(w, r, &gateway.Problem{Status: 502, Fault: gateway.UpstreamDial, Err: errors.New("refused")})
	}))
	require.Equal(t, 502, call(h, "GET", "/").Code)
	require.ErrorContains(t, logged, "refused")
}

func TestMiddlewareTurnsAPanicIntoAFailure(t *testing.T) {
	var logged error
	h := failure(&logged)(behind("/", func(http.ResponseWriter, *http.Request) { panic("nil map") }))
	require.Equal(t, 500, call(h, "GET", "/").Code)
	require.ErrorContains(t, logged, "nil map")
}

func TestMiddlewareAbortsWhatTheHandlerAborts(t *testing.T) {
	for name, written := range map[string]int{"before the header": 0, "after it": 10 << 10} {
		t.Run(name, func(t *testing.T) {
			h := behind("/", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				_, _ = w.Write(make([]byte, written))
				panic(http.ErrAbortHandler)
			})
			for range 2 { // never stored
				require.PanicsWithValue(t, http.ErrAbortHandler, func() { call(h, "GET", "/") })
			}
		})
	}
}

func TestMiddlewareStopsTheHandlerWhenTheClientLeaves(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(behind("/", func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Cache-Control", "max-age=60")
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
		}
	}))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	res, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	<-ended
}

func TestMiddlewareWithoutAStorePanics(t *testing.T) {
	require.Panics(t, func() { cache.Middleware(nil) })
	require.Panics(t, func() { cache.Middleware(cache.Memory(1))(nil) })
}
