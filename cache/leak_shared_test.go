package cache_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

func TestLeakFollowersAreJudgedByWhatTheResponseVariesBy(t *testing.T) {
	o := reflects(fieldOf("X-V"), "Vary: X-V")
	a, b := together(t, o.RoundTrip, request("GET", "/", "X-V: a"), request("GET", "/", "X-V: b"))
	require.Equal(t, "a", a.body)
	require.Equal(t, "b", b.body)
}

func TestLeakFollowersGetNoFieldThatIsForTheFirst(t *testing.T) {
	o := says(`Cache-Control: max-age=60, private="X-User, Set-Cookie"`, "X-User: ann", "Set-Cookie: s=ann", "Connection: X-Hop", "X-Hop: 1")
	a, b := together(t, o.RoundTrip, request("GET", "/"), request("GET", "/"))
	require.Equal(t, 1, o.calls())
	require.Equal(t, "ann", a.Header.Get("X-User"))
	for _, name := range []string{"X-User", "Set-Cookie", "X-Hop"} {
		require.Empty(t, b.Header[name], name)
	}
}

func TestLeakErrorsThatAClientProvokes(t *testing.T) {
	// A header that is too large, or has a method, or what the origin does not like: what it
	// says to that must not stand for the page.
	for _, status := range []int{400, 401, 403, 408, 413, 417, 421, 429, 431, 500, 502, 503, 504} {
		for _, fresh := range []string{"X: none", `Etag: "1"`, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"} {
			rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
				add(w.Header(), []string{fresh})
				if r.Header.Get("X-Large") != "" {
					w.WriteHeader(status)
				}
			}})
			rt.Negative = time.Hour
			get(t, rt, "/", "X-Large: "+strings.Repeat("x", 10_000))
			require.Equal(t, 200, get(t, rt, "/").StatusCode, "%d %s", status, fresh)
		}
	}
	rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(401)
		}
	}})
	get(t, rt, "/", "Authorization: Basic rubbish")
	require.Equal(t, 200, get(t, rt, "/").StatusCode)
}

func TestLeakWhatTLSAndTheGatewayKnowReachesTheCache(t *testing.T) {
	// There is nothing of it in the fields.
	o := says("Cache-Control: max-age=60")
	bothSides(t, o, func(t *testing.T, h http.Handler) {
		ask := func() string {
			r := httptest.NewRequest("GET", "https://shop.test/", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Header().Get("Cache-Status")
		}
		ask()
		require.NotContains(t, ask(), "hit")
	})
}

func TestLeakAnOriginCannotEmptyAnothersCache(t *testing.T) {
	for location, gone := range map[string]bool{
		"/b":                       true,
		"b":                        true,
		"./x/../b":                 true,
		"http://shop.test/b":       true,
		"//SHOP.test/b":            true,
		"http://evil.test/b":       false,
		"//evil.test/b":            false,
		"http://shop.test@evil/b":  false,
		"http://shop.test:81/b":    false,
		"mailto:b":                 false,
		"http:b":                   false,
		"javascript://shop.test/b": false,
		"http://[::1":              false,
		"":                         false,
	} {
		for _, name := range []string{"Location", "Content-Location", "location"} {
			t.Run(name+" "+location, func(t *testing.T) {
				o := reflects(func(*http.Request) string { return "" })
				get := o.serve
				o.serve = func(w http.ResponseWriter, r *http.Request) {
					if r.Method != "POST" {
						get(w, r)
						return
					}
					w.Header()[name] = []string{location}
					w.WriteHeader(201)
				}
				bothSides(t, o, func(t *testing.T, h http.Handler) {
					for _, host := range []string{"shop.test", "evil.test"} {
						call(h, "GET", "http://"+host+"/b")
					}
					call(h, "POST", "http://shop.test/a")
					hit := func(host string) bool {
						return strings.Contains(call(h, "GET", "http://"+host+"/b").Header().Get("Cache-Status"), "hit")
					}
					require.Equal(t, !gone, hit("shop.test"))
					require.True(t, hit("evil.test"))
				})
			})
		}
	}
}

func TestLeakAnUnsafeMethodThroughOneHostIsNoPurgeOfAnother(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(over(reflects(fieldOf("X-Forwarded-Host")))))
	for _, host := range []string{"a.test", "b.test"} {
		call(gw, "GET", "http://"+host+"/")
	}
	call(gw, "POST", "http://a.test/")
	require.Contains(t, call(gw, "GET", "http://b.test/").Header().Get("Cache-Status"), "hit")
	require.NotContains(t, call(gw, "GET", "http://a.test/").Header().Get("Cache-Status"), "hit")
}

func TestLeakWhatAHandlerChangesAfterwards(t *testing.T) {
	// A handler that keeps its header map and changes it when it has returned.
	kept := http.Header{}
	rt := &cache.Transport{Store: cache.Memory(1 << 20), Base: roundTrip(func(r *http.Request) (*http.Response, error) {
		kept["Cache-Control"] = []string{"max-age=60"}
		return &http.Response{StatusCode: 200, Header: kept, Body: io.NopCloser(strings.NewReader("x")), ContentLength: 1, Request: r}, nil
	})}
	get(t, rt, "/")
	kept.Set("X-Evil", "1")
	kept["Cache-Control"][0] = "public, max-age=99999"
	hit := get(t, rt, "/")
	require.Empty(t, hit.Header["X-Evil"])
	require.Equal(t, "max-age=60", hit.Header.Get("Cache-Control"))
}

func TestLeakNobodyRemovesWhatIsStoredForOthers(t *testing.T) {
	// What one client gets, by its cookie or because it asks so strangely, says nothing of
	// what the others have. With no-cache it reaches the origin at any time.
	personal := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Cookie") != "":
			w.Header().Set("Etag", `"personal"`)
		case len(r.Header.Get("X-Large")) > 0:
			w.WriteHeader(431)
		case r.Header.Get("If-None-Match") == `"1"`:
			w.WriteHeader(304)
		}
	}
	still := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
		}
	}
	for name, then := range map[string]http.HandlerFunc{"personal": personal, "unchanged": still} {
		for _, r := range []*http.Request{
			request("GET", "/", "Cookie: ann"), request("HEAD", "/", "Cookie: ann"), request("GET", "/", "X-Large: 1"),
			request("HEAD", "/", "X-Large: 1"), as("ann", request("GET", "/")),
		} {
			o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("Etag", `"1"`)
				if r.Header.Get("X-Large") != "" {
					w.Header().Del("Cache-Control")
				}
				then(w, r)
			}}
			rt := over(o)
			get(t, rt, "/")
			r.Header.Set("Cache-Control", "no-cache")
			do(t, rt, r)
			require.True(t, has(t, rt, request("GET", "/")), "%s %s %v", name, r.Method, r.Header)
		}
	}
}

func TestWhatIsNoLongerForEverybodyIsRemoved(t *testing.T) {
	for _, status := range []int{200, 301, 401, 403, 404, 410} {
		n := 0
		rt := over(&origin{serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"1"`)
			if n++; n > 1 {
				w.Header().Set("Cache-Control", "private")
				w.WriteHeader(status)
			}
		}})
		get(t, rt, "/")
		get(t, rt, "/", "Cache-Control: no-cache")
		require.False(t, has(t, rt, request("GET", "/")), status)
	}
}
