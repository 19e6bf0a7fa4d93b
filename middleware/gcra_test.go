package middleware

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func take(t *testing.T, g *gcra, key string, n int) Decision {
	t.Helper()
	d, err := g.Take(context.Background(), key, n)
	require.NoError(t, err)
	return d
}

func TestGCRACountsWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGCRA(time.Second, 5, 100)
		assert.Equal(t, Decision{Allowed: true, Remaining: 3}, take(t, g, "a", 2))
		assert.Equal(t, Decision{Remaining: 3, RetryAfter: time.Second}, take(t, g, "a", 4))
		assert.Equal(t, Decision{Remaining: 3}, take(t, g, "a", 6), "more than there ever is")
		assert.Equal(t, Decision{Allowed: true}, take(t, g, "a", 3))
		time.Sleep(2500 * time.Millisecond)
		assert.Equal(t, Decision{Allowed: true, Remaining: 1}, take(t, g, "a", 1))
	})
}

func TestGCRAForgetsTheKeysUsedLongestAgoAndNoMoreThanItMust(t *testing.T) {
	g := newGCRA(time.Hour, 1, 64*100)
	require.True(t, take(t, g, "kept", 1).Allowed)
	for i := range 100_000 {
		take(t, g, strconv.Itoa(i), 1)
		if i%50 == 0 {
			require.False(t, take(t, g, "kept", 1).Allowed, "a flood of keys must not free one that is in use")
		}
	}
	keys := 0
	for i := range g.shards {
		keys += g.shards[i].full.Len()
	}
	assert.LessOrEqual(t, keys, 64*100)
}

func BenchmarkGCRATake(b *testing.B) {
	g := newGCRA(time.Nanosecond, 1, maxKeys)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = g.Take(context.Background(), "sub:u1", 1)
	}
}
