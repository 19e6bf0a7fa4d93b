package oidc

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inBubbles is inBothModes with virtual time, for what is logged in with tokens of ttl.
func inBubbles(t *testing.T, ttl time.Duration, test func(t *testing.T, p *fakeProvider, b *browser)) {
	inBothModes(t, func(t *testing.T, store Store) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake(t)
			p.ttl = ttl
			test(t, p, loggedIn(t, p, store))
		})
	})
}

// pass lets time pass. It panics outside of a bubble, as Wait does.
func pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
}

func TestAnAccessTokenIsRefreshedBeforeItExpires(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		pass(4*time.Minute - time.Second)
		assert.Equal(t, "access-ab", saw(t, b.get("/app/x")).Token)
		pass(time.Second)
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		pass(5 * time.Minute) // past its end, nobody asked meanwhile
		assert.Equal(t, "access-ad", saw(t, b.get("/app/x")).Token)
		assert.Equal(t, 2, p.called("refresh_token"))
	})
}

func TestAShortTokenIsRefreshedInTheLastQuarterOfItsLife(t *testing.T) {
	inBubbles(t, 8*time.Second, func(t *testing.T, _ *fakeProvider, b *browser) {
		pass(5 * time.Second)
		assert.Equal(t, "access-ab", saw(t, b.get("/app/x")).Token)
		pass(time.Second)
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
	})
}

// The provider rotates refresh tokens and takes a second use of one for theft.
func TestParallelRequestsMakeOneRefresh(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		pass(10 * time.Minute)
		hang := make(chan struct{})
		p.set(func() { p.hang = hang })
		old := b.clone()
		var group sync.WaitGroup
		for range 20 {
			one := old.clone()
			group.Go(func() { assert.Equal(t, "access-ac", saw(t, one.get("/app/x")).Token) })
		}
		synctest.Wait()
		close(hang)
		group.Wait()
		pass(recentTime - time.Second) // a request that was long on its way with the old cookie
		assert.Equal(t, "access-ac", saw(t, old.clone().get("/app/x")).Token)
		b.get("/app/x")
		pass(10 * time.Minute)
		assert.Equal(t, "access-ad", saw(t, b.get("/app/x")).Token, "the new refresh token is good")
		assert.Equal(t, 2, p.called("refresh_token"))
	})
}

func TestARefreshGoesOnIfTheClientLeaves(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		pass(10 * time.Minute)
		hang := make(chan struct{})
		p.set(func() { p.hang = hang })
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			leave()
		}()
		w := b.send(b.request(http.MethodGet, "/app/x").WithContext(ctx))
		assert.Equal(t, 499, w.Code)
		close(hang)
		synctest.Wait()
		p.set(func() { p.down = true })
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		assert.Equal(t, 1, p.called("refresh_token"))
	})
}

func TestARefusedRefreshEndsTheSession(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		p.set(func() { p.ended["code-"] = true; p.spent["refresh-ab"] = true })
		pass(4 * time.Minute)
		copied := b.clone()
		w := b.get("/app/x")
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.NotContains(t, w.Body.String(), "LEAK")
		assert.Empty(t, b.cookies)
		assert.Equal(t, http.StatusUnauthorized, copied.clone().get("/app/x").Code)
		assert.Equal(t, http.StatusOK, copied.get("/open/x").Code, "where credentials are optional it is nobody's")
		assert.Equal(t, 1, p.called("refresh_token"))
	})
}

func TestARefreshForSomebodyElseEndsTheSession(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		p.set(func() { p.claims = func(c jwt.MapClaims) { c["sub"] = "bob" } })
		pass(4 * time.Minute)
		assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code)
	})
}

func TestAProviderThatIsDownLeavesTheSessionItsAccessToken(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		p.set(func() { p.down = true })
		pass(4 * time.Minute)
		for range 10 {
			assert.Equal(t, "access-ab", saw(t, b.get("/app/x")).Token)
		}
		assert.Equal(t, 2, p.called("/token"), "the login's, and one that failed: then a pause")
		pass(time.Minute)
		w := b.get("/app/x")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		assert.NotContains(t, w.Body.String(), "connection")
		p.set(func() { p.down = false })
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token, "and goes on when it is back")
	})
}

func TestAProviderThatErrsIsNotTheEndOfASession(t *testing.T) {
	for _, status := range []int{500, 429, 401, 302, 200} {
		inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
			p.set(func() {
				p.broken["/token"] = func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "https://id.test/other")
					w.WriteHeader(status)
					_, _ = w.Write([]byte("LEAK"))
				}
			})
			pass(5 * time.Minute)
			w := b.get("/app/x")
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.NotContains(t, w.Body.String(), "LEAK")
			assert.Zero(t, p.called("/other"))
			p.set(func() { delete(p.broken, "/token") })
			assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		})
	}
}

func TestASlowProviderHoldsUpNobodyWhoseTokenIsGood(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		pass(4 * time.Minute)
		hang := make(chan struct{})
		p.set(func() { p.hang = hang })
		before := time.Now()
		assert.Equal(t, "access-ab", saw(t, b.get("/app/x")).Token)
		assert.Equal(t, patience, time.Since(before))
		close(hang)
		synctest.Wait()
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		assert.Equal(t, 1, p.called("refresh_token"))

		pass(10 * time.Minute)
		p.set(func() { p.hang = make(chan struct{}) })
		before = time.Now()
		assert.Equal(t, http.StatusServiceUnavailable, b.get("/app/x").Code)
		assert.Equal(t, callTime, time.Since(before))
	})
}

func TestWithoutARefreshTokenTheSessionEndsWithTheAccessToken(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake(t)
			p.answer = func(a map[string]any) { delete(a, "refresh_token") }
			b := loggedIn(t, p, store)
			pass(5*time.Minute - time.Second)
			saw(t, b.get("/app/x"))
			pass(time.Second)
			assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code)
			assert.Empty(t, b.cookies)
		})
	})
}

func TestATokenWithoutAnEndIsNotRefreshed(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake(t)
			p.answer = func(a map[string]any) { delete(a, "expires_in") }
			b := loggedIn(t, p, store)
			pass(50 * time.Minute)
			assert.Equal(t, "access-ab", saw(t, b.get("/app/x")).Token)
		})
	})
}

// The logout cannot revoke the refresh token, so the refresh succeeds: its tokens are given
// back.
func TestALogoutDuringARefreshWins(t *testing.T) {
	inBubbles(t, 5*time.Minute, func(t *testing.T, p *fakeProvider, b *browser) {
		pass(10 * time.Minute)
		hang := make(chan struct{})
		p.set(func() {
			p.hang = hang
			p.broken["/revoke"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		})
		copied := b.clone()
		done := make(chan int)
		go func() { done <- copied.get("/app/x").Code }()
		synctest.Wait()
		assert.Equal(t, http.StatusOK, b.do("POST", "/auth/logout").Code)
		p.set(func() { delete(p.broken, "/revoke") })
		close(hang)
		assert.Equal(t, http.StatusUnauthorized, <-done)
		assert.Empty(t, copied.cookies)
		assert.Equal(t, http.StatusUnauthorized, copied.get("/app/x").Code)
		assert.Equal(t, 1, p.called("refresh_token"))
		assert.True(t, p.ended[p.refresh["refresh-ac"]])
	})
}

// lockStore has a lock, as a shared store has, and two gateways.
type lockStore struct {
	Store
	locks sync.Map
	err   error
}

func (s *lockStore) Lock(ctx context.Context, id string, _ time.Duration) (func(), error) {
	if s.err != nil {
		return nil, s.err
	}
	c, _ := s.locks.LoadOrStore(id, make(chan struct{}, 1))
	lock := c.(chan struct{})
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestTwoGatewaysWithALockMakeOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		store := &lockStore{Store: Memory(10)}
		one := loggedIn(t, p, store)
		two := start(t, p, store)
		two.cookies = one.clone().cookies
		pass(10 * time.Minute)
		hang := make(chan struct{})
		p.set(func() { p.hang = hang })
		var group sync.WaitGroup
		for _, b := range []*browser{one, two} {
			group.Go(func() { assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token) })
		}
		synctest.Wait()
		close(hang)
		group.Wait()
		assert.Equal(t, 1, p.called("refresh_token"))
		pass(10 * time.Minute)
		store.err = errors.New("no route")
		w := one.get("/app/x")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.NotContains(t, w.Body.String(), "route")
		assert.Equal(t, 1, p.called("refresh_token"), "not without the lock")
	})
}

// Without a lock the second use of a refresh token may be refused, while the first has long
// been saved.
func TestTwoGatewaysWithoutALockKeepWhatOneOfThemGot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		store := Memory(10)
		one := loggedIn(t, p, store)
		two := start(t, p, store)
		two.cookies = one.clone().cookies
		pass(10 * time.Minute)
		hang := make(chan struct{})
		p.set(func() { p.hang = hang })
		done := make(chan string)
		go func() { done <- saw(t, two.get("/app/x")).Token }()
		synctest.Wait()
		p.set(func() { p.hang = nil })
		assert.Equal(t, "access-ac", saw(t, one.get("/app/x")).Token)
		close(hang)
		assert.Equal(t, "access-ac", <-done)
	})
}

func TestARefreshedSessionIsSavedThoughTheStoreFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		store := &flakyStore{Store: Memory(10)}
		b := loggedIn(t, p, store)
		pass(10 * time.Minute)
		store.failures = 2
		assert.Equal(t, "access-ac", saw(t, b.get("/app/x")).Token)
		pass(10 * time.Minute)
		assert.Equal(t, "access-ad", saw(t, b.get("/app/x")).Token)
	})
}

// flakyStore fails to save now and then.
type flakyStore struct {
	Store
	failures int
}

func (s *flakyStore) Save(ctx context.Context, id string, old, data []byte, ttl time.Duration) (bool, error) {
	if s.failures > 0 {
		s.failures--
		return false, errors.New("try again")
	}
	return s.Store.Save(ctx, id, old, data, ttl)
}

func TestRecentIsBoundedAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent(time.Minute)
		key := func(i int) [32]byte { return [32]byte{byte(i), byte(i >> 8), byte(i >> 16)} }
		for i := range 2 * maxRecent {
			require.True(t, r.put(key(i), nil))
		}
		assert.Equal(t, maxRecent, r.past.Len())
		assert.False(t, r.put(key(2*maxRecent-1), nil))
		pass(time.Minute)
		_, ok := r.get(key(2*maxRecent - 1))
		assert.False(t, ok)
		assert.Zero(t, r.past.Len())
	})
}
