package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/middleware"
)

// hello answers with its name and the path.
func hello(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, name, r.URL.Path) })
}

// get sends a request to h and prints the answer.
func get(h http.Handler, target string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	fmt.Print(w.Code, " ", w.Body)
}

func ExampleNew() {
	log := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Printf("request for %q\n", r.Pattern)
			next.ServeHTTP(w, r)
		})
	}
	gw := gateway.New(log)
	gw.Handle("GET /users/{id}", hello("users"))
	gw.Group("/app").Handle("GET /home", hello("home"))

	get(gw, "/users/7")
	get(gw, "/app/home")
	get(gw, "/nowhere")
	// Output:
	// request for "GET /users/{id}"
	// 200 users /users/7
	// request for "GET /app/home"
	// 200 home /app/home
	// request for ""
	// 404 {"type":"about:blank","title":"Not Found","status":404}
}

func ExampleProxy() {
	// In a program this is a balancer.Pool.
	users := gateway.Local(hello("users"))

	gw := gateway.New()
	gw.Handle("/app/users/", gateway.Proxy(users, gateway.StripPrefix("/app")))
	get(gw, "/app/users/7")
	// Output: 200 users /users/7
}

func ExampleAllowUpgrade() {
	gw := gateway.New()
	gw.Handle("/tunnel", gateway.Proxy(gateway.Local(hello("tunnel")), gateway.AllowUpgrade("tcp")))
	get(gw, "/tunnel") // who asks for "Upgrade: tcp" may get it
	// Output: 200 tunnel /tunnel
}

func ExampleLocal() {
	users := gateway.Local(hello("users"))
	r, _ := http.NewRequest(http.MethodGet, "/users/7", nil)
	res, err := users.RoundTrip(r)
	fmt.Println(res.Status, err)
	// Output: 200 OK <nil>
}

func ExampleGateway_SetRoutes() {
	gw := gateway.New()
	gw.Handle("/", hello("old"))
	err := gw.SetRoutes(
		gateway.Route{Pattern: "/new", Handler: hello("new")},
		gateway.Route{Pattern: "/{}", Handler: hello("bad")},
		gateway.Route{Pattern: "/none"},
	)
	fmt.Println(err)
	get(gw, "/new") // nothing has changed
	// Output:
	// gateway: route "/{}": parsing "/{}": at offset 1: empty wildcard
	// gateway: route "/none": nil handler
	// 200 old /new
}

func ExampleChoose() {
	h := gateway.Choose(
		gateway.When(gateway.And(gateway.Header("X-Beta", "1"), gateway.Not(gateway.Cookie("beta", "off"))), hello("beta")),
		gateway.When(gateway.Or(gateway.Query("lang", "de"), gateway.Host("shop.de")), hello("german")),
		gateway.When(gateway.ClientIP(netip.MustParsePrefix("10.0.0.0/8")), hello("inside")),
		gateway.When(gateway.And(gateway.Method("PUT"), gateway.Path("/desk/")), hello("desk")),
		gateway.When(gateway.And(gateway.Query("now", ""), gateway.Between("22:00", "06:00", time.UTC)), hello("night")),
		gateway.Otherwise(hello("shop")),
	)
	get(h, "/?lang=de")
	get(h, "http://shop.de/")
	get(h, "/")
	// Output:
	// 200 german /
	// 200 german /
	// 200 shop /
}

// Limits by plan: a rule of package auth chooses between two ways to the same handler, each
// with a limit of its own.
func ExampleWhen() {
	keys := auth.APIKey{Keys: map[string]*auth.Principal{
		auth.HashKey("k_acme"): {Subject: "acme", Claims: map[string]any{"plan": "gold"}},
		auth.HashKey("k_bob"):  {Subject: "bob"},
	}}
	gold := middleware.RateLimit(middleware.PerMinute(1000).By(auth.Subject))
	free := middleware.RateLimit(middleware.PerMinute(1).By(auth.Subject))
	orders := hello("orders")

	gw := gateway.New()
	gw.Handle("GET /orders", gateway.Choose(
		gateway.When(auth.Claim("plan", "gold").Holds, gold(orders)),
		gateway.Otherwise(free(orders)),
	), auth.Require(keys))

	for _, key := range []string{"k_acme", "k_acme", "k_bob", "k_bob"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("X-Api-Key", key)
		gw.ServeHTTP(w, r)
		fmt.Println(key, w.Code)
	}
	// Output:
	// k_acme 200
	// k_acme 200
	// k_bob 200
	// k_bob 429
}

func ExampleFail() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateway.Fail(w, r, &gateway.Problem{
			Status: http.StatusConflict,
			Detail: "the order was shipped",
			Err:    errors.New("order 7 is in state 3"), // for the log only
		})
	})
	get(h, "/")
	// Output: 409 {"type":"about:blank","title":"Conflict","status":409,"detail":"the order was shipped"}
}

func ExampleProblemOf() {
	p := gateway.ProblemOf(fmt.Errorf("orders: %w", context.DeadlineExceeded))
	fmt.Println(p.Status, p.Fault)
	// Output: 504 upstream_timeout
}

func ExampleUpstreamProblem() {
	p := gateway.UpstreamProblem(errors.New("malformed HTTP response"))
	fmt.Println(p.Status, p.Fault)
	// Output: 502 upstream_header
}
