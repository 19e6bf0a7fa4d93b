package rediscache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatewright/gateway/cache/rediscache"
)

func ExampleNew() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"127.0.0.1:1"}, // where nobody listens
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		MaxRetries:            -1,
	})
	defer func() { _ = client.Close() }()
	store := rediscache.New(client, rediscache.Config{Prefix: "shop:"})

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, ok, err := store.Get(ctx, "offers")
	fmt.Println(ok, err != nil) // which counts as a miss
	// Output: false true
}
