package oidc

import (
	"net/http"
	"testing"
)

// What the tests with a real Redis need; redisstore imports this package, so they are
// outside of it.

// TwoGateways returns a browser that is logged in at two gateways, which share a store: what
// it gets from each, its logout at the first, and how often their provider was asked to
// refresh. The first access token is good for a second.
func TwoGateways(t *testing.T, one, two Store) (get [2]func() (status int, token string), logout func() int, refreshes func() int) {
	p := newFake(t)
	p.answer = func(a map[string]any) {
		a["expires_in"] = 3600
		if p.calls["refresh_token"] == 0 {
			a["expires_in"] = 1
		}
	}
	first := loggedIn(t, p, one)
	second := start(t, p, two)
	second.cookies = first.cookies
	for i, b := range []*browser{first, second} {
		get[i] = func() (int, string) {
			w := b.clone().get("/app/x")
			if w.Code != http.StatusOK {
				return w.Code, ""
			}
			return w.Code, saw(t, w).Token
		}
	}
	return get, func() int { return first.clone().do("POST", "/auth/logout").Code }, func() int { return p.called("refresh_token") }
}
