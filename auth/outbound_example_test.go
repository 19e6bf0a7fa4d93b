package auth_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// orders stands for a backend that prints what it is sent; a balancer.Pool has its place.
var orders = gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"Authorization", "X-Api-Key", "X-User", "X-Roles"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Printf("%s: %s\n", name, v)
		}
	}
}))

// idp stands for an authorization server.
var idp = gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"token-for-%s","token_type":"Bearer","expires_in":600}`, r.PostFormValue("audience"))
}))

var shopTokens = auth.JWT{Key: edPublic()}

func annsToken() string { return sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA"}`, ann) }

// anns sends a request of ann's through proxy.
func anns(proxy http.Handler) {
	tokens := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Subject: "ann", Claims: map[string]any{"roles": []string{"buyer", "admin"}}}, nil
	})
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("X-User", "root") // which she is not
	auth.Require(tokens)(proxy).ServeHTTP(httptest.NewRecorder(), r)
}

func ExampleClientCredentials() {
	anns(gateway.Proxy(&auth.ClientCredentials{
		Base:         orders,
		TokenURL:     "https://id.shop.test/token",
		ClientID:     "gateway",
		ClientSecret: "s_example",
		Audience:     "orders",
		Transport:    idp,
	}))
	// Output:
	// Authorization: Bearer token-for-orders
	// X-User: root
}

func ExampleTokenExchange() {
	h := auth.Require(shopTokens)(gateway.Proxy(&auth.TokenExchange{
		Base:         orders,
		TokenURL:     "https://id.shop.test/token",
		ClientID:     "gateway",
		ClientSecret: "s_example",
		Audience:     "orders",
		Transport:    idp,
	}))
	h.ServeHTTP(httptest.NewRecorder(), withBearer(annsToken()))
	// Output: Authorization: Bearer token-for-orders
}

func ExampleRelay() {
	same := gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Authorization") == "Bearer "+annsToken())
	}))
	h := auth.Require(shopTokens)(gateway.Proxy(&auth.Relay{Base: same}))
	h.ServeHTTP(httptest.NewRecorder(), withBearer(annsToken()))
	// Output: true
}

func ExampleStatic() {
	anns(gateway.Proxy(&auth.Static{Base: orders, Set: map[string]auth.Secret{"X-Api-Key": "k_example"}}))
	// Output:
	// X-Api-Key: k_example
	// X-User: root
}

func ExamplePassword() {
	anns(gateway.Proxy(&auth.Password{Base: orders, User: "gateway", Password: "open sesame"}))
	// Output:
	// Authorization: Basic Z2F0ZXdheTpvcGVuIHNlc2FtZQ==
	// X-User: root
}

func ExampleClaimHeaders() {
	anns(gateway.Proxy(&auth.ClaimHeaders{Base: orders, Headers: map[string]string{"X-User": "sub", "X-Roles": "roles"}}))
	// Output:
	// X-User: ann
	// X-Roles: buyer,admin
}

func ExampleNewIssuer() {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // kept in a file, or better in a device
	issuer, err := auth.NewIssuer(auth.IssuerConfig{
		Issuer: "https://gateway.shop.test",
		Keys:   []crypto.Signer{key},
		Claims: []string{"roles"},
	})
	if err != nil {
		panic(err)
	}
	gw := gateway.New()
	gw.Handle("/.well-known/jwks.json", issuer)

	// A backend that fetches the gateway's keys: over the network, where here it is Local.
	tokens := auth.JWT{
		Issuer:    "https://gateway.shop.test",
		Audience:  "orders",
		JWKS:      "https://gateway.shop.test/.well-known/jwks.json",
		Transport: gateway.Local(gw),
	}
	backend := auth.Require(tokens)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("hello", auth.Subject(r), auth.From(r.Context()).Roles)
	}))
	anns(gateway.Proxy(issuer.Transport(gateway.Local(backend), "orders")))
	// Output: hello ann [buyer admin]
}
