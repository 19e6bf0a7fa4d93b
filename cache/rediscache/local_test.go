package rediscache_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/cache/rediscache"
)

// pair is two processes with a local tier each, which keeps values for so long that
// only a message can make it forget.
func pair(t *testing.T, s *server) (one, two *rediscache.Store) {
	t.Helper()
	config := func() rediscache.Config {
		return rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour}
	}
	return newStore(t, s, config()), newStore(t, s, config())
}

func requireSoon(t *testing.T, c cache.Cache, key, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		val, ok, err := c.Get(context.Background(), key)
		return err == nil && ok && string(val) == want
	}, 5*time.Second, 100*time.Microsecond)
}

// behindItsBack changes what Redis has in a way that nobody is told of.
func behindItsBack(t *testing.T, s *server, key, val string) {
	t.Helper()
	quiet := newStore(t, s, rediscache.Config{Quiet: true})
	require.NoError(t, quiet.Set(t.Context(), key, []byte(val), time.Hour))
}

// settle waits until to has heard what from has said so far. Messages come in order,
// and a value that is near is there until its message has come.
func settle(t *testing.T, from, to cache.Cache) {
	t.Helper()
	require.NoError(t, to.Set(t.Context(), "signal", []byte("before"), time.Hour))
	require.NoError(t, from.Set(t.Context(), "signal", []byte("after"), time.Hour))
	requireSoon(t, to, "signal", "after")
}

func TestTheLocalTierAnswersWithoutRedis(t *testing.T) {
	s := startServer(t)
	one, two := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	settle(t, one, two)
	get(t, two, "k")
	behindItsBack(t, s, "k", "other")
	for _, store := range []cache.Cache{one, two} {
		val, ok := get(t, store, "k")
		require.True(t, ok)
		require.Equal(t, "v", val, "what was set and what was got are near")
	}
}

func TestWhatOneChangesTheOtherForgets(t *testing.T) {
	one, two := pair(t, startServer(t))
	for i := range 50 {
		val := strconv.Itoa(i)
		require.NoError(t, one.Set(t.Context(), "k", []byte(val), time.Hour))
		requireSoon(t, two, "k", val)
		require.NoError(t, two.Delete(t.Context(), "k"))
		requireNothing(t, one, "k")
		one, two = two, one
	}
}

func TestAStoreWithoutALocalTierTellsThoseThatHaveOne(t *testing.T) {
	s := startServer(t)
	one, _ := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	require.NoError(t, newStore(t, s, rediscache.Config{}).Delete(t.Context(), "k"))
	requireNothing(t, one, "k")
}

func TestOwnMessagesDoNotDropOwnValues(t *testing.T) {
	s := startServer(t)
	one, two := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	behindItsBack(t, s, "k", "other")
	settle(t, two, one) // one's own message was sent earlier
	val, _ := get(t, one, "k")
	require.Equal(t, "v", val)
}

func TestRubbishOnTheChannelIsIgnored(t *testing.T) {
	s := startServer(t)
	one, two := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	behindItsBack(t, s, "k", "other")
	for _, text := range []string{"", " ", "x", "\x00\xff\r\n", "somebody name", strings.Repeat("x", 1<<20), strings.Repeat(" ", 1000)} {
		s.cli("PUBLISH", "gatewright:cache:changes", text)
	}
	settle(t, two, one)
	require.True(t, one.Listening())
	val, _ := get(t, one, "k")
	require.Equal(t, "v", val)
}

func TestALostConnectionEmptiesTheLocalTierAndComesBack(t *testing.T) {
	s := startServer(t)
	one, two := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	behindItsBack(t, s, "k", "missed")
	s.cli("CLIENT", "KILL", "TYPE", "pubsub")
	requireSoon(t, one, "k", "missed")
	require.Eventually(t, one.Listening, 5*time.Second, time.Millisecond)
	require.Eventually(t, two.Listening, 5*time.Second, time.Millisecond)

	requireSoon(t, one, "k", "missed")
	require.NoError(t, two.Set(t.Context(), "k", []byte("heard"), time.Hour))
	requireSoon(t, one, "k", "heard")
}

func TestASilentConnectionCountsAsLost(t *testing.T) {
	s := startServer(t)
	one, _ := pair(t, s)
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	s.hang()
	require.Eventually(t, func() bool { return !one.Listening() }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, ok, err := one.Get(ctx, "k")
	require.False(t, ok)
	require.Error(t, err)
	s.goOn()
	require.Eventually(t, one.Listening, 10*time.Second, time.Millisecond)
	requireSoon(t, one, "k", "v")
}

func TestAConnectionThatIsQuietButAnswersIsKept(t *testing.T) {
	s := startServer(t)
	one, _ := pair(t, s)
	lost := func() bool { return !one.Listening() }
	require.Never(t, lost, 3500*time.Millisecond, time.Millisecond, "two beats and an answer each")
}

// Readers and writers in two processes: in the end all agree with Redis.
func TestTheTiersAgreeInTheEnd(t *testing.T) {
	s := startServer(t)
	one, two := pair(t, s)
	stores := []cache.Cache{one, two}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range 200 {
				store, key := stores[random.IntN(2)], strconv.Itoa(random.IntN(4))
				switch random.IntN(4) {
				case 0:
					_ = store.Set(t.Context(), key, []byte(strconv.Itoa(i*1000+n)), time.Hour)
				case 1:
					_ = store.Delete(t.Context(), key)
				default:
					_, _, _ = store.Get(t.Context(), key)
				}
			}
		})
	}
	wg.Wait()
	plain := newStore(t, s, rediscache.Config{})
	for i := range 4 {
		key := strconv.Itoa(i)
		for _, store := range stores {
			require.Eventually(t, func() bool {
				want, there, err := plain.Get(context.Background(), key)
				got, ok, err2 := store.Get(context.Background(), key)
				return err == nil && err2 == nil && ok == there && string(got) == string(want)
			}, 5*time.Second, time.Millisecond)
		}
	}
}

func TestCloseWaitsAndMayBeCalledTwice(t *testing.T) {
	s := startServer(t)
	one, _ := pair(t, s)
	require.NoError(t, one.Close())
	require.NoError(t, one.Close())
	require.False(t, one.Listening())
	require.NoError(t, one.Set(t.Context(), "k", []byte("v"), time.Hour))
	behindItsBack(t, s, "k", "other")
	requireSoon(t, one, "k", "other") // within a second

	plain := newStore(t, s, rediscache.Config{})
	require.NoError(t, plain.Close())
	require.False(t, plain.Listening())
}

// steps writes down when commands begin and end.
type steps struct {
	redis.Hook
	seen []string
}

func (s *steps) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *steps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *steps) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.seen = append(s.seen, cmd.Name())
		defer func() { s.seen = append(s.seen, "done") }()
		return next(ctx, cmd)
	}
}

func TestAChangeIsToldOnceItIsMade(t *testing.T) {
	client := startServer(t).client()
	require.NoError(t, client.Ping(t.Context()).Err()) // to connect takes steps of its own
	s := &steps{}
	client.AddHook(s)
	store := rediscache.New(client, rediscache.Config{})
	require.NoError(t, store.Set(t.Context(), "k", []byte("v"), time.Hour))
	require.NoError(t, store.Delete(t.Context(), "k"))
	require.Equal(t, []string{"set", "done", "publish", "done", "unlink", "done", "publish", "done"}, s.seen)

	s.seen = nil
	quiet := rediscache.New(client, rediscache.Config{Quiet: true})
	require.NoError(t, quiet.Set(t.Context(), "k", []byte("v"), time.Hour))
	require.Equal(t, []string{"set", "done"}, s.seen)
}

// A proxy that speaks another protocol, or a server that is broken: go-redis panics
// when it reads such an answer to SUBSCRIBE.
func TestAnswersOfAnotherShapeDoNotEndTheProcess(t *testing.T) {
	s := startServer(t)
	o := s.options()
	o.Dialer = misshapen(o)
	client := redis.NewClient(o)
	defer func() { _ = client.Close() }()
	store := rediscache.New(client, rediscache.Config{Local: cache.Memory(1000)})
	require.Never(t, store.Listening, 500*time.Millisecond, time.Millisecond)
	require.NoError(t, store.Close())
}
