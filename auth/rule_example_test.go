package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

func ExampleAllow() {
	office := gateway.Or(
		gateway.ClientIP(netip.MustParsePrefix("10.0.0.0/8")),
		gateway.And(gateway.Header("X-Shift", "night"), gateway.Between("22:00", "06:00", time.UTC)),
	)
	refunds := auth.Allow(
		auth.Scope("orders:write"),
		auth.Any(auth.Role("manager"), auth.All(auth.Claim("tenant", "acme"), auth.Not(auth.If(office)))),
	)
	h := refunds(whoami)

	r := httptest.NewRequest(http.MethodPost, "/refunds", nil)
	show(h, r)
	as := func(p *auth.Principal) *http.Request { return r.WithContext(auth.NewContext(r.Context(), p)) }
	show(h, as(&auth.Principal{Subject: "ann", Scopes: []string{"orders:read"}}))
	show(h, as(&auth.Principal{Subject: "bob", Scopes: []string{"orders:write"}, Claims: map[string]any{"tenant": "acme"}}))
	// Output:
	// 401 Bearer realm="gateway"
	// 403 Bearer error="insufficient_scope", error_description="The access token is good for less", scope="orders:write"
	// 200 bob may write: false
}

func ExampleCheckRequest() {
	debug := auth.CheckRequest("debug", func(r *http.Request) (bool, error) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		return query.Has("debug"), err
	})
	for _, target := range []string{"/orders", "/orders?debug&%zz"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		show(auth.Allow(auth.Not(debug))(whoami), r.WithContext(auth.NewContext(r.Context(), &auth.Principal{Subject: "ann"})))
	}
	// Output:
	// 200 ann may write: false
	// 403
}

func ExampleCheck() {
	own := auth.Check("own orders", func(r *http.Request, p *auth.Principal) (bool, error) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		return query.Get("user") == p.Subject, err // what cannot be read denies
	})
	r := httptest.NewRequest(http.MethodGet, "/orders?user=ann", nil)
	show(auth.Allow(own)(whoami), r.WithContext(auth.NewContext(r.Context(), &auth.Principal{Subject: "ann"})))
	// Output:
	// 200 ann may write: false
}
