package balancer_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// why returns the conditions of the endpoints of p, and that Ready goes by the same.
func why(t *testing.T, p *balancer.Pool) (all []string) {
	t.Helper()
	snapshot := p.Snapshot()
	for i, e := range p.Endpoints() {
		s := snapshot.Endpoints[i]
		assert.Equal(t, e.URL(), s.URL)
		assert.Equal(t, e.Ready(), s.Ready)
		assert.Equal(t, s.Why == "", s.Ready)
		all = append(all, s.Why)
	}
	return all
}

func firstReady(_ *http.Request, ready []*balancer.Endpoint) *balancer.Endpoint { return ready[0] }

func TestASnapshotSaysWhyAnEndpointIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		answer := make(chan struct{})
		p := newPool(t, balancer.Config{
			Targets:  []string{"http://a", "http://b", "http://c", "http://d"},
			Balancer: balancer.BalancerFunc(firstReady), MaxPerEndpoint: 1,
			Health:   balancer.Health{Path: "/healthz", Every: time.Second, Fall: 1},
			Ejection: balancer.Ejection{Failures: 1, Time: 10 * time.Second},
			Retry:    balancer.Retry{Attempts: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				switch {
				case r.URL.Path == "/healthz":
					time.Sleep(time.Millisecond)
					if r.URL.Host == "c" {
						return respond(503, ""), nil
					}
				case failing.Load():
					return respond(500, ""), nil
				default:
					<-answer
				}
				return respond(200, ""), nil
			}),
		})
		require.Equal(t, []string{"", "", "", ""}, why(t, p), "an endpoint is well until it was checked")
		time.Sleep(2 * time.Millisecond)
		assert.Equal(t, []string{"", "", "unhealthy", ""}, why(t, p))

		failing.Store(true)
		status, _ := get(t, p)
		require.Equal(t, 500, status)
		assert.Equal(t, []string{"ejected", "", "unhealthy", ""}, why(t, p))
		out := p.Snapshot().Endpoints[0].EjectedFor
		assert.InDelta(t, 10*time.Second, out, float64(time.Second))

		failing.Store(false)
		var under sync.WaitGroup
		under.Go(func() { _, _ = get(t, p) })
		synctest.Wait()
		assert.Equal(t, []string{"ejected", "full", "unhealthy", ""}, why(t, p))
		assert.EqualValues(t, 1, p.Snapshot().Endpoints[1].InFlight)
		assert.EqualValues(t, 1, p.Snapshot().InFlight)

		require.NoError(t, p.Endpoints()[3].Drain(t.Context()))
		assert.Equal(t, []string{"ejected", "full", "unhealthy", "draining"}, why(t, p))

		time.Sleep(out + time.Nanosecond)
		under.Go(func() { _, _ = get(t, p) }) // the trial
		synctest.Wait()
		assert.Equal(t, []string{"on trial", "full", "unhealthy", "draining"}, why(t, p))
		assert.Zero(t, p.Snapshot().Endpoints[0].EjectedFor)
		assert.EqualValues(t, 2, p.Snapshot().InFlight)

		close(answer)
		under.Wait()
		p.Endpoints()[3].Resume()
		assert.Equal(t, []string{"", "", "unhealthy", ""}, why(t, p))
		assert.Zero(t, p.Snapshot().InFlight)
	})
}

// Whoever still holds an endpoint sees that it is gone; the pool's snapshot has those there are.
func TestAnEndpointThatWasRemovedIsNotInTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := &targets{changes: make(chan []balancer.Target, 1)}
		p := newPool(t, balancer.Config{
			Resolver: targets,
			Base:     tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
		})
		assert.Empty(t, p.Snapshot().Endpoints, "the resolver has not answered yet")
		targets.become("http://a", "http://b")
		synctest.Wait()
		b := p.Endpoints()[1]
		require.True(t, b.Ready())
		time.Sleep(time.Minute)
		targets.become("http://a")
		synctest.Wait()
		assert.False(t, b.Ready())
		require.Len(t, p.Snapshot().Endpoints, 1)
		assert.Equal(t, "http://a", p.Snapshot().Endpoints[0].URL)
	})
}

func TestASnapshotCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Resolver: balancer.Static{{URL: "http://a", Weight: 3, Zone: "z"}, {URL: "http://b", Zone: "y", Priority: 1}},
			Zone:     "z", Ejection: balancer.Ejection{Off: true}, Retry: balancer.Retry{Attempts: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				time.Sleep(40 * time.Millisecond)
				if r.URL.Path == "/broken" {
					return respond(500, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		fresh := p.Snapshot().Endpoints[0]
		assert.Equal(t, balancer.Target{URL: "http://a", Weight: 3, Zone: "z"}, fresh.Target)
		assert.InDelta(t, 3, fresh.Weight, 0)
		assert.InDelta(t, 0.5, p.Snapshot().Endpoints[1].Weight, 0, "it is in another zone")
		assert.Zero(t, fresh.Latency, "nothing is known")

		_, _ = get(t, p)
		s := p.Snapshot()
		assert.Equal(t, 40*time.Millisecond, s.Endpoints[0].Latency.Round(time.Millisecond))
		assert.EqualValues(t, 1, s.Endpoints[0].Attempts)
		assert.Zero(t, s.Endpoints[0].Failures)

		for range 3 {
			_, _ = exchange(t, p, request(t, "GET", "/broken", nil))
		}
		s = p.Snapshot()
		assert.EqualValues(t, 4, s.Endpoints[0].Attempts)
		assert.EqualValues(t, 3, s.Endpoints[0].Failures)
		assert.Greater(t, s.Endpoints[0].Latency, 40*time.Millisecond, "a failure counts as a second")
		assert.Zero(t, s.Endpoints[1].Attempts)
		assert.Zero(t, s.Endpoints[1].Latency)
	})
}

func TestASnapshotTellsHowManyRetriesThereMayBe(t *testing.T) {
	var dead atomic.Bool
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Ejection: balancer.Ejection{Off: true},
		Base: tripper(func(*http.Request) (*http.Response, error) {
			if dead.Load() {
				return respond(503, ""), nil
			}
			return respond(200, ""), nil
		}),
	})
	assert.InDelta(t, 10, p.Snapshot().Retries, 0)
	for range 5 {
		_, _ = get(t, p)
	}
	assert.InDelta(t, 11, p.Snapshot().Retries, 0, "a fifth of the requests")
	for range 1000 {
		_, _ = get(t, p)
	}
	assert.InDelta(t, 50, p.Snapshot().Retries, 0, "what can be saved is limited")
	dead.Store(true)
	for range 1000 {
		_, _ = get(t, p)
	}
	assert.Less(t, p.Snapshot().Retries, 1.0)
}

func TestASnapshotTellsTheBreakersState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Retry: balancer.Retry{Attempts: 1},
			Breaker: balancer.Breaker{Failures: 2, Cooldown: 7 * time.Second, Trials: 2},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				if dead.Load() {
					return nil, refused
				}
				return respond(200, strings.Repeat("x", 10)), nil
			}),
		})
		state := func() (string, time.Duration) {
			s := p.Snapshot()
			return s.Breaker, s.BreakerWait
		}
		word, wait := state()
		assert.Equal(t, "closed", word)
		assert.Zero(t, wait)
		dead.Store(true)
		for range 2 {
			_, _ = get(t, p)
		}
		time.Sleep(2 * time.Second)
		word, wait = state()
		assert.Equal(t, "open", word)
		assert.Equal(t, 5*time.Second, wait)
		dead.Store(false)
		time.Sleep(5*time.Second + 1)
		_, _ = get(t, p)
		word, _ = state()
		assert.Equal(t, "half-open", word)
		_, _ = get(t, p)
		word, wait = state()
		assert.Equal(t, "closed", word)
		assert.Zero(t, wait)

		assert.False(t, p.Snapshot().Draining)
		require.NoError(t, p.Close())
		assert.True(t, p.Snapshot().Draining)
	})
	none := newPool(t, balancer.Config{Targets: []string{"http://a"}})
	assert.Empty(t, none.Snapshot().Breaker)
}
