package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

func TestIntrospectionRemembersNothingIfTold(t *testing.T) {
	d := &desk{body: active}
	a := at(d)
	a.MaxRemembered = -1
	mw := auth.Require(a)
	for range 2 {
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(opaque)).Code)
	}
	assert.EqualValues(t, 2, d.asked.Load())
}

func TestIntrospectionRemembersForAWhile(t *testing.T) {
	for name, test := range map[string]struct {
		remember time.Duration
		body     string // may hold the time in 10 seconds
		wait     time.Duration
		asked    int32
	}{
		"at once":                    {0, active, 0, 1},
		"within a minute":            {0, active, 59 * time.Second, 1},
		"after a minute":             {0, active, time.Minute, 2},
		"longer if told":             {time.Hour, active, 59 * time.Minute, 1},
		"not at all if told":         {-1, active, 0, 2},
		"no longer than exp":         {0, `{"active":true,"exp":%d}`, 10 * time.Second, 2},
		"inactive for seconds":       {0, `{"active":false}`, 4 * time.Second, 1},
		"inactive for seconds only":  {time.Hour, `{"active":false}`, 5 * time.Second, 2},
		"inactive, though told not":  {-1, `{"active":false}`, time.Second, 1},
		"wrong audience for seconds": {0, `{"active":true,"iss":"https://id.test","aud":"x"}`, time.Second, 1},
		"bound, and bound again":     {0, `{"active":true,"cnf":{"jkt":"x"}}`, 0, 1},
		"a failure never":            {0, `{`, 0, 2},
		"huge claims never":          {0, `{"active":true,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &desk{body: test.body}
				if strings.Contains(test.body, "%d") {
					d.body = fmt.Sprintf(test.body, time.Now().Add(10*time.Second).Unix())
				}
				a := auth.Introspection{URL: "https://id.test", Transport: d, Remember: test.remember}
				if strings.Contains(test.body, `"aud"`) {
					a.Audience = "app"
				}
				mw := auth.Require(a)
				first := answer(mw, withBearer(opaque)).Code
				time.Sleep(test.wait)
				if d.body != test.body {
					first = http.StatusUnauthorized // its time is over
				}
				assert.Equal(t, first, answer(mw, withBearer(opaque)).Code)
				assert.Equal(t, test.asked, d.asked.Load())
			})
		})
	}
}

func TestIntrospectionAsksOnceForIdenticalTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{body: active, slow: time.Second}
		mw := auth.Require(at(d))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { assert.Equal(t, "hello ann", answer(mw, withBearer(opaque)).Body.String()) })
		}
		wg.Wait()
		assert.Equal(t, int32(1), d.asked.Load())
	})
}

// The first that asks leaves: the look-up goes on for the others.
func TestIntrospectionEachWaiterLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{body: active, slow: 2 * time.Second}
		mw := auth.Require(at(d))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			assert.Equal(t, 504, answer(mw, withBearer(opaque).WithContext(ctx)).Code)
			assert.Equal(t, time.Second, time.Since(start))
		})
		wg.Go(func() { assert.Equal(t, 499, answer(mw, withBearer(opaque).WithContext(leaving)).Code) })
		synctest.Wait()
		leave()
		wg.Go(func() { assert.Equal(t, "hello ann", answer(mw, withBearer(opaque)).Body.String()) })
		wg.Wait()
		assert.Equal(t, int32(1), d.asked.Load())
	})
}

// What a look-up finds in its context must not be the state of a request that may be over.
func TestIntrospectionLooksUpOnAContextOfItsOwn(t *testing.T) {
	var s *exchange.State
	a := at(roundTripper(func(r *http.Request) (*http.Response, error) {
		s = exchange.From(r.Context())
		return reply(200, active), nil
	}))
	x, r := exchange.Join(httptest.NewRecorder(), withBearer(opaque))
	x.RequestID, x.Token = "r1", "outer"
	auth.Require(a)(http.NotFoundHandler()).ServeHTTP(x, r)
	assert.Equal(t, &exchange.State{RequestID: "r1"}, s)
}

func TestIntrospectionDoesNotPileUpLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{body: active, slow: 3 * time.Second}
		mw := auth.Require(at(d)) // within 5 seconds
		var wg sync.WaitGroup
		var busy atomic.Int32
		for i := range 1500 {
			wg.Go(func() {
				if answer(mw, withBearer(fmt.Sprint("t", i))).Code == http.StatusServiceUnavailable {
					busy.Add(1)
				}
			})
		}
		wg.Wait()
		assert.Equal(t, int32(1500), d.asked.Load())
		assert.Equal(t, int32(500), busy.Load(), "those that had to wait")

		d.slow = 2 * time.Second
		busy.Store(0)
		for i := range 1500 {
			wg.Go(func() {
				if answer(mw, withBearer(fmt.Sprint("u", i))).Code == http.StatusServiceUnavailable {
					busy.Add(1)
				}
			})
		}
		wg.Wait()
		assert.Zero(t, busy.Load(), "there was time to wait")
		assert.Equal(t, http.StatusOK, answer(mw, withBearer("later")).Code)
	})
}

func TestIntrospectionAsksRevokedEachTime(t *testing.T) {
	d := &desk{body: active}
	var revoked bool
	var fails error
	a := at(d)
	a.Revoked = func(ctx context.Context, p *auth.Principal) (bool, error) {
		_, limited := ctx.Deadline()
		assert.True(t, limited)
		assert.Equal(t, "ann", p.Subject)
		return revoked, fails
	}
	mw := auth.Require(a)
	assert.Equal(t, http.StatusOK, answer(mw, withBearer(opaque)).Code)
	revoked = true
	w := answer(mw, withBearer(opaque))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Contains(t, w.Header().Get("Www-Authenticate"), "invalid_token")
	revoked, fails = false, errors.New("redis://10.0.0.9 is down")
	unavailable(t, answer(mw, withBearer(opaque)), gateway.UpstreamUnavailable)
	fails = context.DeadlineExceeded
	unavailable(t, answer(mw, withBearer(opaque)), gateway.UpstreamTimeout)
	fails = nil
	assert.Equal(t, http.StatusOK, answer(mw, withBearer(opaque)).Code, "what is remembered is not forgotten for it")
	assert.Equal(t, int32(1), d.asked.Load())
}
