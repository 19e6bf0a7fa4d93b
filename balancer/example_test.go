package balancer_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// hello stands for the servers in the examples: it answers with their name.
var hello = gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s serves %s", r.Host, r.URL.Path)
}))

func show(p *balancer.Pool, path string) {
	res, err := p.RoundTrip(must(http.NewRequest("GET", path, nil)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleNew() {
	pool, err := balancer.New(balancer.Config{
		Targets: []string{"http://orders-1:8080/v1", "http://orders-1:8080/v1/"},
		Retry:   balancer.Retry{Attempts: -2},
		Base:    hello,
	})
	fmt.Println(pool)
	fmt.Println(err)
	// Output:
	// <nil>
	// balancer: target 2: "http://orders-1:8080/v1/" is target 1 again
	// balancer: Retry.Attempts is negative: -2
}

func ExampleMust() {
	orders := balancer.Must(balancer.Config{
		Targets: []string{"http://orders:8080/v1"},
		Breaker: balancer.Breaker{Failures: 5},
		Base:    hello,
	})
	defer orders.Close()
	show(orders, "/orders/7")
	// Output: orders:8080 serves /v1/orders/7
}

func ExampleTo() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "served ", r.URL.Path)
	}))
	defer server.Close()

	users := balancer.To(server.URL)
	defer users.Close()
	show(users, "/users/ann")
	// Output: served /users/ann
}

func ExampleRoundRobin() {
	pool := balancer.Must(balancer.Config{
		Targets:  []string{"http://a", "http://b"},
		Balancer: balancer.RoundRobin(),
		Base:     hello,
	})
	defer pool.Close()
	for range 4 {
		show(pool, "/")
	}
	// Unordered output:
	// a serves /
	// a serves /
	// b serves /
	// b serves /
}

func ExamplePowerOfTwo() {
	pool := balancer.Must(balancer.Config{
		Targets:  []string{"http://a", "http://b"},
		Balancer: balancer.PowerOfTwo(),
		Base:     hello,
	})
	defer pool.Close()

	// A response that is not read keeps its endpoint busy, so the next goes to the other.
	r := must(http.NewRequest("GET", "/", nil))
	one, two := must(pool.RoundTrip(r)), must(pool.RoundTrip(r))
	defer one.Body.Close()
	defer two.Body.Close()
	for _, e := range pool.Endpoints() {
		fmt.Println(e, e.InFlight())
	}
	// Output:
	// http://a 1
	// http://b 1
}

// A balancer of one's own: reads go to the replicas as long as there are any.
func ExampleBalancerFunc() {
	const primary = "http://primary"
	random := balancer.PowerOfTwo()
	pool := balancer.Must(balancer.Config{
		Targets: []string{primary, "http://replica"},
		Base:    hello,
		Balancer: balancer.BalancerFunc(func(r *http.Request, ready []*balancer.Endpoint) *balancer.Endpoint {
			for _, e := range ready {
				if (e.URL() == primary) == (r.Method != http.MethodGet) {
					return e
				}
			}
			return random.Pick(r, ready)
		}),
	})
	defer pool.Close()
	show(pool, "/items")
	// Output: replica serves /items
}
