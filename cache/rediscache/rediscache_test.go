package rediscache_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/cache/rediscache"
)

// newStore returns a Store with a client of its own, as each process has.
func newStore(t *testing.T, s *server, config rediscache.Config) *rediscache.Store {
	t.Helper()
	store := rediscache.New(s.client(), config)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	if config.Local != nil {
		require.Eventually(t, store.Listening, 5*time.Second, time.Millisecond)
	}
	return store
}

func get(t *testing.T, c cache.Cache, key string) (string, bool) {
	t.Helper()
	val, ok, err := c.Get(t.Context(), key)
	require.NoError(t, err)
	return string(val), ok
}

// requireNothing asks until the deadline, in the way of an engine that takes it for a miss.
func requireNothing(t *testing.T, c cache.Cache, key string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, ok, err := c.Get(context.Background(), key)
		return err == nil && !ok
	}, 5*time.Second, time.Millisecond)
}

func TestClientsAndConfigurationsThatCannotWorkAreRefusedWithAllFaults(t *testing.T) {
	good := &redis.Options{ContextTimeoutEnabled: true}
	client := func(change func(*redis.Options)) redis.UniversalClient {
		o := *good
		change(&o)
		return redis.NewClient(&o)
	}
	cluster := func(change func(*redis.ClusterOptions)) redis.UniversalClient {
		o := &redis.ClusterOptions{ContextTimeoutEnabled: true}
		change(o)
		return redis.NewClusterClient(o)
	}
	local := rediscache.Config{Local: cache.Memory(1000)}
	for name, c := range map[string]struct {
		client redis.UniversalClient
		config rediscache.Config
		faults []string
	}{
		"no client":                {nil, rediscache.Config{}, []string{"no client"}},
		"go-redis's defaults":      {redis.NewClient(&redis.Options{}), rediscache.Config{}, []string{"ContextTimeoutEnabled"}},
		"no deadlines for reads":   {client(func(o *redis.Options) { o.ReadTimeout = -2 }), rediscache.Config{}, []string{"ReadTimeout"}},
		"no deadlines for writes":  {client(func(o *redis.Options) { o.WriteTimeout = -2 }), rediscache.Config{}, []string{"WriteTimeout"}},
		"a cluster's defaults":     {redis.NewClusterClient(&redis.ClusterOptions{}), rediscache.Config{}, []string{"ContextTimeoutEnabled"}},
		"a cluster's no deadlines": {cluster(func(o *redis.ClusterOptions) { o.ReadTimeout = -2 }), rediscache.Config{}, []string{"ReadTimeout"}},
		"a cluster's replicas":     {cluster(func(o *redis.ClusterOptions) { o.RouteRandomly = true }), local, []string{"replicas"}},
		"a ring's defaults":        {redis.NewRing(&redis.RingOptions{}), rediscache.Config{}, []string{"ContextTimeoutEnabled"}},
		"a local tier for a ring":  {redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true}), local, []string{"local tier"}},
		"a local tier for another": {struct{ redis.UniversalClient }{}, local, []string{"local tier"}},
		"negative and deaf": {
			client(func(o *redis.Options) { o.ContextTimeoutEnabled = false }),
			rediscache.Config{MaxValue: -1, LocalTTL: -1, Quiet: true, Local: cache.Memory(1)},
			[]string{"MaxValue", "LocalTTL", "quiet", "ContextTimeoutEnabled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				err, _ := recover().(error)
				require.Error(t, err)
				for _, fault := range c.faults {
					assert.ErrorContains(t, err, fault)
				}
				if c.client != nil && !strings.Contains(name, "another") {
					_ = c.client.Close()
				}
			}()
			rediscache.New(c.client, c.config)
		})
	}
}

func TestWhatIsSetIsThereUntilItIsDeleted(t *testing.T) {
	store := newStore(t, startServer(t), rediscache.Config{})
	_, ok := get(t, store, "k")
	require.False(t, ok)
	for _, val := range []string{"one", "two", ""} {
		require.NoError(t, store.Set(t.Context(), "k", []byte(val), time.Minute))
		got, ok := get(t, store, "k")
		require.True(t, ok)
		require.Equal(t, val, got)
	}
	require.NoError(t, store.Delete(t.Context(), "k"))
	require.NoError(t, store.Delete(t.Context(), "k"))
	_, ok = get(t, store, "k")
	require.False(t, ok)
}

func TestKeysAndValuesMayHoldAnyBytes(t *testing.T) {
	store := newStore(t, startServer(t), rediscache.Config{Local: cache.Memory(1 << 20)})
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, key := range []string{"", " ", "\r\nDEL x\r\n", "\x00\xff", string(every), strings.Repeat("k", 100_000)} {
		val := append([]byte(key), every...)
		require.NoError(t, store.Set(t.Context(), key, val, time.Minute))
		got, ok := get(t, store, key)
		require.True(t, ok)
		require.Equal(t, string(val), got)
	}
}

func TestRedisSeesNoURLs(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{Prefix: "shop:"})
	require.NoError(t, store.Set(t.Context(), "https://shop.test/reset?token=secret", []byte("v"), time.Minute))
	require.Len(t, s.keys(), 1)
	require.Regexp(t, `^shop:[A-Za-z0-9_-]{43}$`, s.keys()[0])
}

func TestValuesExpireWithinRedis(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{})
	require.NoError(t, store.Set(t.Context(), "k", []byte("v"), time.Minute))
	left, ok := s.cli("PTTL", s.keys()[0]).(int64)
	require.True(t, ok)
	require.LessOrEqual(t, left, time.Minute.Milliseconds())
	require.Greater(t, left, time.Minute.Milliseconds()-30_000)

	require.NoError(t, store.Set(t.Context(), "k", []byte("v"), 20*time.Millisecond))
	requireNothing(t, store, "k")

	for _, ttl := range []time.Duration{0, -time.Second, time.Millisecond - 1} {
		require.NoError(t, store.Set(t.Context(), "k", []byte("v"), time.Minute))
		require.NoError(t, store.Set(t.Context(), "k", []byte("v"), ttl))
		require.Empty(t, s.keys(), "a ttl of %v is over", ttl)
	}
	require.NoError(t, store.Set(t.Context(), "k", []byte("v"), 1<<63-1))
	_, ok = get(t, store, "k")
	require.True(t, ok)
}

func TestTheLocalTierKeepsNothingForLongerThanRedis(t *testing.T) {
	s := startServer(t)
	one := newStore(t, s, rediscache.Config{})
	two := newStore(t, s, rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour})
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), 300*time.Millisecond))
	_, ok := get(t, two, "k")
	require.True(t, ok)
	requireNothing(t, two, "k")
}

func TestValuesThatAreTooLargeAreNotKept(t *testing.T) {
	s := startServer(t)
	for name, local := range map[string]cache.Cache{"alone": nil, "with a local tier": cache.Memory(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, s, rediscache.Config{MaxValue: 1000, Local: local})
			require.NoError(t, store.Set(t.Context(), "k", make([]byte, 1000), time.Minute))
			_, ok := get(t, store, "k")
			require.True(t, ok)
			require.NoError(t, store.Set(t.Context(), "k", make([]byte, 1001), time.Minute))
			_, ok = get(t, store, "k")
			require.False(t, ok, "what was there is not the key's any more")
			require.Empty(t, s.keys())
		})
	}
}

func TestRubbishInRedisIsAnErrorAndSetOverwritesIt(t *testing.T) {
	s := startServer(t)
	for name, local := range map[string]cache.Cache{"alone": nil, "with a local tier": cache.Memory(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, s, rediscache.Config{MaxValue: 1000, Local: local})
			require.NoError(t, store.Set(t.Context(), "k", nil, time.Minute))
			key := s.keys()[0]
			require.NoError(t, store.Delete(t.Context(), "k"))
			for _, rubbish := range [][]any{
				{"SET", key, "somebody else's"},
				{"SET", key, strings.Repeat("\x01", 5_000_000)},
				{"RPUSH", key, "a list"},
				{"HSET", key, "a", "hash"},
			} {
				s.cli(rubbish...)
				val, ok, err := store.Get(t.Context(), "k")
				require.Error(t, err, rubbish[0])
				require.False(t, ok)
				require.Nil(t, val)
				require.NoError(t, store.Set(t.Context(), "k", []byte("v"), time.Minute))
				got, _ := get(t, store, "k")
				require.Equal(t, "v", got)
				require.NoError(t, store.Delete(t.Context(), "k"))
			}
		})
	}
}

func TestALargeValueOfSomebodyElseIsNotReadWhole(t *testing.T) {
	s := startServer(t)
	store := newStore(t, s, rediscache.Config{MaxValue: 1000})
	require.NoError(t, store.Set(t.Context(), "k", nil, time.Minute))
	s.cli("SET", s.keys()[0], bytes.Repeat([]byte{1}, 10<<20))
	before := output(t, s)
	_, _, err := store.Get(t.Context(), "k")
	require.ErrorContains(t, err, "larger than allowed")
	require.Less(t, output(t, s)-before, int64(1<<20))
}

// output is how many bytes Redis has sent.
func output(t *testing.T, s *server) int64 {
	t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	stats, err := client.InfoMap(t.Context(), "stats").Result()
	require.NoError(t, err)
	var n int64
	for _, c := range stats["Stats"]["total_net_output_bytes"] {
		n = 10*n + int64(c-'0')
	}
	require.Positive(t, n)
	return n
}

func TestPrefixesKeepStoresApart(t *testing.T) {
	s := startServer(t)
	one, two := newStore(t, s, rediscache.Config{Prefix: "a:"}), newStore(t, s, rediscache.Config{Prefix: "b:"})
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Minute))
	_, ok := get(t, two, "k")
	require.False(t, ok)
	require.NoError(t, two.Delete(t.Context(), "k"))
	_, ok = get(t, one, "k")
	require.True(t, ok)
}

func TestErrorsHoldNeitherKeysNorPasswords(t *testing.T) {
	s := startServer(t)
	s.cli("CONFIG", "SET", "requirepass", rand.Text())
	o := s.options()
	o.Password = rand.Text()
	client := redis.NewClient(o)
	defer func() { _ = client.Close() }()
	store := rediscache.New(client, rediscache.Config{})
	_, _, err := store.Get(t.Context(), "the key")
	require.ErrorContains(t, err, "rediscache: get: ")
	for _, err := range []error{err, store.Set(t.Context(), "the key", []byte("the value"), time.Minute), store.Delete(t.Context(), "the key")} {
		require.Error(t, err)
		for _, secret := range []string{o.Password, "the key", "the value"} {
			require.NotContains(t, err.Error(), secret)
		}
		require.Equal(t, 1, strings.Count(err.Error(), "rediscache: "), err)
	}
}
