package rediscache_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/cache/rediscache"
)

const (
	patience = 200 * time.Millisecond
	// slack is what a busy machine may add. It is far below the client's own time limits.
	slack = time.Second
)

// load is many callers at once, each with a deadline.
type load struct {
	stop    func()
	longest atomic.Int64
	good    atomic.Int64 // values
	bad     atomic.Int64 // errors
	wrong   atomic.Int64 // values of others
}

func startLoad(t *testing.T, store cache.Cache, callers int) *load {
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				l.call(store, strconv.Itoa(n%50))
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(l.stop)
	return l
}

func (l *load) call(store cache.Cache, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begun := time.Now()
	val, ok, err := store.Get(ctx, key)
	if took := int64(time.Since(begun)); took > l.longest.Load() {
		l.longest.Store(took) // two at once: one of two long ones is lost, not both
	}
	switch {
	case err != nil:
		l.bad.Add(1)
	case ok && string(val) == key:
		l.good.Add(1)
	case ok:
		l.wrong.Add(1)
	}
}

// more waits until n has grown by 300.
func more(t *testing.T, n *atomic.Int64) {
	t.Helper()
	from := n.Load()
	require.Eventually(t, func() bool { return n.Load() > from+300 }, 20*time.Second, time.Millisecond)
}

func fill(t *testing.T, store cache.Cache) {
	t.Helper()
	for i := range 50 {
		key := strconv.Itoa(i)
		require.NoError(t, store.Set(t.Context(), key, []byte(key), time.Hour))
	}
}

func TestRedisKilledUnderLoadKeepsNobodyWaitingAndIsFoundAgain(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{})
	fill(t, store)
	l := startLoad(t, store, 200)
	more(t, &l.good)
	s.kill()
	more(t, &l.bad)
	s.start()
	require.Eventually(t, func() bool {
		return store.Set(context.Background(), "1", []byte("1"), time.Hour) == nil
	}, 10*time.Second, time.Millisecond)
	more(t, &l.good)
	l.stop()
	require.Zero(t, l.wrong.Load())
	require.Less(t, time.Duration(l.longest.Load()), patience+slack)
}

func TestRedisThatHangsKeepsNobodyWaitingAndIsFoundAgain(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{})
	fill(t, store)
	l := startLoad(t, store, 200)
	more(t, &l.good)
	s.hang()
	more(t, &l.bad)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.Error(t, store.Set(ctx, "k", []byte("v"), time.Minute))
	require.Error(t, store.Delete(ctx, "k"))
	require.Less(t, time.Since(begun), patience+slack)
	s.goOn()
	more(t, &l.good)
	l.stop()
	require.Zero(t, l.wrong.Load())
	require.Less(t, time.Duration(l.longest.Load()), patience+slack)
}

// Each kind of client has its own way to find out where to ask.
func TestAServerThatAcceptsAndSaysNothingKeepsNobodyWaiting(t *testing.T) {
	hole := blackHole(t)
	for name, client := range map[string]redis.UniversalClient{
		"one server": redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{hole}, ContextTimeoutEnabled: true, DialTimeout: 2 * time.Second, DialerRetries: 1}),
		"a cluster": redis.NewUniversalClient(&redis.UniversalOptions{
			Addrs: []string{hole, hole}, ContextTimeoutEnabled: true, DialTimeout: 2 * time.Second, DialerRetries: 1}),
		"sentinels": redis.NewUniversalClient(&redis.UniversalOptions{
			Addrs: []string{hole}, MasterName: "m", ContextTimeoutEnabled: true, DialTimeout: 2 * time.Second, DialerRetries: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { _ = client.Close() }()
			store := rediscache.New(client, rediscache.Config{Local: cache.Memory(1 << 20)})
			var wg sync.WaitGroup
			begun := time.Now()
			for range 100 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					_, ok, err := store.Get(ctx, "k")
					assert.Error(t, err)
					assert.False(t, ok)
					assert.Less(t, time.Since(begun), patience+slack)
				})
			}
			wg.Wait()
			begun = time.Now()
			require.NoError(t, store.Close())
			require.Less(t, time.Since(begun), 3*time.Second+slack)
		})
	}
}

func TestWhileRedisIsDownTheLocalTierAnswersBriefly(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour})
	require.NoError(t, store.Set(t.Context(), "k", []byte("old"), time.Hour))
	s.kill()
	require.Eventually(t, func() bool { return !store.Listening() }, 5*time.Second, time.Millisecond)
	_, _, err := store.Get(t.Context(), "k")
	require.Error(t, err, "it may have changed since")
	requireNearForASecond(t, store)
}

func TestBeforeRedisIsFoundTheLocalTierAnswersBriefly(t *testing.T) {
	s := startServer(t)
	s.kill()
	store := rediscache.New(s.client(), rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour})
	defer func() { _ = store.Close() }()
	requireNearForASecond(t, store)
}

func requireNearForASecond(t *testing.T, store *rediscache.Store) {
	t.Helper()
	begun := time.Now()
	require.Error(t, store.Set(t.Context(), "k", []byte("new"), time.Hour))
	val, ok := get(t, store, "k")
	require.True(t, ok)
	require.Equal(t, "new", val)
	require.Eventually(t, func() bool {
		_, _, err := store.Get(context.Background(), "k")
		return err != nil
	}, 5*time.Second, time.Millisecond, "not for an hour")
	require.Greater(t, time.Since(begun), 900*time.Millisecond, "nor for as long as a try to connect takes")
}

func TestWhatIsNearWhileRedisIsDownIsForgottenWhenItIsBack(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour})
	s.kill()
	require.Eventually(t, func() bool { return !store.Listening() }, 5*time.Second, time.Millisecond)
	require.Error(t, store.Set(t.Context(), "k", []byte("v"), time.Hour))
	s.start()
	require.Eventually(t, store.Listening, 5*time.Second, time.Millisecond)
	_, ok := get(t, store, "k")
	require.False(t, ok)
}
