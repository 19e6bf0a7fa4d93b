package balancer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatewright/gateway/balancer"
)

// Targets that do not change, of which one can do more, and one is for bad times.
func ExampleStatic() {
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.Static{
			{URL: "http://orders-1:8080", Weight: 2},
			{URL: "http://orders-2:8080"},
			{URL: "http://orders.backup.test", Priority: 1},
		},
		Base: hello,
	})
	defer pool.Close()
	for _, e := range pool.Endpoints() {
		fmt.Println(e, e.Weight(), e.Target().Priority)
	}
	// Output:
	// http://orders-1:8080 2 0
	// http://orders-2:8080 1 0
	// http://orders.backup.test 1 1
}

// A registry of one's own, which is asked every ten seconds.
func ExampleResolverFunc() {
	registry := map[string]string{"orders": "http://10.0.0.7:8080"}
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.ResolverFunc(func(context.Context) ([]balancer.Target, time.Duration, error) {
			return []balancer.Target{{URL: registry["orders"], Host: "orders"}}, 10 * time.Second, nil
		}),
		Base: hello,
	})
	defer pool.Close()
	show(pool, "/orders/7")
	// Output: orders serves /orders/7
}

// In Kubernetes this would be a headless service, http://orders.shop.svc.cluster.local.:8080
// say. The name goes into the Host field, the request to the address.
func ExampleDNS() {
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.DNS{URL: "http://localhost:8080/v1", Network: "ip4"},
		Base:     hello,
	})
	defer pool.Close()
	show(pool, "/orders/7")
	fmt.Println(pool.Endpoints()[0])
	// Output:
	// localhost:8080 serves /v1/orders/7
	// http://127.0.0.1:8080/v1
}

// A service that a Consul agent knows. Where none answers, the targets stay what they were:
// here, none.
func ExampleSRV() {
	failed := make(chan balancer.EventKind, 1)
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.SRV{URL: "http://_orders._tcp.service.consul.", Server: "127.0.0.1:1"},
		Events: func(e balancer.Event) {
			select {
			case failed <- e.Kind:
			default:
			}
		},
	})
	defer pool.Close()
	fmt.Println(<-failed, len(pool.Endpoints()))
	// Output: resolve_failed 0
}

// The file may be a ConfigMap that is mounted, and changes are seen within about a second.
func ExampleFile() {
	dir := must(os.MkdirTemp("", "targets"))
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "orders.json")
	list := `[{"url": "http://orders-1:8080", "weight": 2}, "http://orders-2:8080"]`
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		panic(err)
	}

	added := make(chan string, 2)
	pool := balancer.Must(balancer.Config{
		Resolver: balancer.File{Path: path},
		Events:   func(e balancer.Event) { added <- fmt.Sprint(e.Kind, " ", e.Endpoint) },
	})
	defer pool.Close()
	fmt.Println(<-added)
	fmt.Println(<-added)
	// Output:
	// added http://orders-1:8080
	// added http://orders-2:8080
}
