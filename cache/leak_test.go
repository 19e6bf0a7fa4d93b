package cache_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

// reflects returns an origin that puts into its answer, which may be stored, what f takes
// from the request: what an attacker looks for.
func reflects(f func(*http.Request) string, lines ...string) *origin {
	return &origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		add(w.Header(), lines)
		_, _ = io.WriteString(w, f(r))
	}}
}

func fieldOf(name string) func(*http.Request) string {
	return func(r *http.Request) string { return strings.Join(r.Header[http.CanonicalHeaderKey(name)], "|") }
}

// bothSides runs f with a gateway whose cache is inside the proxy, and one whose cache is
// around it, where it sees what the client has sent.
func bothSides(t *testing.T, o *origin, f func(t *testing.T, h http.Handler)) {
	t.Run("inside the proxy", func(t *testing.T) {
		gw := gateway.New()
		gw.Handle("/", gateway.Proxy(over(o)))
		f(t, gw)
	})
	t.Run("around the proxy", func(t *testing.T) {
		gw := gateway.New()
		gw.Handle("/", gateway.Proxy(o), cache.Middleware(cache.Memory(1<<20)))
		f(t, gw)
	})
	t.Run("around a handler", func(t *testing.T) {
		gw := gateway.New()
		gw.Handle("/", o.serve, cache.Middleware(cache.Memory(1<<20)))
		f(t, gw)
	})
}

// leavesAlone has an attacker ask with the lines, and requires that the victim who asks
// without gets what it would have got, and that a second victim does.
func leavesAlone(t *testing.T, h http.Handler, path string, lines ...string) {
	t.Helper()
	want := call(h, "GET", "http://shop.test/clean"+path).Body.String()
	call(h, "GET", "http://shop.test/victim"+path, lines...)
	for range 2 {
		require.Equal(t, want, call(h, "GET", "http://shop.test/victim"+path).Body.String())
	}
}

func TestLeakForwardingFields(t *testing.T) {
	for _, name := range []string{
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Forwarded-Port", "X-Forwarded-Prefix",
		"X-Forwarded-Ssl", "X-Forwarded-Server", "X-Host",
	} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, reflects(fieldOf(name)), func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", name+": evil.test") })
		})
	}
}

func TestLeakForwardedHost(t *testing.T) { // RFC 7239
	for _, value := range []string{"host=evil.test", `for=1.2.3.4;Host="evil.test:80"`, "for=a, for=b;proto=gopher", `for="a;b";host=evil`} {
		t.Run(value, func(t *testing.T) {
			o := reflects(func(r *http.Request) string { // what a framework takes of it
				_, host, _ := strings.Cut(strings.ToLower(r.Header.Get("Forwarded")), "host=")
				_, proto, _ := strings.Cut(r.Header.Get("Forwarded"), "proto=")
				return host + " " + proto
			})
			bothSides(t, o, func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", "Forwarded: "+value) })
		})
	}
}

func TestForwardedForTellsNoResponsesApart(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60"))
	get(t, rt, "/", "X-Forwarded-For: 192.0.2.1", `Forwarded: for="[2001:db8::1]:4711";host=shop.test;proto=https`)
	hit := get(t, rt, "/", "X-Forwarded-For: 192.0.2.2", "Forwarded: For=192.0.2.2;host=shop.test;proto=https")
	require.Contains(t, hit.status(), "hit", "or each client would have its own")
}

func TestLeakFieldsThatReplaceTheTarget(t *testing.T) {
	for _, name := range []string{
		"X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
	} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, reflects(fieldOf(name)), func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", name+": /admin") })
		})
	}
}

func TestLeakTheGatewayRemovesTheClientsForwardingFields(t *testing.T) {
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Port", "X-Real-Ip", "Client-Cert", "X_forwarded_host"} {
		o := reflects(fieldOf(name))
		gw := gateway.New()
		gw.Handle("/", gateway.Proxy(over(o)))
		call(gw, "GET", "http://shop.test/", name+": evil")
		require.Empty(t, o.last().Header[http.CanonicalHeaderKey(name)], name)
	}
}

func TestLeakWhatTheOriginNamesInVary(t *testing.T) { // and what no key has: Origin, Accept, a tenant of the origin's own
	for _, name := range []string{"Origin", "Accept", "Accept-Language", "User-Agent", "X-Tenant"} {
		t.Run(name, func(t *testing.T) {
			o := reflects(fieldOf(name), "Vary: "+name)
			bothSides(t, o, func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", name+": evil") })
		})
	}
}

func TestLeakFieldsThatConnectionHides(t *testing.T) {
	// The cache around the proxy sees the field, the origin does not: the answer without it
	// would be stored for those who send it.
	for _, connection := range []string{"X-Lang", "close, x-lang", "keep-alive,\tX-LANG"} {
		o := reflects(fieldOf("X-Lang"), "Vary: X-Lang")
		bothSides(t, o, func(t *testing.T, h http.Handler) {
			call(h, "GET", "http://shop.test/", "X-Lang: de", "Connection: "+connection)
			require.Equal(t, "de", call(h, "GET", "http://shop.test/", "X-Lang: de").Body.String())
		})
	}
}

func TestLeakFatGet(t *testing.T) {
	o := reflects(func(r *http.Request) string {
		b, _ := io.ReadAll(r.Body)
		return string(b)
	})
	for name, length := range map[string]int64{"with a length": 4, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			bothSides(t, o, func(t *testing.T, h http.Handler) {
				for _, method := range []string{"GET", "HEAD"} {
					r := httptest.NewRequest(method, "http://shop.test/", strings.NewReader("evil"))
					r.ContentLength = length
					h.ServeHTTP(httptest.NewRecorder(), r)
					require.Empty(t, call(h, "GET", "http://shop.test/").Body.String())
				}
			})
		})
	}
}

func TestLeakHostSpellings(t *testing.T) {
	o := reflects(func(r *http.Request) string { return r.Host + r.Header.Get("X-Forwarded-Host") })
	bothSides(t, o, func(t *testing.T, h http.Handler) {
		s := httptest.NewServer(h)
		defer s.Close()
		for _, host := range []string{"evil.test", "shop.test.", "shop.test:8080", "shop.test:", "shop.test@evil.test", "[::1]", "shop.test:80"} {
			rawly(t, s, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			rawly(t, s, "GET http://"+host+"/ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		}
		for range 2 {
			require.True(t, strings.HasSuffix(rawly(t, s, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"), "shop.test"))
		}
	})
}

// rawly sends bytes and returns the body of the answer.
func rawly(t *testing.T, s *httptest.Server, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}

func TestLeakPathConfusion(t *testing.T) {
	// No two of these are one resource for every origin, so none may answer for another.
	paths := []string{
		"/a/b", "//a/b", "/a//b", "/a/b/", "/a/./b", "/a/x/../b", "/a/%2e/b", "/a/x/%2e%2e/b", "/a%2fb", "/a%2Fb", "/a/b;x", "/a;x/b",
		"/a/b%3Fq=1", "/a/b?q=1", "/a/b%23f", "/A/B", "/a/b%00", "/a/b%20", "/a/%62", "/a%5Cb", "/a/b?", "/a/b.css", "/a/b/x.css",
	}
	seen := map[string]string{}
	o := reflects(func(r *http.Request) string { return r.URL.EscapedPath() + "?" + r.URL.RawQuery })
	rt := over(o)
	for _, p := range paths {
		res := get(t, rt, p)
		require.Equal(t, "gateway; fwd=uri-miss", res.status(), p)
		seen[p] = res.body
	}
	for p, body := range seen {
		require.Equal(t, body, get(t, rt, p).body, p)
	}
}

func TestLeakQueriesThatTheOriginReadsOtherwise(t *testing.T) {
	y := cache.Key{IgnoreQuery: []string{"utm_*"}, SortQuery: true}
	for _, c := range []struct{ evil, victim string }{
		{"/?utm_x=1;admin=1", "/"}, // a parameter for who divides by semicolons
		{"/?utm_x=1&q=2;admin=1", "/?q=2"},
		{"/?b=2&a=1;b=3", "/?a=1;b=3&b=2"},
		{"/?a=1&a=2", "/?a=2&a=1"},
		{"/?a=1&%61=2", "/?%61=2&a=1"},
		{"/?q=a+b", "/?q=a%20b"},
		{"/?q=1", "/?Q=1"},
		{"/?q", "/?q="},
		{"/?utm.x=1", "/"},
		{"/?UTM_x=1", "/"},
		{"/?xutm_x=1", "/"},
		{"/?q=%26utm_x", "/?q="},
	} {
		t.Run(c.evil, func(t *testing.T) {
			o := reflects(func(r *http.Request) string { return r.URL.RawQuery })
			rt := &cache.Transport{Base: o, Store: cache.Memory(1 << 20), Key: y}
			get(t, rt, c.evil)
			require.Equal(t, "gateway; fwd=uri-miss", get(t, rt, c.victim).status())
		})
	}
}

func TestLeakCredentials(t *testing.T) {
	mutual := func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		return r
	}
	for name, private := range map[string]*http.Request{
		"Authorization":      request("GET", "/me", "Authorization: Basic YW5u"),
		"Cookie":             request("GET", "/me", "Cookie: a=b"),
		"an empty Cookie":    request("GET", "/me", "Cookie: "),
		"a certificate":      mutual(request("GET", "/me")),
		"a principal":        as("ann", request("GET", "/me")),
		"a user in the URL":  withUser(request("GET", "/me")),
		"cache deception":    request("GET", "/me", "Cookie: a=b", "Accept: text/css"),
		"HEAD with a Cookie": request("HEAD", "/me", "Cookie: a=b"),
	} {
		t.Run(name, func(t *testing.T) {
			o := says("Cache-Control: max-age=60", `Etag: "1"`)
			rt := over(o)
			do(t, rt, private)
			require.Equal(t, "answer 2", get(t, rt, "/me").body)
		})
	}
}

func withUser(r *http.Request) *http.Request {
	r.URL.User = url.User("ann")
	return r
}

func TestLeakCacheDeception(t *testing.T) {
	o := reflects(func(r *http.Request) string { return "account of " + r.Header.Get("Cookie") })
	bothSides(t, o, func(t *testing.T, h http.Handler) {
		for _, path := range []string{"/account/x.css", "/account%2Fx.js", "/account;x.png", "/account%0Ax.ico", "/static/%2e%2e%2faccount"} {
			call(h, "GET", "http://shop.test"+path, "Cookie: ann")
			require.NotContains(t, call(h, "GET", "http://shop.test"+path).Body.String(), "ann", path)
		}
	})
}

func TestLeakTenants(t *testing.T) {
	tenant := func(r *http.Request) string { return r.Header.Get("X-Tenant") }
	o := reflects(fieldOf("X-Tenant"))
	rt := &cache.Transport{Base: o, Store: cache.Memory(1 << 20), Key: cache.Key{By: tenant}}
	for range 2 {
		for _, who := range []string{"a", "b", "", "a:", "\x01a", "a b"} {
			r := request("GET", "/", "Authorization: Bearer "+who)
			r.Header["X-Tenant"] = []string{who}
			require.Equal(t, who, do(t, rt, r).body)
		}
	}
	require.Empty(t, get(t, rt, "/").body, "nobody's answer is stored for somebody, or the other way round")
	require.Contains(t, do(t, rt, request("GET", "/", "Authorization: Bearer a", "X-Tenant: a")).status(), "hit")
	require.NotContains(t, do(t, rt, request("GET", "/", "Authorization: Bearer x")).status(), "store")
}

func TestLeakATenantThatIsEmptyIsNoTenant(t *testing.T) {
	rt := &cache.Transport{
		Base: says("Cache-Control: max-age=60"), Store: cache.Memory(1 << 20),
		Key: cache.Key{By: func(*http.Request) string { return "" }},
	}
	do(t, rt, as("ann", request("GET", "/")))
	require.Equal(t, "answer 2", do(t, rt, as("bob", request("GET", "/"))).body)
}

func TestLeakPartsOfTheKeyDoNotReachIntoEachOther(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := &cache.Transport{Base: o, Store: cache.Memory(1 << 20), Name: "n", Key: cache.Key{
		Headers: []string{"X-A", "X-B"}, By: func(r *http.Request) string { return r.Header.Get("X-By") },
	}}
	for i, lines := range [][]string{
		{}, {"X-A: 1"}, {"X-B: 1"}, {"X-A: 1", "X-B: "}, {"X-A: ", "X-B: 1"}, {"X-A: ", "X-A: 1"}, {"X-A: \x011"}, {"X-By: 1"},
		{"X-A: 1", "X-B: 2"}, {"X-A: 12"}, {"X-A: 1,2"}, {"X-A: 1", "X-A: 2"}, {"X-By: 1/"},
	} {
		require.Equal(t, "gateway; fwd=uri-miss", get(t, rt, "/", lines...).status(), i)
	}
}

func TestLeakMethods(t *testing.T) {
	for _, method := range []string{"OPTIONS", "TRACE", "get", "Get", "POST", "QUERY", "PROPFIND"} {
		for _, control := range []string{"", "only-if-cached", "max-stale"} {
			o := says("Cache-Control: max-age=60")
			rt := over(o)
			do(t, rt, request(method, "/", "Cache-Control: "+control))
			require.Equal(t, "answer 2", get(t, rt, "/").body, "%s is no GET", method)
			require.NotContains(t, do(t, rt, request(method, "/", "Cache-Control: "+control)).status(), "hit", method)
		}
	}
}

func TestLeakOnlyIfCachedReachesNoOrigin(t *testing.T) {
	for _, line := range []string{"X-Original-Url: /admin", `If-Match: "x"`, "Upgrade: websocket", "Range: bytes=0-1", "Pragma: no-cache"} {
		o := says("Cache-Control: max-age=60")
		res := get(t, over(o), "/", "Cache-Control: only-if-cached", line)
		require.Equal(t, 504, res.StatusCode, line)
		require.Zero(t, o.calls())
	}
}

func TestLeakAClientThatLeavesAnswersForNobody(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := over(o)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res, err := rt.RoundTrip(request("GET", "/").WithContext(ctx)); err == nil { // it was faster
		require.NoError(t, res.Body.Close())
	}
	require.Equal(t, 200, get(t, rt, "/").StatusCode)
}
