package balancer_test

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gatewright/gateway/balancer"
)

// servers returns which servers answer the requests that are made by many, how often.
func servers(c balancer.Config, requests ...*http.Request) map[string]int {
	c.Base = hello
	pool := balancer.Must(c)
	defer pool.Close()
	counts := map[string]int{}
	for _, r := range requests {
		res := must(pool.RoundTrip(r))
		body := must(io.ReadAll(res.Body))
		res.Body.Close()
		counts[string(body[:1])]++
	}
	return counts
}

func gets(n int) (all []*http.Request) {
	for range n {
		all = append(all, must(http.NewRequest("GET", "/", nil)))
	}
	return all
}

func ExampleLeastLatency() {
	pool := balancer.Must(balancer.Config{
		Targets:  []string{"http://slow", "http://fast"},
		Balancer: balancer.LeastLatency(), // or none: it is the default
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "slow" {
				<-time.After(20 * time.Millisecond)
			}
			return hello.RoundTrip(r)
		}),
	})
	defer pool.Close()

	counts := map[string]int64{}
	for _, r := range gets(100) {
		must(pool.RoundTrip(r)).Body.Close()
	}
	for _, e := range pool.Snapshot().Endpoints {
		counts[e.URL] = e.Attempts
	}
	fmt.Println(counts["http://fast"] > 90)
	// Output: true
}

func ExampleRandom() {
	counts := servers(balancer.Config{
		Resolver: balancer.Static{{URL: "http://a", Weight: 9}, {URL: "http://b"}},
		Balancer: balancer.Random(),
	}, gets(1000)...)
	fmt.Println(counts["a"] > 5*counts["b"])
	// Output: true
}

func ExampleLeastRequest() {
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.Static{{URL: "http://large", Weight: 2}, {URL: "http://small"}},
		Balancer: balancer.LeastRequest(),
		Base:     hello,
	})
	defer pool.Close()

	// Responses that are not read keep their endpoints busy.
	for _, r := range gets(9) {
		defer must(pool.RoundTrip(r)).Body.Close()
	}
	for _, e := range pool.Endpoints() {
		fmt.Println(e, e.InFlight())
	}
	// Output:
	// http://large 6
	// http://small 3
}

func ExamplePeakEWMA() {
	counts := servers(balancer.Config{
		Targets:  []string{"http://a", "http://b"},
		Balancer: balancer.PeakEWMA(),
	}, gets(100)...)
	fmt.Println(counts["a"] + counts["b"])
	// Output: 100
}

func ExampleWeightedRoundRobin() {
	counts := servers(balancer.Config{
		Resolver: balancer.Static{{URL: "http://a", Weight: 3}, {URL: "http://b", Weight: 1}},
		Balancer: balancer.WeightedRoundRobin(),
	}, gets(400)...)
	// Where it starts is random, so there may be one or two more or less.
	fmt.Println((counts["a"]+5)/10, (counts["b"]+5)/10)
	// Output: 30 10
}

// The requests of a user find what the endpoint has cached for the one before.
func ExampleConsistentHash() {
	requests := gets(100)
	for _, r := range requests {
		r.Header.Set("X-User", "ann")
	}
	counts := servers(balancer.Config{
		Targets:  []string{"http://a", "http://b", "http://c", "http://d"},
		Balancer: balancer.ConsistentHash(func(r *http.Request) string { return r.Header.Get("X-User") }),
	}, requests...)
	fmt.Println(len(counts), "server has answered")
	// Output: 1 server has answered
}

func ExampleSticky() {
	pool := balancer.Must(balancer.Config{
		Targets: []string{"http://a", "http://b", "http://c"},
		// The secret is the same in every gateway, and comes from where secrets come from.
		Balancer: balancer.Sticky([]byte("0123456789abcdef0123456789abcdef"), balancer.Session{MaxAge: time.Hour}),
		Base:     hello,
	})
	defer pool.Close()

	r := must(http.NewRequest("GET", "/cart", nil))
	first := must(pool.RoundTrip(r))
	defer first.Body.Close()
	cookie := first.Cookies()[0]
	fmt.Println(cookie.Name, cookie.MaxAge)

	r.AddCookie(cookie)
	again := must(pool.RoundTrip(r))
	defer again.Body.Close()
	fmt.Println(string(must(io.ReadAll(first.Body))) == string(must(io.ReadAll(again.Body))))
	// Output:
	// gateway-endpoint 3600
	// true
}
