package balancer_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func TestADeadEndpointGetsNothingAndTheOthersShareEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		var dead atomic.Bool
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"}, Balancer: balancer.RoundRobin(),
			Health: balancer.Health{Path: "/healthz"},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != "/healthz" {
					s.add(r)
				}
				if dead.Load() && r.URL.Host == "b" {
					return nil, refused
				}
				return respond(200, ""), nil
			}),
		})
		dead.Store(true)
		time.Sleep(40 * time.Second)
		require.False(t, p.Endpoints()[1].Ready())
		for range 100 {
			_, _ = get(t, p)
		}
		assert.Equal(t, map[string]int{"a": 50, "c": 50}, s.hosts)

		dead.Store(false)
		time.Sleep(30 * time.Second)
		assert.True(t, p.Endpoints()[1].Ready())
	})
}

func TestFallAndRiseCountInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []int{503, 503, 200, 503, 302, 404, 200, 503, 200, 299}
		ready := []bool{true, true, true, true, true, false, false, false, false, true}
		checks := make(chan int)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a/base"},
			Health:  balancer.Health{Path: "/up?deep=1", Every: 10 * time.Second, Fall: 3, Rise: 2},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "http://a/base/up?deep=1", r.URL.String())
				select {
				case status := <-checks:
					return respond(status, ""), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}),
		})
		last := time.Now()
		for i, status := range answers {
			checks <- status
			synctest.Wait()
			assert.Equal(t, ready[i], p.Endpoints()[0].Ready(), "after check %d", i)
			if i > 0 {
				assert.InDelta(t, 10*time.Second, time.Since(last), float64(time.Second))
			} else {
				assert.Zero(t, time.Since(last), "the first check is made at once")
			}
			last = time.Now()
		}
	})
}

// All endpoints hang; a check must neither wait for another nor for ever.
func TestHangingChecksTimeOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"},
			Health:  balancer.Health{Path: "/", Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		})
		time.Sleep(2*time.Second + 1)
		for _, e := range p.Endpoints() {
			assert.False(t, e.Ready(), e)
		}
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.ErrorContains(t, problem, "http://b is unhealthy")
		assert.Zero(t, problem.RetryAfter)
	})
}

// A body without an end is read to a limit only; a panic is a failed check.
func TestRudeAnswersToChecksDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://endless", "http://panics", "http://bodyless"},
			Health:  balancer.Health{Path: "/", Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				switch r.URL.Host {
				case "endless":
					return &http.Response{StatusCode: 200, Body: io.NopCloser(endless{})}, nil
				case "panics":
					panic("bug")
				}
				return &http.Response{StatusCode: 204}, nil
			}),
		})
		synctest.Wait()
		ready := p.Endpoints()
		assert.True(t, ready[0].Ready())
		assert.False(t, ready[1].Ready())
		assert.True(t, ready[2].Ready())
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestCloseCutsChecksOffAndWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		p := balancer.Must(balancer.Config{
			Targets: []string{"http://a", "http://b"},
			Health:  balancer.Health{Path: "/", Timeout: time.Hour, Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				running.Add(1)
				defer running.Add(-1)
				<-r.Context().Done()
				time.Sleep(time.Second)
				return nil, context.Cause(r.Context())
			}),
		})
		synctest.Wait()
		require.EqualValues(t, 2, running.Load())
		require.NoError(t, p.Close())
		assert.Zero(t, running.Load())
		assert.True(t, p.Endpoints()[0].Ready(), "a check that was cut off says nothing")
		require.NoError(t, p.Close())
	})
}
