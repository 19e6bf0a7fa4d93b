package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
)

// service is a backend that lives in the same process.
func service(json string) http.RoundTripper {
	return gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, json) }))
}

func ExampleNew() {
	profiles := service(`{"name":"Ada","segment":"gold"}`)
	orders := service(`[{"id":9007199254740993}]`)
	offers := gateway.Local(http.NotFoundHandler())

	gw := gateway.New()
	gw.Handle("GET /users/{id}/home", compose.New(
		compose.Get("profile", profiles, "/v1/users/{id}"),
		compose.Get("orders", orders, "/v1/orders?user={id}").Timeout(300*time.Millisecond).Default(`[]`),
		compose.Get("offers", offers, "/v1/offers?segment={profile.segment}").Optional(),
	))

	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest("GET", "/users/7/home", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"profile":{"name":"Ada","segment":"gold"},"orders":[{"id":9007199254740993}]}
}

func ExampleBuild() {
	users := service(`{}`)
	_, err := compose.Build(compose.Config{Parts: []compose.Part{
		compose.Get("a", users, "/a?x={b.x}"),
		compose.Get("b", users, "/b?x={c.x}"),
		compose.Get("d", users, "/d").Default(`{not JSON`),
	}})
	fmt.Println(err)
	// Output:
	// compose: part "d": the default "{not JSON" is not JSON
	// compose: part "b": there is no part "c"
}

func ExampleGet() {
	users := service(`{"name":"Ada"}`)
	w := httptest.NewRecorder()
	compose.New(compose.Get("user", users, "/v1/users/7")).
		ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Body)
	// Output: {"user":{"name":"Ada"}}
}
