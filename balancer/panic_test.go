package balancer_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// sick is a pool of a to d, of which the health checks of some fail; these fail nothing else.
func sick(t *testing.T, share float64, s *seen, unwell ...string) *balancer.Pool {
	t.Helper()
	ill := map[string]bool{}
	for _, host := range unwell {
		ill[host] = true
	}
	p := newPool(t, balancer.Config{
		Targets:  []string{"http://a", "http://b", "http://c", "http://d"},
		Balancer: balancer.RoundRobin(), Panic: share,
		Health: balancer.Health{Path: "/healthz", Fall: 1},
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/healthz" {
				s.add(r)
				return respond(200, ""), nil
			}
			if ill[r.URL.Host] {
				return respond(503, ""), nil
			}
			return respond(200, ""), nil
		}),
	})
	synctest.Wait() // the first checks
	return p
}

// used returns the endpoints that get requests of p.
func used(t *testing.T, p *balancer.Pool, s *seen) map[string]int {
	t.Helper()
	for range 40 {
		status, problem := get(t, p)
		require.Nil(t, problem)
		require.Equal(t, 200, status)
	}
	return s.hosts
}

func TestHalfOfTheEndpointsAreEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 0, &s, "a", "b")
		assert.Equal(t, map[string]int{"c": 20, "d": 20}, used(t, p, &s))
		assert.Zero(t, p.Snapshot().Panics)
	})
}

func TestWhereFewAreWellAllAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 0, &s, "a", "b", "c")
		assert.Equal(t, map[string]int{"a": 10, "b": 10, "c": 10, "d": 10}, used(t, p, &s))
		assert.EqualValues(t, 40, p.Snapshot().Panics)
		assert.Equal(t, "unhealthy", p.Snapshot().Endpoints[0].Why, "being used does not make it well")
	})
}

func TestWhereNoneIsWellAllAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 0, &s, "a", "b", "c", "d")
		assert.Len(t, used(t, p, &s), 4)
		assert.EqualValues(t, 40, p.Snapshot().Panics)
	})
}

func TestPanicAtAnotherShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 0.25, &s, "a", "b", "c")
		assert.Equal(t, map[string]int{"d": 40}, used(t, p, &s), "a quarter is enough")
		assert.Zero(t, p.Snapshot().Panics)
	})
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 1, &s, "a")
		assert.Len(t, used(t, p, &s), 4, "all had to be well")
		assert.EqualValues(t, 40, p.Snapshot().Panics)
	})
	_, err := balancer.New(balancer.Config{Targets: []string{"http://a"}, Panic: 1.5})
	assert.ErrorContains(t, err, "Panic")
}

func TestWithoutPanicTheFewBearItAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, -1, &s, "a", "b", "c")
		assert.Equal(t, map[string]int{"d": 40}, used(t, p, &s))
		assert.Zero(t, p.Snapshot().Panics)
	})
}

func TestWithoutPanicAndWithoutAWellEndpointThereIsNoUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, -1, &s, "a", "b", "c", "d")
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
		assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
		assert.EqualValues(t, "upstream_unavailable", problem.Fault)
		assert.ErrorContains(t, problem, "http://c is unhealthy")
		assert.Zero(t, s.total())
		assert.Zero(t, p.Snapshot().Panics)
	})
}

// The operator has taken them out, and not a check that may be wrong.
func TestADrainingEndpointIsNotUsedInAPanicEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := sick(t, 0, &s, "a", "b", "c")
		require.NoError(t, p.Endpoints()[0].Drain(t.Context()))
		require.NoError(t, p.Endpoints()[3].Drain(t.Context()))
		assert.Equal(t, map[string]int{"b": 20, "c": 20}, used(t, p, &s))
		assert.EqualValues(t, 40, p.Snapshot().Panics)
	})
}

func TestAPanicEndsWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		var unwell atomic.Bool
		unwell.Store(true)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Balancer: balancer.RoundRobin(),
			Health: balancer.Health{Path: "/healthz", Every: time.Second, Fall: 1, Rise: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/healthz" {
					if unwell.Load() {
						return nil, refused
					}
					return respond(200, ""), nil
				}
				s.add(r)
				return respond(200, ""), nil
			}),
		})
		synctest.Wait()
		_, _ = get(t, p)
		require.EqualValues(t, 1, p.Snapshot().Panics)
		unwell.Store(false)
		time.Sleep(2 * time.Second)
		_, _ = get(t, p)
		assert.EqualValues(t, 1, p.Snapshot().Panics)
	})
}
