package middleware_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hsts = "Strict-Transport-Security"

// overTLS returns the header of what h answers to a client that came over TLS.
func overTLS(h http.Handler) http.Header {
	r := request("GET", "https://shop.test/")
	r.TLS = &tls.ConnectionState{}
	return serve(h, r).Header()
}

func setting(h http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range h {
			w.Header()[name] = values
		}
	})
}

var secured = http.Header{
	"Strict-Transport-Security":    {"max-age=63072000"},
	"X-Content-Type-Options":       {"nosniff"},
	"X-Frame-Options":              {"DENY"},
	"Content-Security-Policy":      {"frame-ancestors 'none'"},
	"Referrer-Policy":              {"no-referrer"},
	"Cross-Origin-Opener-Policy":   {"same-origin"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
}

func TestSecureHeadersCompletesEveryAnswer(t *testing.T) {
	mw := middleware.SecureHeaders(middleware.Security{})
	for name, h := range map[string]http.Handler{
		"nothing written": status200,
		"a body":          ok,
		"a redirect":      http.RedirectHandler("/x", http.StatusFound),
		"not modified":    status(http.StatusNotModified),
		"a flush": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
		}),
		"a problem": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { gateway.Fail(w, r, io.EOF) }),
	} {
		got := overTLS(mw(h))
		for field, values := range secured {
			assert.Equal(t, values, got[field], "%s: %s", name, field)
		}
	}
	gw := gateway.New(mw)
	assert.Equal(t, "nosniff", serve(gw, request("GET", "/nowhere")).Header().Get("X-Content-Type-Options"), "what has no route too")
}

var status200 = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func TestSecureHeadersLeavesTheHandlersOwnButForTheGateways(t *testing.T) {
	own := http.Header{
		"X-Frame-Options": {"SAMEORIGIN"}, "Content-Security-Policy": {"default-src 'self'", "img-src *"}, "Referrer-Policy": {"origin"},
		"Permissions-Policy": {"camera=()"}, "Cross-Origin-Opener-Policy": {"unsafe-none"}, "Cross-Origin-Resource-Policy": nil,
		"Cross-Origin-Embedder-Policy": {"require-corp"},
	}
	mw := middleware.SecureHeaders(middleware.Security{Permissions: "camera=(self)", Embedder: "credentialless"})
	got := overTLS(mw(setting(own)))
	for name, values := range own {
		assert.Equal(t, values, got[name])
	}
	got = overTLS(mw(setting(http.Header{hsts: {"max-age=0"}, "X-Content-Type-Options": {"sniff"}})))
	assert.Equal(t, []string{"max-age=63072000"}, got[hsts])
	assert.Equal(t, []string{"nosniff"}, got["X-Content-Type-Options"])
}

func TestSecureHeadersAreSentAsTheyAreGiven(t *testing.T) {
	got := overTLS(middleware.SecureHeaders(middleware.Security{
		HSTS: time.Hour + time.Millisecond, IncludeSubDomains: true, Frames: "SAMEORIGIN", Referrer: "no-referrer, same-origin",
		Permissions: "camera=()", Opener: "unsafe-none", Resource: "cross-origin", Embedder: "require-corp",
	})(ok))
	for name, value := range map[string]string{
		hsts: "max-age=3600; includeSubDomains", "X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "frame-ancestors 'self'",
		"Referrer-Policy": "no-referrer, same-origin", "Permissions-Policy": "camera=()", "Cross-Origin-Opener-Policy": "unsafe-none",
		"Cross-Origin-Resource-Policy": "cross-origin", "Cross-Origin-Embedder-Policy": "require-corp",
	} {
		assert.Equal(t, []string{value}, got[name])
	}
	got = overTLS(middleware.SecureHeaders(middleware.Security{ContentPolicy: "default-src 'none'"})(ok))
	assert.Equal(t, []string{"default-src 'none'"}, got["Content-Security-Policy"])
}

func TestSecureHeadersLeavesOutWhatItIsTold(t *testing.T) {
	mw := middleware.SecureHeaders(middleware.Security{
		HSTS: -1, Frames: middleware.LeaveOut, Referrer: middleware.LeaveOut,
		Permissions: middleware.LeaveOut, Opener: middleware.LeaveOut, Resource: middleware.LeaveOut, Embedder: middleware.LeaveOut, Remove: []string{},
	})
	assert.Equal(t, http.Header{"X-Content-Type-Options": {"nosniff"}, "Server": {"x"}, hsts: {"max-age=1"}},
		overTLS(mw(setting(http.Header{"Server": {"x"}, hsts: {"max-age=1"}}))))
	got := overTLS(middleware.SecureHeaders(middleware.Security{ContentPolicy: middleware.LeaveOut})(ok))
	assert.NotContains(t, got, "Content-Security-Policy")
	assert.Contains(t, got, "X-Frame-Options")
}

func TestSecureHeadersRemovesWhatTellsTheSoftware(t *testing.T) {
	tell := http.Header{"Server": {"a"}, "X-Powered-By": {"b"}, "X-Aspnet-Version": {"c"}, "X-Aspnetmvc-Version": {"d"}, "X-Build": {"e"}}
	got := overTLS(middleware.SecureHeaders(middleware.Security{})(setting(tell)))
	for name := range tell {
		assert.Equal(t, name == "X-Build", got[name] != nil, name)
	}
	got = overTLS(middleware.SecureHeaders(middleware.Security{Remove: []string{"x-build"}})(setting(tell)))
	assert.NotContains(t, got, "X-Build")
	assert.Contains(t, got, "Server")
}

func TestHSTSIsOnlyForWhoCameOverTLS(t *testing.T) {
	mw := middleware.SecureHeaders(middleware.Security{})
	h := middleware.TrustProxies(netip.MustParsePrefix("10.0.0.0/8"))(mw(setting(http.Header{hsts: {"max-age=1"}})))
	for _, test := range []struct {
		peer, proto string
		tls, want   bool
	}{
		{"192.0.2.1:1", "", false, false},
		{"192.0.2.1:1", "", true, true},
		{"192.0.2.1:1", "https", false, false},
		{"192.0.2.1:1", "http", true, true},
		{"10.0.0.1:1", "https", false, true},
		{"10.0.0.1:1", "HTTPS, http", false, true},
		{"10.0.0.1:1", "http", true, false},
		{"10.0.0.1:1", "http, https", true, false},
		{"10.0.0.1:1", "", true, true},
		{"10.0.0.1:1", "", false, false},
	} {
		r := request("GET", "/")
		r.RemoteAddr = test.peer
		if test.proto != "" {
			r.Header.Set("X-Forwarded-Proto", test.proto)
		}
		if test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		got := serve(h, r).Header()[hsts]
		assert.Equal(t, test.want, got != nil, "%+v: %v", test, got)
	}
}

func TestSecurityIsCheckedAtStartUpAllAtOnce(t *testing.T) {
	err := panicOf(t, func() {
		middleware.SecureHeaders(middleware.Security{
			HSTS: time.Millisecond, Frames: "ALLOW-FROM https://shop.test", ContentPolicy: "a\r\nSet-Cookie: b", Referrer: "no-referer",
			Permissions: " camera=()", Opener: "x", Resource: "y", Embedder: "z", Remove: []string{"a b"},
		})
	})
	for _, fault := range []string{
		"HSTS", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy", "Permissions-Policy",
		"Opener-Policy", "Resource-Policy", "Embedder-Policy", `"a b"`,
	} {
		assert.ErrorContains(t, err, fault)
	}
	assert.ErrorContains(t, panicOf(t, func() { middleware.SecureHeaders(middleware.Security{HSTS: -1, IncludeSubDomains: true}) }), "IncludeSubDomains")
}

// panicOf returns the error that f panics with.
func panicOf(t *testing.T, f func()) (err error) {
	t.Helper()
	defer func() { err, _ = recover().(error) }()
	f()
	t.Error("did not panic")
	return nil
}

func TestSecureHeadersThroughARealServer(t *testing.T) {
	upstream := gateway.Proxy(gateway.Local(setting(http.Header{"Server": {"upstream"}, "Referrer-Policy": {"origin"}})))
	gw := gateway.New(middleware.SecureHeaders(middleware.Security{}))
	gw.Handle("/", upstream)
	s := httptest.NewTLSServer(gw)
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	for name, values := range secured {
		if name == "Referrer-Policy" {
			values = []string{"origin"}
		}
		assert.Equal(t, values, res.Header[name])
	}
	assert.NotContains(t, res.Header, "Server")
}

func ExampleSecureHeaders() {
	h := middleware.SecureHeaders(middleware.Security{
		ContentPolicy: "default-src 'self'",
		Opener:        middleware.LeaveOut,
	})(ok)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "Cross-Origin-Opener-Policy", "X-Content-Type-Options"} {
		fmt.Printf("%s: %q\n", name, w.Header().Get(name))
	}
	// Output:
	// Content-Security-Policy: "default-src 'self'"
	// X-Frame-Options: "DENY"
	// Cross-Origin-Opener-Policy: ""
	// X-Content-Type-Options: "nosniff"
}
