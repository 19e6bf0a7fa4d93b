package balancer_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// farm is upstreams that answer as they are told, by host. The zero value answers 200.
type farm struct {
	mu    sync.Mutex
	does  map[string]tripper
	count map[string]int
}

func (f *farm) set(host string, does tripper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.does == nil {
		f.does = map[string]tripper{}
	}
	f.does[host] = does
}

// asked returns how often, since it was asked last.
func (f *farm) asked(host string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.count[host]
	delete(f.count, host)
	return n
}

func (f *farm) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	if f.count == nil {
		f.count = map[string]int{}
	}
	f.count[r.URL.Host]++
	does := f.does[r.URL.Host]
	f.mu.Unlock()
	if does == nil {
		return respond(200, "fine"), nil
	}
	return does(r)
}

func refuses(*http.Request) (*http.Response, error) { return nil, refused }

// A dead endpoint in round robin gets nothing after its ejection, and the others share
// evenly (oxy #252).
func TestADeadEndpointIsEjectedAndTheOthersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		f.set("dead", refuses)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://dead", "http://b", "http://c"}, Balancer: balancer.RoundRobin(), Base: &f,
		})
		for range 300 {
			status, _ := get(t, p)
			require.Equal(t, 200, status)
		}
		assert.Equal(t, 5, f.asked("dead"))
		assert.InDelta(t, f.asked("b"), f.asked("c"), 10)
		s := p.Snapshot().Endpoints[0]
		assert.Equal(t, "ejected", s.Why)
		assert.InDelta(t, 10*time.Second, s.EjectedFor, float64(time.Second), "give or take a tenth")
	})
}

func TestAnEjectedEndpointComesBackByATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		var events []string
		f.set("a", refuses)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: balancer.RoundRobin(),
			Events: func(e balancer.Event) { events = append(events, string(e.Kind)) },
		})
		for range 20 {
			_, _ = get(t, p)
		}
		require.Equal(t, 5, f.asked("a"))

		time.Sleep(8 * time.Second)
		_, _ = get(t, p)
		require.Zero(t, f.asked("a"), "its time is not over")
		time.Sleep(4 * time.Second)
		post := request(t, "POST", "/", nil)
		_, _ = exchange(t, p, post)
		require.Zero(t, f.asked("a"), "what cannot be repeated is no trial")
		for range 20 {
			status, _ := get(t, p)
			require.Equal(t, 200, status, "a trial that fails goes elsewhere")
		}
		require.Equal(t, 1, f.asked("a"), "the trial failed: out again")

		time.Sleep(16 * time.Second)
		_, _ = get(t, p)
		require.Zero(t, f.asked("a"), "the second time is twice as long")
		f.set("a", nil)
		time.Sleep(7 * time.Second)
		for range 20 {
			_, _ = get(t, p)
		}
		assert.InDelta(t, 10.5, f.asked("a"), 0.6, "one as the trial, and then its turns")
		assert.Equal(t, []string{"added", "added", "ejected", "ejected", "returned"}, events)
	})
}

// An endpoint that fails every other request is never five times in a row the one.
func TestAShareOfFailuresEjectsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		n := 0
		f.set("a", func(*http.Request) (*http.Response, error) {
			if n++; n%2 == 0 {
				return respond(500, ""), nil
			}
			return respond(200, ""), nil
		})
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: balancer.RoundRobin(),
			Ejection: balancer.Ejection{MinRequests: 10, Window: time.Minute},
		})
		for range 18 {
			_, _ = get(t, p)
		}
		assert.Empty(t, p.Snapshot().Endpoints[0].Why, "nine are too few to tell")
		for range 4 {
			_, _ = get(t, p)
		}
		assert.Equal(t, "ejected", p.Snapshot().Endpoints[0].Why)
	})
}

func TestNotTooManyAreEjected(t *testing.T) {
	for n, out := range map[int]int{1: 0, 2: 1, 3: 1, 4: 1, 7: 1, 8: 2, 12: 3} {
		targets := make([]string, n)
		for i := range targets {
			targets[i] = fmt.Sprintf("http://host-%d", i)
		}
		half := targets[:n/2]
		p := newPool(t, balancer.Config{
			Targets: targets, Balancer: balancer.RoundRobin(), Retry: balancer.Retry{Attempts: 1},
			Ejection: balancer.Ejection{MaxShare: 0.25},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if slices.Contains(half, "http://"+r.URL.Host) {
					return respond(500, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		assert.Equal(t, out, ejectedAfter(t, p, 30*n), "of %d", n)
	}
}

// If it is the upstream that fails, fewer endpoints of it would do no better, and the load
// of those that are out would bring down the others.
func TestEndpointsThatFailAsTheOthersDoAreNotEjected(t *testing.T) {
	for name, fails := range map[string]func(n int) bool{
		"always":              func(int) bool { return true },
		"five times in a row": func(n int) bool { return n/20%2 == 0 },
	} {
		n := 0
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c", "http://d"}, Balancer: balancer.RoundRobin(),
			Retry: balancer.Retry{Attempts: 1},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				if n++; fails(n) {
					return respond(500, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		assert.Zero(t, ejectedAfter(t, p, 400), name)
	}
}

func ejectedAfter(t *testing.T, p *balancer.Pool, requests int) (ejected int) {
	t.Helper()
	for range requests {
		_, _ = get(t, p)
	}
	for _, e := range p.Snapshot().Endpoints {
		if e.Why == "ejected" {
			ejected++
		}
	}
	return ejected
}

func TestOverloadSparesAndNeverEjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := func(status int) tripper {
			return func(*http.Request) (*http.Response, error) {
				res := respond(status, "")
				res.Header.Set("Retry-After", "3")
				return res, nil
			}
		}
		var f farm
		f.set("a", busy(503))
		f.set("b", busy(429))
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"}, Base: &f, Balancer: balancer.RoundRobin(),
			Retry: balancer.Retry{Attempts: 1},
		})
		for range 90 {
			_, _ = get(t, p)
		}
		for _, e := range p.Snapshot().Endpoints {
			assert.Zero(t, e.Ejections, e.URL)
		}
		assert.Equal(t, 1, f.asked("a"), "it wants to be spared")
		assert.Greater(t, f.asked("b"), 40, "a 429 is for one client and not for all")
		assert.Equal(t, 3*time.Second, p.Snapshot().Endpoints[0].SparedFor)
		time.Sleep(3*time.Second + 1)
		for range 3 {
			_, _ = get(t, p)
		}
		assert.Equal(t, 1, f.asked("a"))
	})
}

// All are busy: nothing is gained by refusing in their name.
func TestWhereAllWantToBeSparedTheyAreAsked(t *testing.T) {
	var f farm
	f.set("a", func(*http.Request) (*http.Response, error) {
		res := respond(503, "")
		res.Header.Set("Retry-After", "3600")
		return res, nil
	})
	p := newPool(t, balancer.Config{Targets: []string{"http://a"}, Base: &f})
	for range 5 {
		status, problem := get(t, p)
		require.Nil(t, problem)
		assert.Equal(t, 503, status)
	}
	assert.Equal(t, 5, f.asked("a"))
	assert.LessOrEqual(t, p.Snapshot().Endpoints[0].SparedFor, 30*time.Second)
}

func TestAnActiveCheckDoesNotUndoAnEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Balancer: first,
			Health: balancer.Health{Path: "/healthz", Every: time.Second, Rise: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/healthz" || r.URL.Host == "b" {
					return respond(200, ""), nil
				}
				return respond(500, ""), nil
			}),
		})
		for range 5 {
			_, _ = get(t, p)
		}
		time.Sleep(5 * time.Second)
		assert.Equal(t, "ejected", p.Snapshot().Endpoints[0].Why)
	})
}

func TestEjectionCanBeOff(t *testing.T) {
	var f farm
	f.set("a", refuses)
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: first, Ejection: balancer.Ejection{Off: true},
	})
	for range 20 {
		_, _ = get(t, p)
	}
	assert.Equal(t, 20, f.asked("a"))
	_, err := balancer.New(balancer.Config{
		Targets: []string{"http://a"}, Ejection: balancer.Ejection{Off: true, Failures: 3, Ratio: 2, Time: -1},
	})
	require.Error(t, err)
	for _, fault := range []string{"off and has settings", "Ratio is not a share", "Time is negative"} {
		assert.ErrorContains(t, err, fault)
	}
}

// The trial's client leaves, or its backend never answers: another trial follows.
func TestATrialOfAnEndpointThatEndsWithoutAWordIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		f.set("a", refuses)
		p := newPool(t, balancer.Config{Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: balancer.RoundRobin()})
		for range 20 {
			_, _ = get(t, p)
		}
		f.set("a", func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		time.Sleep(12 * time.Second)
		f.asked("a")
		ctx, cancel := context.WithCancel(t.Context())
		go leave(p, request(t, "GET", "/", nil).WithContext(ctx))
		synctest.Wait()
		_, _ = get(t, p)
		require.Equal(t, 1, f.asked("a"), "one at a time")
		cancel()
		synctest.Wait()
		hung, cancel := context.WithCancel(t.Context())
		defer cancel()
		go leave(p, request(t, "GET", "/", nil).WithContext(hung))
		synctest.Wait()
		require.Equal(t, 1, f.asked("a"))
		time.Sleep(31 * time.Second)
		f.set("a", nil)
		_, _ = get(t, p)
		assert.Equal(t, 1, f.asked("a"), "the one that hangs is given up")
		assert.Empty(t, p.Snapshot().Endpoints[0].Why)
	})
}

func TestDrainingLetsRequestsFinishAndGivesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := newPool(t, balancer.Config{Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: first})
		res, err := p.RoundTrip(request(t, "POST", "/", nil))
		require.NoError(t, err)
		a := p.Endpoints()[0]
		require.EqualValues(t, 1, a.InFlight())
		time.AfterFunc(3*time.Second, func() { res.Body.Close() })
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, a.Drain(short), context.DeadlineExceeded)
		require.NoError(t, a.Drain(t.Context()))
		assert.Zero(t, a.InFlight())
		f.asked("a")
		for range 10 {
			status, _ := exchange(t, p, request(t, "POST", "/", nil))
			require.Equal(t, 200, status)
		}
		assert.Zero(t, f.asked("a"))
		assert.Equal(t, "draining", p.Snapshot().Endpoints[0].Why)
		a.Resume()
		_, _ = get(t, p)
		assert.Equal(t, 1, f.asked("a"))
	})
}
