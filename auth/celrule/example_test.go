package celrule_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/auth/celrule"
)

func ExampleNew() {
	_, err := celrule.New(`request.metod == "GET"`)
	fmt.Println(err != nil)
	rule, err := celrule.New(`request.method == "GET" && cidr("192.0.2.0/24").containsIP(request.ip)`)
	fmt.Println(rule, err)
	// Output:
	// true
	// cel request.method == "GET" && cidr("192.0.2.0/24").containsIP(request.ip) <nil>
}

func ExampleMust() {
	h := auth.Allow(celrule.Must(`"admin" in principal.claims.roles`))(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, p := range []*auth.Principal{
		nil, {Subject: "bob"}, {Subject: "ann", Claims: map[string]any{"roles": []any{"admin"}}},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), p)))
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 403
	// 200
}
