package auth_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// shelf imitates a database of keys that may fail, panic, be slow, or be deaf to its context.
type shelf struct {
	mu    sync.Mutex
	keys  map[string]*auth.Principal
	fails error
	slow  time.Duration
	deaf  bool
	asked atomic.Int32
}

func (s *shelf) Find(ctx context.Context, hash string) (*auth.Principal, error) {
	s.asked.Add(1)
	s.mu.Lock()
	p, err, slow := s.keys[hash], s.fails, s.slow
	s.mu.Unlock()
	if s.deaf {
		ctx = context.Background()
	}
	select {
	case <-time.After(slow):
		return p, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newShelf(holder auth.Principal) *shelf {
	return &shelf{keys: map[string]*auth.Principal{auth.HashKey(apiKey): &holder}}
}

func TestKeyStoreFailuresLetNobodyIn(t *testing.T) {
	for name, test := range map[string]struct {
		store auth.KeyStore
		fault gateway.Fault
	}{
		"down":                {&shelf{fails: errors.New("postgres://10.0.0.5 is down")}, gateway.UpstreamUnavailable},
		"slow":                {&shelf{slow: time.Hour}, gateway.UpstreamTimeout},
		"slow and deaf":       {&shelf{slow: time.Hour, deaf: true}, gateway.UpstreamTimeout},
		"canceled by itself":  {&shelf{fails: context.Canceled}, gateway.UpstreamUnavailable},
		"principal and error": {&shelf{keys: newShelf(auth.Principal{}).keys, fails: errors.New("half")}, gateway.UpstreamUnavailable},
		"a panic": {auth.KeyStoreFunc(func(context.Context, string) (*auth.Principal, error) {
			panic("s3cret")
		}), gateway.UpstreamUnavailable},
		"no such row": {auth.KeyStoreFunc(func(_ context.Context, hash string) (*auth.Principal, error) {
			var rows []*auth.Principal
			return rows[len(hash)], nil
		}), gateway.UpstreamUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, start := auth.APIKey{Store: test.store, Remember: time.Minute}, time.Now()
				unavailable(t, answer(auth.Require(a), withKeys(apiKey)), test.fault)
				assert.LessOrEqual(t, time.Since(start), time.Second)
				_, err := a.Authenticate(withKeys(apiKey))
				require.Error(t, err)
				assert.NotContains(t, err.Error(), apiKey)
				assert.NotContains(t, err.Error(), "s3cret")
				assert.NotContains(t, err.Error(), auth.HashKey(apiKey)[:8])
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestKeyStoreIsAskedForWhatKeysDoNotHave(t *testing.T) {
	s := newShelf(auth.Principal{Subject: "acme", Scopes: []string{"write"}, Claims: map[string]any{"plan": "gold"}})
	a := auth.APIKey{Store: s, Keys: map[string]*auth.Principal{auth.HashKey("static"): {Subject: "static"}}}
	mw := auth.Require(a)
	assert.Equal(t, "hello static", answer(mw, withKeys("static")).Body.String())
	assert.Zero(t, s.asked.Load())
	assert.Equal(t, "hello acme", answer(mw, withKeys(apiKey)).Body.String())
	w := answer(mw, withKeys("unknown"))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, `ApiKey header="X-Api-Key"`, w.Header().Get("Www-Authenticate"))
	assert.Equal(t, int32(2), s.asked.Load())

	p, err := a.Authenticate(withKeys(apiKey))
	require.NoError(t, err)
	plan, _ := p.Claim("plan")
	assert.Equal(t, "gold", plan)
	assert.NotSame(t, s.keys[auth.HashKey(apiKey)], p, "the store's own is not changed")
	assert.Empty(t, seen(t, mw, withKeys(apiKey)))
}

func TestKeyStoreGetsAHashAndADeadline(t *testing.T) {
	type value struct{}
	a := auth.APIKey{Timeout: 20 * time.Millisecond, Store: auth.KeyStoreFunc(func(ctx context.Context, hash string) (*auth.Principal, error) {
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.LessOrEqual(t, time.Until(deadline), 20*time.Millisecond)
		assert.Equal(t, auth.HashKey(apiKey), hash)
		assert.Equal(t, "trace", ctx.Value(value{}))
		return &auth.Principal{Subject: "acme"}, nil
	})}
	r := withKeys(apiKey)
	r = r.WithContext(context.WithValue(r.Context(), value{}, "trace"))
	assert.Equal(t, "hello acme", answer(auth.Require(a), r).Body.String())
}

func TestAPIKeyIsNotGoodAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holder := auth.Principal{Subject: "acme", Expires: time.Now().Add(time.Minute)}
		s := newShelf(holder)
		for name, a := range map[string]auth.APIKey{
			"stored":     {Store: s},
			"remembered": {Store: s, Remember: time.Hour},
			"listed":     {Keys: s.keys},
			"in a query": {Query: "key", Keys: s.keys},
		} {
			s.keys[auth.HashKey(apiKey)].Expires = time.Now().Add(time.Minute)
			mw, r := auth.Require(a), func() *http.Request {
				r := withKeys(apiKey)
				r.URL.RawQuery = "key=" + apiKey
				return r
			}
			assert.Equal(t, http.StatusOK, answer(mw, r()).Code, name)
			time.Sleep(time.Minute)
			w := answer(mw, r())
			assert.Equal(t, http.StatusUnauthorized, w.Code, name)
			assert.Equal(t, a.Challenge(), w.Header().Get("Www-Authenticate"), name)
		}
	})
}

func TestKeyStoreAnswersAreRememberedIfAsked(t *testing.T) {
	for name, test := range map[string]struct {
		remember, wait time.Duration
		key            string
		asked          int32
	}{
		"by default not":     {0, 0, apiKey, 2},
		"within its time":    {time.Minute, 59 * time.Second, apiKey, 1},
		"after its time":     {time.Minute, time.Minute, apiKey, 2},
		"unknown by default": {0, 0, "x", 2},
		"unknown within":     {time.Minute, 59 * time.Second, "x", 1},
		"unknown after":      {time.Minute, time.Minute, "x", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(auth.Principal{Subject: "acme"})
				mw := auth.Require(auth.APIKey{Store: s, Remember: test.remember})
				first := answer(mw, withKeys(test.key)).Code
				time.Sleep(test.wait)
				assert.Equal(t, first, answer(mw, withKeys(test.key)).Code)
				assert.Equal(t, test.asked, s.asked.Load())
			})
		})
	}
}

func TestKeyStoreFailuresAreNotRemembered(t *testing.T) {
	s := newShelf(auth.Principal{Subject: "acme"})
	s.fails = errors.New("down")
	mw := auth.Require(auth.APIKey{Store: s, Remember: time.Minute})
	assert.Equal(t, http.StatusServiceUnavailable, answer(mw, withKeys(apiKey)).Code)
	s.fails = nil
	assert.Equal(t, http.StatusOK, answer(mw, withKeys(apiKey)).Code)
}
