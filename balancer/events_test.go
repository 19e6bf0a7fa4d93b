package balancer_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// line is an event as a log has it.
func line(e balancer.Event) string { return fmt.Sprint(e.Kind, " ", e.Endpoint, ": ", e.Err) }

// lines returns what has been told by now.
func lines(events <-chan string) (all []string) {
	synctest.Wait()
	for len(events) > 0 {
		all = append(all, <-events)
	}
	return all
}

func TestHealthEventsAreToldOnceAndSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var says atomic.Int64
		says.Store(200)
		events := make(chan string, 100)
		newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Health: balancer.Health{Path: "/", Every: time.Second, Fall: 2, Rise: 2},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				if status := says.Load(); status != 0 {
					return respond(int(status), ""), nil
				}
				return nil, refused
			}),
			Events: func(e balancer.Event) { events <- line(e) },
		})
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"added http://a: <nil>"}, lines(events), "that it is well was assumed")

		says.Store(503)
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"unhealthy http://a: status 503"}, lines(events))
		says.Store(0)
		time.Sleep(time.Minute)
		assert.Empty(t, lines(events), "it is no more unhealthy for another reason")

		says.Store(204)
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"healthy http://a: <nil>"}, lines(events))
		says.Store(0)
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"unhealthy http://a: dial tcp: connection refused"}, lines(events))
	})
}

func TestEventsOfTheSetAndOfTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan string, 100)
		targets := newTargets("http://a", "http://b")
		p := newPool(t, balancer.Config{
			Resolver: targets,
			Base:     tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
			Events:   func(e balancer.Event) { events <- line(e) },
		})
		require.Equal(t, []string{"added http://a: <nil>", "added http://b: <nil>"}, lines(events))

		b := p.Endpoints()[1]
		for range 2 {
			require.NoError(t, b.Drain(t.Context()))
		}
		assert.Equal(t, []string{"draining http://b: <nil>"}, lines(events))
		b.Resume()
		b.Resume()
		assert.Equal(t, []string{"resumed http://b: <nil>"}, lines(events))

		time.Sleep(time.Minute)
		targets.become("http://c", "http://a")
		assert.ElementsMatch(t, []string{"added http://c: <nil>", "removed http://b: <nil>"}, lines(events))
	})
}

// The hook is called by whoever has found out, and may ask the pool: no lock is held.
func TestAHookMayAskThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p atomic.Pointer[balancer.Pool]
		why := make(chan string, 10)
		made := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Ejection: balancer.Ejection{Failures: 2},
			Retry:    balancer.Retry{Attempts: 1},
			Balancer: balancer.BalancerFunc(func(_ *http.Request, ready []*balancer.Endpoint) *balancer.Endpoint { return ready[0] }),
			Health:   balancer.Health{Path: "/healthz", Every: time.Minute, Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/healthz" {
					return respond(200, ""), nil
				}
				return respond(500, ""), nil
			}),
			Events: func(e balancer.Event) {
				if pool := p.Load(); pool != nil {
					why <- string(e.Kind) + " " + pool.Snapshot().Endpoints[0].Why
					pool.Endpoints()[0].Resume()
				}
			},
		})
		synctest.Wait()
		p.Store(made)
		for range 2 {
			status, _ := get(t, made)
			require.Equal(t, 500, status)
		}
		assert.Equal(t, []string{"ejected ejected"}, lines(why))
	})
}
