package cache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

func ExampleMemory() {
	ctx := context.Background()
	store := cache.Memory(1 << 20)
	if err := store.Set(ctx, "greeting", []byte("hello"), time.Minute); err != nil {
		fmt.Println(err)
	}
	val, ok, err := store.Get(ctx, "greeting")
	fmt.Printf("%s %v %v\n", val, ok, err)
	// Output: hello true <nil>
}

func ExampleTransport() {
	origin := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "offers")
	})
	offers := &cache.Transport{
		Base:  gateway.Local(origin), // or balancer.To("http://offers:8080")
		Store: cache.Memory(64 << 20),
	}
	gw := gateway.New()
	gw.Handle("/offers", gateway.Proxy(offers))

	for range 2 {
		w := httptest.NewRecorder()
		gw.ServeHTTP(w, httptest.NewRequest("GET", "/offers", nil))
		fmt.Println(w.Body, "-", w.Header().Get("Cache-Status"))
	}
	// Output:
	// offers - gateway; fwd=uri-miss
	// offers - gateway; hit; ttl=60
}

func ExampleMiddleware() {
	report := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("(much work)")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "42")
	})
	gw := gateway.New()
	gw.Handle("GET /report", report, cache.Middleware(cache.Memory(1<<20)))

	for range 2 {
		w := httptest.NewRecorder()
		gw.ServeHTTP(w, httptest.NewRequest("GET", "/report", nil))
		fmt.Println(w.Body)
	}
	// Output:
	// (much work)
	// 42
	// 42
}
