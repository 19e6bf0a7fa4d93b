package auth_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// whoami stands for what is behind the gateway.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p := auth.From(r.Context())
	fmt.Fprintf(w, "%s may write: %t", p.Subject, p.HasScope("write"))
})

// show serves r by h and prints the answer.
func show(h http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		fmt.Println(w.Code, w.Body)
		return
	}
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
}

func ExampleRequire() {
	partners := auth.APIKey{Keys: map[string]*auth.Principal{
		auth.HashKey("k_example"): {Subject: "acme", Scopes: []string{"write"}},
	}}
	gw := gateway.New()
	api := gw.Group("/api", auth.Require(partners))
	api.Handle("GET /me", whoami)

	r := httptest.NewRequest(http.MethodGet, "/api/me", nil)
	show(gw, r)
	r.Header.Set("X-Api-Key", "k_example")
	show(gw, r)
	// Output:
	// 401 ApiKey header="X-Api-Key"
	// 200 acme may write: true
}

func ExampleJWT() {
	public, private, _ := ed25519.GenerateKey(nil) // the issuer's
	h := auth.Require(auth.JWT{
		Issuer:   "https://id.shop.test",
		Audience: "app",
		Keys:     auth.KeySet{"2026-11": public},
		Leeway:   30 * time.Second,
	})(whoami)

	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://id.shop.test", "aud": []string{"app", "admin"}, "sub": "ann",
		"scope": "read write", "exp": time.Now().Add(time.Minute).Unix(),
	})
	token.Header["kid"] = "2026-11"
	signed, _ := token.SignedString(private)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+signed)
	show(h, r)
	r.Header.Set("Authorization", "Bearer "+signed[1:])
	show(h, r)
	// Output:
	// 200 ann may write: true
	// 401 Bearer error="invalid_token", error_description="The access token is not valid"
}

func ExampleAPIKey() {
	h := auth.Require(auth.APIKey{
		Header: "X-Partner-Key",
		Keys:   map[string]*auth.Principal{auth.HashKey("k_example"): {Subject: "acme"}},
	})(whoami)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Partner-Key", "k_example")
	show(h, r)
	r.Header.Set("X-Partner-Key", "k_guess")
	show(h, r)
	// Output:
	// 200 acme may write: false
	// 401 ApiKey header="X-Partner-Key"
}

func ExampleAuthenticatorFunc() {
	certificate := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return nil, nil // not of this kind
		}
		return &auth.Principal{Subject: r.TLS.VerifiedChains[0][0].Subject.CommonName}, nil
	})
	r := httptest.NewRequest(http.MethodGet, "https://shop.test/", nil)
	ann := &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}}
	r.TLS.VerifiedChains = [][]*x509.Certificate{{ann}} // as net/http's server does
	show(auth.Require(certificate)(whoami), r)
	// Output:
	// 200 ann may write: false
}

func ExampleHashKey() {
	fmt.Println(auth.HashKey("k_example"))
	// Output: 040db3cec911c50f0db51b32d87f747f55ccdc717cc00c013fe1d5bcb806d839
}

func ExampleNewContext() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(auth.NewContext(r.Context(), &auth.Principal{Subject: "ann"}))
	show(whoami, r)
	fmt.Println(auth.Subject(r), auth.From(r.Context()).HasScope("orders:read"))
	// Output:
	// 200 ann may write: false
	// ann false
}
