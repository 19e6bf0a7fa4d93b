package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gatewright/gateway/cache"
)

func ExampleTiered() {
	ctx := context.Background()
	far := cache.Memory(1 << 30) // or a disk, or a store that is shared with others
	store := cache.Tiered(cache.Memory(64<<20), far, time.Minute)
	show := func() {
		val, ok, err := store.Get(ctx, "offers")
		fmt.Printf("%q %v %v\n", val, ok, err)
	}
	if err := store.Set(ctx, "offers", []byte("monday's"), time.Hour); err != nil {
		fmt.Println(err)
	}
	if err := far.Set(ctx, "offers", []byte("tuesday's"), time.Hour); err != nil { // somebody else
		fmt.Println(err)
	}
	show()
	store.Forget("offers") // as we were told of it
	show()
	// Output:
	// "monday's" true <nil>
	// "tuesday's" true <nil>
}
