package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

var errTierAway = errors.New("away")

func TestTiersWithoutTiersPanicWithAllFaults(t *testing.T) {
	defer func() {
		err, _ := recover().(error)
		require.ErrorContains(t, err, "near")
		require.ErrorContains(t, err, "far")
		require.ErrorContains(t, err, "less than nothing")
	}()
	cache.Tiered(nil, nil, -1)
}

func TestWhatIsGotFromFarIsNearUntilTheEndOfItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		keep, ttl, near time.Duration
		timed           bool
	}{
		"by itself":              {0, time.Hour, 10 * time.Second, false},
		"as told":                {time.Minute, time.Hour, time.Minute, false},
		"no longer than far":     {time.Minute, 5 * time.Second, 5 * time.Second, true},
		"no longer than told":    {time.Minute, time.Hour, time.Minute, true},
		"unless far cannot tell": {time.Minute, 5 * time.Second, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTierStore()
				far := cache.Cache(b)
				if c.timed {
					far = timedTier{b}
				}
				tiers := cache.Tiered(cache.Memory(10_000), far, c.keep)
				require.NoError(t, far.Set(t.Context(), "k", []byte("v"), c.ttl))
				for range 3 {
					require.True(t, holds(t, tiers, "k"))
				}
				require.Equal(t, 1, b.gets)
				time.Sleep(c.near - 1)
				require.True(t, holds(t, tiers, "k"))
				require.Equal(t, 1, b.gets)
				time.Sleep(time.Nanosecond)
				holds(t, tiers, "k")
				require.Equal(t, 2, b.gets)
			})
		})
	}
}

func TestWhatIsSetIsInBothTiersAndExpiresInBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newTierStore(), newTierStore()
		tiers := cache.Tiered(near, far, time.Minute)
		require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Second))
		require.True(t, near.holds("v"))
		require.True(t, far.holds("v"))
		require.True(t, holds(t, tiers, "k"))
		require.Zero(t, far.gets)
		time.Sleep(time.Second)
		require.False(t, holds(t, tiers, "k"))

		require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour))
		require.NoError(t, tiers.Set(t.Context(), "k", []byte("w"), 0))
		require.False(t, holds(t, tiers, "k"))
		require.False(t, near.holds("v"))
	})
}

func TestAFarTierThatFailsLeavesTheNearOne(t *testing.T) {
	near, far := newTierStore(), newTierStore()
	tiers := cache.Tiered(near, far, time.Minute)
	require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour))
	far.err = errTierAway
	require.True(t, holds(t, tiers, "k"))
	_, ok, err := tiers.Get(t.Context(), "other")
	require.False(t, ok)
	require.ErrorIs(t, err, errTierAway)

	require.ErrorIs(t, tiers.Set(t.Context(), "other", []byte("w"), time.Hour), errTierAway)
	require.True(t, holds(t, tiers, "other"))
	require.ErrorIs(t, tiers.Delete(t.Context(), "k"), errTierAway)
	require.False(t, near.holds("v"))
	_, ok, _ = tiers.Get(t.Context(), "k")
	require.False(t, ok)
}

func TestANearTierThatFailsIsNotMissed(t *testing.T) {
	near, far := newTierStore(), newTierStore()
	near.err = errTierAway
	tiers := cache.Tiered(near, far, time.Minute)
	require.ErrorIs(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour), errTierAway)
	require.True(t, holds(t, tiers, "k"), "without an error")
	_, _, err := tiers.Get(t.Context(), "nothing")
	require.ErrorIs(t, err, errTierAway, "it might have had it")
	require.ErrorIs(t, tiers.Delete(t.Context(), "k"), errTierAway)
	require.False(t, far.holds("v"))
}

func TestANearTierThatIsFullIsNotMissed(t *testing.T) {
	far := newTierStore()
	tiers := cache.Tiered(cache.Memory(1), far, time.Minute) // which keeps nothing
	require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour))
	for range 3 {
		require.True(t, holds(t, tiers, "k"))
	}
	require.Equal(t, 3, far.gets)
}

func TestAFarTierThatHangsIsWaitedForUntilTheDeadlineAndNearGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newTierStore(), newTierStore()
		tiers := cache.Tiered(near, far, time.Minute)
		require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour))
		far.takes = time.Hour
		begun := time.Now()
		require.True(t, holds(t, tiers, "k"))
		require.Zero(t, time.Since(begun))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, tiers.Delete(ctx, "k"), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
	})
}

func TestNearForgetsBeforeFarIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*cache.Tiers) error{
			"delete": func(c *cache.Tiers) error { return c.Delete(context.Background(), "k") },
			"set":    func(c *cache.Tiers) error { return c.Set(context.Background(), "k", []byte("new"), time.Hour) },
		} {
			far := newTierStore()
			tiers := cache.Tiered(newTierStore(), far, time.Minute)
			require.NoError(t, tiers.Set(t.Context(), "k", []byte("old"), time.Hour))
			far.takes = time.Minute
			done := make(chan error)
			go func() { done <- change(tiers) }()
			synctest.Wait()
			far.mu.Lock()
			far.err, far.takes = errTierAway, 0
			far.mu.Unlock()
			_, ok, err := tiers.Get(t.Context(), "k")
			assert.ErrorIs(t, err, errTierAway, name)
			assert.False(t, ok, name)
			assert.NoError(t, <-done)
		}
	})
}

// A Get that has the old value from far, and is slow, is overtaken by a change.
func TestASlowGetDoesNotBringBackWhatHasChanged(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *cache.Tiers, *tierStore){
		"deleted": func(t *testing.T, c *cache.Tiers, _ *tierStore) { require.NoError(t, c.Delete(t.Context(), "k")) },
		"set": func(t *testing.T, c *cache.Tiers, _ *tierStore) {
			require.NoError(t, c.Set(t.Context(), "k", []byte("new"), time.Hour))
		},
		"forgot": func(t *testing.T, c *cache.Tiers, b *tierStore) {
			require.NoError(t, b.Delete(t.Context(), "k"))
			c.Forget("k")
		},
		"cleared": func(t *testing.T, c *cache.Tiers, b *tierStore) {
			require.NoError(t, b.Delete(t.Context(), "k"))
			c.Clear()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := newTierStore()
				tiers := cache.Tiered(cache.Memory(10_000), far, time.Minute)
				require.NoError(t, far.Set(t.Context(), "k", []byte("old"), time.Hour))
				far.takes = 10 * time.Second
				got := make(chan string)
				go func() {
					val, _, _ := tiers.Get(context.Background(), "k")
					got <- string(val)
				}()
				synctest.Wait()
				far.mu.Lock()
				far.takes = 0
				far.mu.Unlock()
				change(t, tiers, far)
				require.Equal(t, "old", <-got)
				val, _, err := tiers.Get(t.Context(), "k")
				require.NoError(t, err)
				require.NotEqual(t, "old", string(val))
			})
		})
	}
}

// A Get that comes while far takes its time with a change sees the old value.
func TestWhatIsGotDuringAChangeIsForgottenWithIt(t *testing.T) {
	for name, change := range map[string]func(*cache.Tiers) error{
		"delete": func(c *cache.Tiers) error { return c.Delete(context.Background(), "k") },
		"set":    func(c *cache.Tiers) error { return c.Set(context.Background(), "k", []byte("new"), time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := newTierStore()
				tiers := cache.Tiered(cache.Memory(10_000), far, time.Minute)
				require.NoError(t, far.Set(t.Context(), "k", []byte("old"), time.Hour))
				far.takes = 10 * time.Second
				done := make(chan error)
				go func() { done <- change(tiers) }()
				synctest.Wait()
				far.mu.Lock()
				far.takes = 0
				far.mu.Unlock()
				val, _, err := tiers.Get(t.Context(), "k")
				require.NoError(t, err)
				require.Equal(t, "old", string(val))
				require.NoError(t, <-done)
				val, _, err = tiers.Get(t.Context(), "k")
				require.NoError(t, err)
				require.NotEqual(t, "old", string(val))
			})
		})
	}
}

// Which of two values far has in the end is not known when they are set at once.
func TestOfTwoThatSetAtOnceNearTakesNeither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newTierStore()
		far.takes = time.Second
		tiers := cache.Tiered(cache.Memory(10_000), far, time.Minute)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				_ = tiers.Set(context.Background(), "k", []byte(strconv.Itoa(i)), time.Hour)
			})
		}
		wg.Wait()
		require.True(t, holds(t, tiers, "k"))
		require.Equal(t, 1, far.gets)
	})
}

func TestForgetIsOfOneKeyAndClearOfAll(t *testing.T) {
	far := newTierStore()
	tiers := cache.Tiered(cache.Memory(10_000), far, time.Minute)
	for _, key := range []string{"a", "b"} {
		require.NoError(t, tiers.Set(t.Context(), key, []byte(key), time.Hour))
	}
	get := func(key string) string {
		val, _, err := tiers.Get(t.Context(), key)
		require.NoError(t, err)
		return string(val)
	}
	for _, key := range []string{"a", "b"} {
		require.NoError(t, far.Set(t.Context(), key, []byte("new"), time.Hour))
	}
	tiers.Forget("a")
	require.Equal(t, "new", get("a"))
	require.Equal(t, "b", get("b"))
	tiers.Clear()
	require.Equal(t, "new", get("b"))
}

// A disk outlives the process, and does not hear what changes meanwhile.
func TestWhatAnEarlierProcessLeftNearIsNotTaken(t *testing.T) {
	near, far := newTierStore(), newTierStore()
	require.NoError(t, far.Set(t.Context(), "k", []byte("old"), time.Hour))
	require.True(t, holds(t, cache.Tiered(near, far, time.Minute), "k"))
	require.True(t, near.holds("old"))
	require.NoError(t, far.Set(t.Context(), "k", []byte("new"), time.Hour))
	val, _, err := cache.Tiered(near, far, time.Minute).Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "new", string(val))
}

func TestAnyBytesAreAKeyOfTiers(t *testing.T) {
	tiers := cache.Tiered(cache.Memory(1<<20), cache.Memory(1<<20), time.Minute)
	keys := []string{"", ".", "\x00", "a.b", "0.0.a", strings.Repeat("k", 1000)}
	for _, key := range keys {
		require.NoError(t, tiers.Set(t.Context(), key, []byte(key), time.Hour))
	}
	for _, key := range keys {
		val, ok, err := tiers.Get(t.Context(), key)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, key, string(val))
	}
}

// Whatever was done before, with whatever failures of near, a Delete that returns no
// error leaves the value in neither tier.
func TestAfterADeleteNeitherTierHasTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 7))
			near, far := newTierStore(), newTierStore()
			tiers := cache.Tiered(near, timedTier{far}, time.Minute)
			current := map[string]string{}
			for n := range 50 {
				key := strconv.Itoa(random.IntN(3))
				near.err = nil
				switch random.IntN(6) {
				case 0:
					near.err = errTierAway
					_, _, _ = tiers.Get(t.Context(), key)
				case 1, 2:
					current[key] = strconv.Itoa(n)
					require.NoError(t, tiers.Set(t.Context(), key, []byte(current[key]), time.Hour))
				case 3:
					require.NoError(t, tiers.Delete(t.Context(), key))
					require.False(t, near.holds(current[key]) || far.holds(current[key]), "seed %d, step %d", seed, n)
					current[key] = "none"
				case 4:
					time.Sleep(time.Duration(random.IntN(90)) * time.Second)
				default:
					val, ok, err := tiers.Get(t.Context(), key)
					require.NoError(t, err)
					if ok {
						require.Equal(t, current[key], string(val))
					}
				}
			}
		}
	})
}

func TestAfterADeleteNobodyGetsTheValueHoweverManyAskMeanwhile(t *testing.T) {
	tiers := cache.Tiered(cache.Memory(1<<20), cache.Memory(1<<20), time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = tiers.Get(ctx, "k")
			}
		})
	}
	for range 2000 {
		require.NoError(t, tiers.Set(t.Context(), "k", []byte("v"), time.Hour))
		require.NoError(t, tiers.Delete(t.Context(), "k"))
		require.False(t, holds(t, tiers, "k"))
	}
	cancel()
	wg.Wait()
}
