package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCSRFRefusesWhatPagesOfOtherOriginsDo(t *testing.T) {
	h := middleware.CSRF("https://www.shop.test", "http://localhost:3000")(ok)
	for _, test := range []struct {
		method, site, origin string
		status               int
	}{
		{"POST", "", "", 200}, // no browser
		{"POST", "same-origin", "https://shop.test", 200},
		{"POST", "none", "", 200}, // typed by the user
		{"POST", "", "https://shop.test", 200},
		{"GET", "cross-site", "https://evil.test", 200},
		{"HEAD", "cross-site", "https://evil.test", 200},
		{"OPTIONS", "cross-site", "https://evil.test", 200},
		{"POST", "cross-site", "https://www.shop.test", 200},
		{"POST", "same-site", "https://www.shop.test", 200},
		{"POST", "cross-site", "http://localhost:3000", 200},
		{"POST", "cross-site", "https://evil.test", 403},
		{"POST", "cross-site", "", 403},
		{"POST", "cross-site", "null", 403},
		{"POST", "same-site", "https://other.shop.test", 403},
		{"POST", "nonsense", "https://shop.test", 403},
		{"POST", "", "https://evil.test", 403},
		{"POST", "", "null", 403},
		{"POST", "", "https://shop.test.evil.test", 403},
		{"POST", "", "https://shop.test:8443", 403},
		{"POST", "cross-site", "http://www.shop.test", 403},
		{"POST", "cross-site", "https://www.shop.test:8443", 403},
		{"PUT", "cross-site", "https://evil.test", 403},
		{"PATCH", "cross-site", "https://evil.test", 403},
		{"DELETE", "cross-site", "https://evil.test", 403},
		{"TRACE", "cross-site", "https://evil.test", 403},
		{"get", "cross-site", "https://evil.test", 403},
		{"PURGE", "cross-site", "https://evil.test", 403},
	} {
		r := request("GET", "https://shop.test/")
		r.Method = test.method
		for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		assert.Equal(t, test.status, serve(h, r).Code, "%+v", test)
	}
}

func TestCSRFRefusesWebSocketsOfOtherOrigins(t *testing.T) {
	h := middleware.CSRF("https://www.shop.test")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodGet, r.Method)
	}))
	for origin, want := range map[string]int{"": 200, "https://shop.test": 200, "https://www.shop.test": 200, "https://evil.test": 403, "null": 403} {
		r := request("GET", "https://shop.test/chat")
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		assert.Equal(t, want, serve(h, r).Code, origin)
	}
}

func TestCSRFAnswersWithAProblemThatTheLogKnows(t *testing.T) {
	r := request("POST", "https://shop.test/")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	x, r := exchange.Join(w, r)
	middleware.CSRF()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("was let in") })).ServeHTTP(x, r)
	assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	assert.ErrorContains(t, x.Err, "csrf")
}

func TestCSRFTrustsOriginsOnly(t *testing.T) {
	err := panicOf(t, func() {
		middleware.CSRF("null", "", "shop.test", "https://shop.test/", "https://*.shop.test", "https://Shop.test", "https://a@shop.test", "https://ok.test")
	})
	for _, fault := range []string{`"null"`, `""`, `"shop.test"`, `"https://shop.test/"`, `"https://*.shop.test"`, `"https://Shop.test"`, `"https://a@shop.test"`} {
		assert.ErrorContains(t, err, fault)
	}
	assert.NotContains(t, err.Error(), "ok.test")
}

func TestCSRFThroughARealServer(t *testing.T) {
	s := httptest.NewServer(middleware.CSRF()(ok))
	defer s.Close()
	for origin, want := range map[string]int{"": 200, s.URL: 200, "https://evil.test": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("a=b"))
		require.NoError(t, err)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		res, err := s.Client().Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, want, res.StatusCode, origin)
	}
}

func ExampleCSRF() {
	h := middleware.CSRF("https://www.shop.test")(ok)
	for _, origin := range []string{"https://shop.test", "https://www.shop.test", "https://evil.test"} {
		r := httptest.NewRequest("POST", "https://shop.test/orders", nil)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 200
	// 403
}
