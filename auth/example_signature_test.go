package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

func ExampleSignature() {
	secret := []byte("a secret of 32 random bytes or more")
	orders := auth.Require(auth.Signature{
		Keys: map[string]auth.SignatureKey{"acme-2026": {Key: secret, Principal: &auth.Principal{Subject: "acme"}}},
	})(whoami)

	// The partner signs; what it sends is kept to be sent again.
	var sent *http.Request
	partner := &auth.Signer{Key: secret, KeyID: "acme-2026", Base: sentBy(func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{Body: http.NoBody}, nil
	})}
	send := func() *http.Request {
		r, _ := http.NewRequest(http.MethodGet, "https://shop.test/orders?id=1", nil)
		_, _ = partner.RoundTrip(r)
		return sent
	}

	r := send()
	replay := r.Clone(context.Background())
	show(orders, r)
	show(orders, replay)

	r = send()
	r.URL.RawQuery = "id=2"
	show(orders, r)
	// Output:
	// 200 acme may write: false
	// 401 Signature realm="gateway"
	// 401 Signature realm="gateway"
}

func ExampleSigner() {
	secret := []byte("a secret of 32 random bytes or more")
	backend := auth.Require(auth.Signature{
		Keys: map[string]auth.SignatureKey{"gateway": {Key: secret, Principal: &auth.Principal{Subject: "the gateway"}}},
	})(whoami)

	gw := gateway.New()
	gw.Handle("/orders/", gateway.Proxy(&auth.Signer{
		Base:      gateway.Local(backend), // or a pool
		Key:       secret,
		KeyID:     "gateway",
		Authority: "orders.internal",
	}))
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders/1", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 the gateway may write: false
}

func ExampleReplays() {
	seen := auth.Replays(100_000) // lives as long as the process, whatever is loaded again
	for range 2 {
		was, err := seen(context.Background(), "an id of what was signed", time.Minute)
		fmt.Println(was, err)
	}
	// Output:
	// false <nil>
	// true <nil>
}
