package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway/auth/oidc"
	"github.com/gatewright/gateway/auth/oidc/redisstore"
	"github.com/gatewright/gateway/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSessionsAreReplacedOnlyIfTheyAreWhatTheyWere(t *testing.T) {
	s := redistest.Start(t)
	ctx := t.Context()
	store := redisstore.New(s.Client(), "test:")
	save := func(old, data []byte) bool {
		ok, err := store.Save(ctx, "id", old, data, time.Minute)
		require.NoError(t, err)
		return ok
	}
	data, err := store.Load(ctx, "id")
	require.NoError(t, err)
	assert.Nil(t, data)
	one, two := []byte("\x00\xff one"), []byte("two\r\n")
	assert.False(t, save(two, one), "there is nothing to replace")
	assert.True(t, save(nil, one))
	assert.False(t, save(nil, two), "there is something")
	assert.False(t, save(two, two))
	assert.True(t, save(one, two))
	data, err = store.Load(ctx, "id")
	require.NoError(t, err)
	assert.Equal(t, two, data)
	ttl := s.Client().PTTL(ctx, "test:session:id").Val()
	assert.InDelta(t, time.Minute, ttl, float64(10*time.Second))
	require.NoError(t, store.Delete(ctx, "id"))
	require.NoError(t, store.Delete(ctx, "id"))
	assert.False(t, save(two, one), "what was deleted does not come back")
	ok, err := store.Save(ctx, "short", nil, one, time.Microsecond)
	require.NoError(t, err)
	assert.True(t, ok)
}

func TestOneHoldsTheLockAtATime(t *testing.T) {
	s := redistest.Start(t)
	lockers := []oidc.Locker{
		redisstore.New(s.Client(), "test:").(oidc.Locker), redisstore.New(s.Client(), "test:").(oidc.Locker),
	}
	var group sync.WaitGroup
	var inside sync.Mutex
	for i := range 8 {
		group.Go(func() {
			unlock, err := lockers[i%2].Lock(t.Context(), "id", time.Minute)
			if !assert.NoError(t, err) {
				return
			}
			assert.True(t, inside.TryLock(), "two are inside")
			_, err = lockers[1].Lock(t.Context(), fmt.Sprint("other", i), time.Minute)
			assert.NoError(t, err)
			inside.Unlock()
			unlock()
		})
	}
	group.Wait()
}

func TestALockThatIsNotGivenBackExpiresAndIsNotTakenFromTheNext(t *testing.T) {
	s := redistest.Start(t)
	locker := redisstore.New(s.Client(), "").(oidc.Locker)
	late, err := locker.Lock(t.Context(), "id", 50*time.Millisecond)
	require.NoError(t, err)
	_, err = locker.Lock(t.Context(), "id", time.Minute) // waits
	require.NoError(t, err)
	late()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = locker.Lock(ctx, "id", time.Minute)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestACallEndsWithItsContextThoughRedisHangs(t *testing.T) {
	s := redistest.Start(t)
	store := redisstore.New(s.Client(), "test:")
	s.Stop()
	before := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := store.Load(ctx, "id")
	assert.Error(t, err)
	assert.Less(t, time.Since(before), 2*time.Second)
}

func TestNewWithoutAClientPanics(t *testing.T) {
	assert.Panics(t, func() { redisstore.New(nil, "") })
}

func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	sessions := redisstore.New(client, "shop:")
	_, shared := sessions.(oidc.Locker)
	fmt.Println("gateways take turns:", shared)
	// Output: gateways take turns: true
}
