package compose_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
)

// printAnswer prints what h answers.
func printAnswer(h http.Handler) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Body)
}

// mirror answers with what it is asked.
var mirror = gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if len(body) == 0 {
		body = []byte("null")
	}
	fmt.Fprintf(w, `{"asked":"%s %s","body":%s}`, r.Method, r.URL, body)
}))

func ExamplePost() {
	printAnswer(compose.New(
		compose.Get("cart", service(`{"for":"Ada \"A.\"","items":[9007199254740993,1.0]}`), "/cart").Hide(),
		compose.Post("price", mirror, "/prices", `{"note": "for {cart.for}", "items": {cart.items}}`),
	))
	// Output: 200 {"price":{"asked":"POST /prices","body":{"note": "for Ada \"A.\"", "items": [9007199254740993,1.0]}}}
}

func ExampleCall() {
	printAnswer(compose.New(compose.Call(http.MethodPut, "seen", mirror, "/seen").Body(`{"now":true}`)))
	// Output: 200 {"seen":{"asked":"PUT /seen","body":{"now":true}}}
}

func ExampleMust() {
	printAnswer(compose.Must(compose.Config{
		Parts: []compose.Part{
			compose.Get("user", service(`{"name":"Ada"}`), "/user"),
			compose.Get("offers", gateway.Local(http.NotFoundHandler()), "/offers").Optional(),
		},
		Timeout: time.Second,
		Errors:  "errors",
	}))
	// Output: 200 {"user":{"name":"Ada"},"errors":[{"type":"urn:problem-type:gateway:upstream_status","title":"Not Found","status":404,"detail":"part \"offers\" failed","part":"offers"}]}
}

func ExamplePart_Each() {
	printAnswer(compose.New(
		compose.Get("orders", service(`[{"id":1,"product":"tea"},{"id":2,"product":"milk"}]`), "/orders").Hide(),
		compose.Get("products", mirror, "/products/{each.product}").Each("orders").Allow("asked"),
	))
	// Output: 200 {"products":[{"asked":"GET /products/tea"},{"asked":"GET /products/milk"}]}
}

func ExamplePart_Batch() {
	products := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked for", r.URL)
		fmt.Fprint(w, `[{"id":"milk","price":1.10},{"id":"tea","price":4.50}]`)
	}))
	printAnswer(compose.New(
		compose.Get("orders", service(`[{"product":"tea"},{"product":"milk"},{"product":"tea"}]`), "/orders").Hide(),
		compose.Get("products", products, "/products?id={each.product}").Each("orders").Batch(50, "id"),
	))
	// Output:
	// asked for /products?id=tea&id=milk
	// 200 {"products":[{"id":"tea","price":4.50},{"id":"milk","price":1.10},{"id":"tea","price":4.50}]}
}

func ExamplePart_Join() {
	printAnswer(compose.New(
		compose.Get("orders", service(`{"list":[{"id":1,"product":"tea"}],"next":null}`), "/orders"),
		compose.Get("product", service(`{"price":4.50}`), "/products/{each.product}").Each("orders.list").Join("product"),
	))
	// Output: 200 {"orders":{"list":[{"id":1,"product":{"price":4.50}}],"next":null}}
}

func ExamplePart_Spread() {
	printAnswer(compose.New(
		compose.Get("defaults", service(`{"theme":"light","mail":{"daily":true,"weekly":true}}`), "/defaults").Spread(compose.Deep),
		compose.Get("settings", service(`{"theme":"dark","mail":{"daily":false}}`), "/settings").Spread(compose.Deep),
	))
	// Output: 200 {"theme":"dark","mail":{"daily":false,"weekly":true}}
}

func ExamplePart_Pick() {
	printAnswer(compose.New(compose.Get("city", service(`{"data":{"addresses":[{"city":"London"}]}}`), "/user").Pick("data.addresses.0.city")))
	// Output: 200 {"city":"London"}
}

func ExamplePart_Allow() {
	printAnswer(compose.New(compose.Get("users", service(`[{"id":1,"name":"Ada","password":"x"},{"id":2,"name":"Bob"}]`), "/users").Allow("id", "name")))
	// Output: 200 {"users":[{"id":1,"name":"Ada"},{"id":2,"name":"Bob"}]}
}

func ExamplePart_Rename() {
	printAnswer(compose.New(compose.Get("users", service(`{"list":[{"user_name":"Ada"},{"user_name":"Bob"}]}`), "/users").Rename("list.user_name", "name")))
	// Output: 200 {"users":{"list":[{"name":"Ada"},{"name":"Bob"}]}}
}

func ExamplePart_Move() {
	printAnswer(compose.New(compose.Get("user", service(`{"id":1,"meta":{"lang":"en"}}`), "/user").Move("meta.lang", "settings.language")))
	// Output: 200 {"user":{"id":1,"meta":{},"settings":{"language":"en"}}}
}

func ExamplePart_Stale() {
	var down atomic.Bool
	news := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			http.Error(w, "try later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `["Tea is ready"]`)
	}))
	home := compose.New(compose.Get("news", news, "/news").Stale(time.Hour))
	printAnswer(home)
	down.Store(true)
	printAnswer(home)
	// Output:
	// 200 {"news":["Tea is ready"]}
	// 200 {"news":["Tea is ready"]}
}
