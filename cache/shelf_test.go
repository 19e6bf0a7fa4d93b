package cache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func TestAStoreThatFailsIsAMiss(t *testing.T) {
	down := errors.New("connection refused")
	o := says("Cache-Control: max-age=60")
	// The Redis behind it is down.
	rt := &cache.Transport{Base: o, Store: &store{
		get: func(context.Context, string) ([]byte, bool, error) { return nil, false, down },
		set: func(context.Context, string, []byte, time.Duration) error { return down },
		del: func(context.Context, string) error { return down },
	}}
	get(t, rt, "/")
	require.Equal(t, "answer 2", get(t, rt, "/").body)
	require.Equal(t, 200, do(t, rt, request("DELETE", "/")).StatusCode)
}

func TestAStoreThatIsFullIsAMiss(t *testing.T) {
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: cache.Memory(1)}
	get(t, rt, "/")
	require.Equal(t, "answer 2", get(t, rt, "/").body)
}

func TestAStoreThatReturnsAValueWithAnErrorIsAMiss(t *testing.T) {
	mem := cache.Memory(1 << 20)
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: &store{
		Cache: mem,
		get: func(ctx context.Context, key string) ([]byte, bool, error) {
			val, ok, _ := mem.Get(ctx, key)
			return val, ok, errors.New("replica behind")
		},
	}}
	get(t, rt, "/")
	require.Equal(t, "answer 2", get(t, rt, "/").body)
}

func TestRubbishFromTheStoreIsAMiss(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"another program's": func([]byte) []byte { return []byte(`{"user":1}`) },
		"empty":             func([]byte) []byte { return []byte{} },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"doubled":           func(b []byte) []byte { return append(b, b...) },
		"a bit flipped":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			mem := cache.Memory(1 << 20)
			rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: &store{
				Cache: mem,
				get: func(ctx context.Context, key string) ([]byte, bool, error) {
					val, ok, err := mem.Get(ctx, key)
					return spoil(append([]byte("        "), val...)[min(8, len(val)):]), ok, err
				},
			}}
			for _, want := range []string{"answer 1", "answer 2", "answer 3"} {
				require.Equal(t, want, get(t, rt, "/").body)
			}
		})
	}
}

func TestAStoreThatMixesItsKeysUpLeaksNothing(t *testing.T) {
	// A client library that gives one caller another's reply, as Redis clients have.
	var last []byte
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: &store{
		set: func(_ context.Context, _ string, val []byte, _ time.Duration) error { last = val; return nil },
		get: func(context.Context, string) ([]byte, bool, error) { return last, last != nil, nil },
	}}
	require.Equal(t, "answer 1", get(t, rt, "/ann").body)
	require.Equal(t, "answer 2", get(t, rt, "/bob").body)
	require.Equal(t, "answer 2", get(t, rt, "/bob").body)
}

func TestAStoreThatHangsIsAMissWithinTheTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			// It does not look at its context, as after a firewall dropped the connection.
			rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Timeout: timeout, Store: &store{
				get: func(context.Context, string) ([]byte, bool, error) {
					time.Sleep(time.Hour)
					return nil, false, nil
				},
				set: func(context.Context, string, []byte, time.Duration) error { time.Sleep(time.Hour); return nil },
			}}
			start := time.Now()
			require.Equal(t, "answer 1", get(t, rt, "/").body)
			each := timeout
			if each == 0 {
				each = 50 * time.Millisecond
			}
			require.Equal(t, 2*each, time.Since(start))
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestAStoreThatHangsDoesNotCollectGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hung atomic.Int64
		rt := &cache.Transport{Base: says("Cache-Control: no-store"), Store: &store{
			get: func(context.Context, string) ([]byte, bool, error) {
				hung.Add(1)
				time.Sleep(time.Hour)
				return nil, false, nil
			},
		}}
		for range 1100 {
			get(t, rt, "/")
		}
		require.EqualValues(t, 1024, hung.Load())
		time.Sleep(time.Hour)
		get(t, rt, "/")
		require.EqualValues(t, 1025, hung.Load(), "it is asked again once it is back")
		time.Sleep(time.Hour)
	})
}

func TestAStoreThatPanicsDoesSoWhereItsRequestIs(t *testing.T) {
	rt := &cache.Transport{Base: says(), Store: &store{
		get: func(context.Context, string) ([]byte, bool, error) { panic("nil map") },
	}}
	require.PanicsWithValue(t, "nil map", func() { _, _ = rt.RoundTrip(request("GET", "/")) })
}

func TestKeysDoNotShowSecrets(t *testing.T) {
	mem := cache.Memory(1 << 20)
	rt := &cache.Transport{Base: says("Cache-Control: public, max-age=60", "Vary: Authorization"), Store: &store{
		Cache: mem,
		set: func(ctx context.Context, key string, val []byte, ttl time.Duration) error {
			require.NotContains(t, key+string(val), "s3cret")
			return mem.Set(ctx, key, val, ttl)
		},
	}}
	for range 2 {
		require.Equal(t, "answer 1", get(t, rt, "/", "Authorization: s3cret").body)
	}
	require.Equal(t, "answer 2", get(t, rt, "/", "Authorization: another").body)
}

func TestTheStoreIsToldHowLongAResponseIsOfUse(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"X-None: 0":                           time.Minute + time.Hour, // for clients that take what is stale
		"Vary: Host":                          time.Minute + time.Hour,
		"Cache-Control: stale-if-error=86400": time.Minute + 24*time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			var ttls []time.Duration
			rt := &cache.Transport{Base: says("Cache-Control: max-age=60", line), Store: &store{
				get: func(context.Context, string) ([]byte, bool, error) { return nil, false, nil },
				set: func(_ context.Context, _ string, _ []byte, ttl time.Duration) error {
					ttls = append(ttls, ttl)
					return nil
				},
			}}
			get(t, rt, "/")
			require.NotEmpty(t, ttls)
			for _, ttl := range ttls {
				require.Equal(t, want, ttl)
			}
		})
	}
}

func TestHitsInARowAndMissesAtOnceAreSafe(t *testing.T) {
	rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept")
		_, _ = w.Write([]byte(strings.Repeat(r.Header.Get("Accept"), 1000)))
	}})
	done := make(chan bool)
	for i := range 8 {
		go func() {
			good := true
			for n := range 100 {
				accept := string(rune('a' + (i+n)%5))
				r := request("GET", "/", "Accept: "+accept)
				if n%20 == 0 {
					r.Method = "POST"
				}
				res, err := rt.RoundTrip(r)
				if err != nil {
					good = false
					continue
				}
				body, err := io.ReadAll(res.Body)
				good = good && err == nil && string(body) == strings.Repeat(accept, 1000) && res.Body.Close() == nil
			}
			done <- good
		}()
	}
	for range 8 {
		require.True(t, <-done)
	}
}
