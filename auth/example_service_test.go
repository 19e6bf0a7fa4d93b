package auth_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

func ExampleIntrospection() {
	issuer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // answers as of RFC 7662
		good := r.PostFormValue("token") == "2YotnFZFEjr1zCsicMWpAA"
		fmt.Fprintf(w, `{"active":%t,"sub":"ann","scope":"read write"}`, good)
	})
	h := auth.Require(auth.Introspection{
		URL:          "https://id.shop.test/introspect",
		ClientID:     "gateway",
		ClientSecret: "from-your-vault",
		Transport:    gateway.Local(issuer), // or a balancer.Pool; or none
	})(whoami)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer 2YotnFZFEjr1zCsicMWpAA")
	show(h, r)
	r.Header.Set("Authorization", "Bearer tGzv3JOkF0XG5Qx2TlKWIA")
	show(h, r)
	// Output:
	// 200 ann may write: true
	// 401 Bearer error="invalid_token", error_description="The access token is not valid"
}

// Tokens of two issuers, opaque ones of a third, and no credentials at all: each token is
// judged by whom it is for, and a wrong one is never taken for none.
func ExampleRequire_several() {
	staff, _, _ := ed25519.GenerateKey(nil)
	shop, private, _ := ed25519.GenerateKey(nil)
	partners := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"active":%t,"sub":"acme"}`, r.PostFormValue("token") == "2YotnFZFEjr1zCsicMWpAA")
	}))
	h := auth.Require(
		auth.JWT{Issuer: "https://staff.shop.test", Audience: "app", Key: staff},
		auth.JWT{Issuer: "https://id.shop.test", Audience: "app", Key: shop},
		auth.Introspection{URL: "https://partners.test/introspect", Transport: partners},
		auth.Anonymous,
	)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", auth.Subject(r)) }))

	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://id.shop.test", "aud": "app", "sub": "ann", "exp": time.Now().Add(time.Minute).Unix(),
	})
	signed, _ := token.SignedString(private)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	show(h, r)
	for _, credential := range []string{signed, "2YotnFZFEjr1zCsicMWpAA", "guess"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+credential)
		show(h, r)
	}
	// Output:
	// 200 ""
	// 200 "ann"
	// 200 "acme"
	// 401 Bearer error="invalid_token", error_description="The access token is not valid"
}

func ExampleMap() {
	plans := map[string]string{"acme": "gold"} // stands for a database, and what is remembered of it
	keys := auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey("k_example"): {Subject: "acme"}}}
	planned := auth.Map(keys, func(_ *http.Request, p *auth.Principal) (*auth.Principal, error) {
		plan, ok := plans[p.Subject]
		if !ok {
			return nil, nil // no longer a customer
		}
		return &auth.Principal{Subject: p.Subject, Claims: map[string]any{"plan": plan}}, nil
	})
	h := auth.Require(planned)(auth.Allow(auth.Claim("plan", "gold"))(whoami))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Api-Key", "k_example")
	show(h, r)
	// Output: 200 acme may write: false
}

func ExampleForwardAuth() {
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "session=42" {
			http.Redirect(w, r, "https://id.shop.test/login?to="+r.Header.Get("X-Forwarded-Uri"), http.StatusFound)
			return
		}
		w.Header().Set("X-Auth-User", "ann")
	})
	h := auth.Require(auth.ForwardAuth{
		URL:       "http://authz.internal/check",
		Transport: gateway.Local(service), // or a balancer.Pool; or none
		Copy:      []string{"X-Auth-User"},
		Subject:   "X-Auth-User",
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, auth.Subject(r), r.Header["X-Auth-User"])
	}))

	r := httptest.NewRequest(http.MethodGet, "/basket", nil)
	r.Header.Set("X-Auth-User", "root")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))

	r.Header.Set("Cookie", "session=42")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 302 https://id.shop.test/login?to=/basket
	// 200 ann [ann]
}

func ExampleAPIKey_query() {
	h := auth.Require(auth.APIKey{
		Query: "api_key",
		Keys:  map[string]*auth.Principal{auth.HashKey("k_example"): {Subject: "acme"}},
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, auth.Subject(r), " asks for ", r.URL)
	}))
	show(h, httptest.NewRequest(http.MethodGet, "/maps?zoom=3&api_key=k_example&at=52%2C13", nil))
	show(h, httptest.NewRequest(http.MethodGet, "/maps?zoom=3", nil))
	// Output:
	// 200 acme asks for /maps?zoom=3&at=52%2C13
	// 401 ApiKey query="api_key"
}

func ExampleKeyStoreFunc() {
	rows := map[string]string{auth.HashKey("k_example"): "acme"} // stands for a table of a database
	store := auth.KeyStoreFunc(func(_ context.Context, hash string) (*auth.Principal, error) {
		owner, ok := rows[hash]
		if !ok {
			return nil, nil // nobody's
		}
		return &auth.Principal{Subject: owner, Claims: map[string]any{"plan": "gold"}}, nil
	})
	gold := auth.Allow(auth.Claim("plan", "gold"))
	h := auth.Require(auth.APIKey{Store: store})(gold(whoami))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Api-Key", "k_example")
	show(h, r)
	r.Header.Set("X-Api-Key", "k_guess")
	show(h, r)
	// Output:
	// 200 acme may write: false
	// 401 ApiKey header="X-Api-Key"
}
