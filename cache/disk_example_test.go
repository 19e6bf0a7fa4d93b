package cache_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gatewright/gateway/cache"
)

// A value outlives the store that it was given to.
func ExampleOpenDisk() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cache") // yours lasts: /var/cache/gateway
	if err != nil {
		fmt.Println(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	store, err := cache.OpenDisk(dir, 1<<30)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Set(ctx, "greeting", []byte("hello"), time.Hour))
	fmt.Println(store.Close())

	store, err = cache.OpenDisk(dir, 1<<30)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	val, ok, err := store.Get(ctx, "greeting")
	fmt.Printf("%s %v %v\n", val, ok, err)
	// Output:
	// <nil>
	// <nil>
	// hello true <nil>
}
