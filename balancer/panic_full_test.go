package balancer_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// Three of four are well; they were all tried, or are full. That is no panic.
func TestFullEndpointsAreNoReasonToPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		answer := make(chan struct{})
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c", "http://ill"}, Balancer: balancer.RoundRobin(),
			MaxPerEndpoint: 1, Health: balancer.Health{Path: "/healthz", Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/healthz" {
					if r.URL.Host == "ill" {
						return respond(503, ""), nil
					}
					return respond(200, ""), nil
				}
				s.add(r)
				<-answer
				return respond(200, ""), nil
			}),
		})
		synctest.Wait()
		for range 4 {
			go func() { _, _ = get(t, p) }()
		}
		synctest.Wait()
		assert.Zero(t, s.hosts["ill"])
		assert.Zero(t, p.Snapshot().Panics)
		close(answer)
	})
}

func TestTriedEndpointsAreNoReasonToPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://ill"}, Balancer: balancer.RoundRobin(),
			Retry: balancer.Retry{Attempts: 3}, Health: balancer.Health{Path: "/healthz", Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/healthz" {
					if r.URL.Host == "ill" {
						return respond(503, ""), nil
					}
					return respond(200, ""), nil
				}
				s.add(r)
				return respond(503, ""), nil
			}),
		})
		synctest.Wait()
		status, _ := get(t, p)
		require.Equal(t, 503, status)
		assert.Zero(t, s.hosts["ill"])
		assert.Zero(t, p.Snapshot().Panics)
	})
}

// A request that is sent several times in a panic is one request.
func TestAPanicCountsRequestsAndNotAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"}, Retry: balancer.Retry{Attempts: 3},
			Health: balancer.Health{Path: "/healthz", Fall: 1},
			Base:   tripper(func(*http.Request) (*http.Response, error) { return respond(503, ""), nil }),
		})
		synctest.Wait()
		_, _ = get(t, p)
		assert.EqualValues(t, 1, p.Snapshot().Panics)
	})
}

func TestAPoolThatWasNeverAskedHasNoRate(t *testing.T) {
	assert.Zero(t, newPool(t, balancer.Config{Targets: []string{"http://a"}}).Snapshot().Rate)
}
