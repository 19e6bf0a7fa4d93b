package cache_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func holds(t *testing.T, c cache.Cache, key string) bool {
	t.Helper()
	_, ok, err := c.Get(context.Background(), key)
	require.NoError(t, err)
	return ok
}

func TestMemoryReturnsWhatWasSetUntilItIsDeleted(t *testing.T) {
	ctx, c := context.Background(), cache.Memory(1000)
	require.NoError(t, c.Set(ctx, "k", []byte("one"), time.Minute))
	require.NoError(t, c.Set(ctx, "k", []byte("two"), time.Minute))
	val, ok, err := c.Get(ctx, "k")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "two", string(val))

	require.NoError(t, c.Delete(ctx, "k"))
	require.NoError(t, c.Delete(ctx, "k"))
	require.False(t, holds(t, c, "k"))
}

func TestMemoryForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, c := context.Background(), cache.Memory(1000)
		require.NoError(t, c.Set(ctx, "k", nil, time.Minute))
		time.Sleep(time.Minute - 1)
		require.True(t, holds(t, c, "k"))
		time.Sleep(time.Nanosecond)
		require.False(t, holds(t, c, "k"))

		require.NoError(t, c.Set(ctx, "k", nil, time.Minute))
		require.NoError(t, c.Set(ctx, "k", nil, 0))
		require.False(t, holds(t, c, "k"), "a ttl of zero is not for ever")
	})
}

func TestMemoryIsBoundedInBytesAndDropsWhatWasNotUsedForLongest(t *testing.T) {
	ctx, c := context.Background(), cache.Memory(3*(128+16+112)+64)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, c.Set(ctx, key, make([]byte, 100), time.Minute))
	}
	require.True(t, holds(t, c, "a"))
	require.NoError(t, c.Set(ctx, "d", make([]byte, 100), time.Minute))
	assert.True(t, holds(t, c, "a"))
	assert.False(t, holds(t, c, "b"))
	assert.True(t, holds(t, c, "c"))
	assert.True(t, holds(t, c, "d"))
}

func TestMemoryCountsKeysAndEmptyValues(t *testing.T) {
	ctx, c := context.Background(), cache.Memory(10_000)
	kept := 0
	for i := range 1000 {
		require.NoError(t, c.Set(ctx, "key "+strconv.Itoa(1000+i), nil, time.Minute))
	}
	for i := range 1000 {
		if holds(t, c, "key "+strconv.Itoa(1000+i)) {
			kept++
		}
	}
	// An item, its key rounded up by the allocator, and three tables of 64.
	require.Equal(t, (10_000-3*64*8)/(128+16), kept)
}

func TestMemoryDoesNotKeepWhatIsLargerThanItself(t *testing.T) {
	ctx, c := context.Background(), cache.Memory(1000)
	require.NoError(t, c.Set(ctx, "other", nil, time.Minute))
	require.NoError(t, c.Set(ctx, "k", []byte("old"), time.Minute))
	require.NoError(t, c.Set(ctx, "k", make([]byte, 1000), time.Minute))
	require.False(t, holds(t, c, "k"), "the old value is no longer the key's")
	require.True(t, holds(t, c, "other"), "and nobody had to make room for nothing")
}

func TestMemoryWithoutBytesPanics(t *testing.T) {
	require.Panics(t, func() { cache.Memory(0) })
	require.Panics(t, func() { cache.Memory(-1) })
}

func TestMemoryIsSafeForConcurrentUse(*testing.T) {
	ctx, c := context.Background(), cache.Memory(5000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				key := strconv.Itoa((i + n) % 40)
				_ = c.Set(ctx, key, make([]byte, n), time.Minute)
				_, _, _ = c.Get(ctx, key)
				_ = c.Delete(ctx, strconv.Itoa(n%40))
			}
		})
	}
	wg.Wait()
}
