package oidc_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/auth/oidc"
)

var key = bytes.Repeat([]byte("k"), 32) // random, and from where secrets are

// discovery stands for a provider: it serves the one document that a login begins with.
type discovery struct{}

func (discovery) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	fmt.Fprint(w, `{"issuer": "https://id.shop.test", "jwks_uri": "https://id.shop.test/jwks",
		"authorization_endpoint": "https://id.shop.test/authorize", "token_endpoint": "https://id.shop.test/token"}`)
	return w.Result(), nil
}

func ExampleMust() {
	login := oidc.Must(oidc.Config{
		Issuer: "https://id.shop.test", ClientID: "shop", ClientSecret: "...",
		URL: "https://shop.test/auth", Key: key, Sessions: oidc.Memory(100_000),
		Transport: discovery{},
	})
	gw := gateway.New()
	gw.Handle("/auth/", login)
	app := gw.Group("/app", login.Session, auth.Require(login))
	app.Handle("GET /orders/", http.NotFoundHandler())

	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://shop.test/app/orders/", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))

	w = httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://shop.test/auth/login?return=/app/", nil))
	target, _, _ := strings.Cut(w.Header().Get("Location"), "?")
	fmt.Println(w.Code, target)
	// Output:
	// 401 Session login="https://shop.test/auth/login"
	// 303 https://id.shop.test/authorize
}

func ExampleNew() {
	_, err := oidc.New(oidc.Config{Issuer: "https://id.shop.test", URL: "http://shop.test/auth", ClientID: "shop", Key: key})
	fmt.Println(err)
	// Output: auth/oidc: new: URL is not an https URL with a plain path
}

func ExampleMemory() {
	sessions := oidc.Memory(100_000) // some 300 MB if they are all there
	login := oidc.Must(oidc.Config{
		Issuer: "https://id.shop.test", URL: "https://shop.test/auth", ClientID: "shop", Key: key, Sessions: sessions,
	})
	fmt.Println(login)
	// Output: oidc.Login{Issuer: "https://id.shop.test", ClientID: "shop", secrets redacted}
}
