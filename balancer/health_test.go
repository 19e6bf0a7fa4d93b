package balancer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
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
		answers := []int{503, 503, 200, 503, 302, 101, 200, 503, 200, 299}
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
			Health:  balancer.Health{Path: "/", Fall: 1}, Panic: -1,
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

func TestExactlyOneKindOfCheckMayBeSet(t *testing.T) {
	for want, h := range map[string]balancer.Health{
		"":                   {},
		"more than one":      {Path: "/", TCP: true},
		"more than one of":   {TCP: true, GRPC: true},
		"more than one of P": {Path: "/", GRPC: true},
		"none of Path":       {Every: time.Second},
		"none of Path, TCP":  {Fall: 1},
		"is for GRPC":        {Path: "/", Service: "shop"},
		"is not UTF-8":       {GRPC: true, Service: "\xff"},
	} {
		p, err := balancer.New(balancer.Config{Targets: []string{"h2c://a"}, Health: h})
		if want == "" {
			require.NoError(t, err)
			require.NoError(t, p.Close())
			continue
		}
		assert.ErrorContains(t, err, want)
		assert.Nil(t, p)
	}
}

// asks counts the checks by host, and remembers when they were made.
type asks struct {
	mu    sync.Mutex
	times map[string][]time.Time
}

func (a *asks) add(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.times == nil {
		a.times = make(map[string][]time.Time)
	}
	a.times[r.URL.Host] = append(a.times[r.URL.Host], time.Now())
}

func (a *asks) of(host string) []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.times[host])
}

func TestRoundsAreATenthApartFromEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made asks
		newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Health: balancer.Health{Path: "/", Every: time.Second},
			Base: tripper(func(r *http.Request) (*http.Response, error) { made.add(r); return respond(200, ""), nil }),
		})
		time.Sleep(200 * time.Second)
		times := made.of("a")
		shortest, longest := time.Hour, time.Duration(0)
		for i := range times[1:] {
			gap := times[i+1].Sub(times[i])
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
		assert.InDelta(t, 200, len(times), 10)
		assert.GreaterOrEqual(t, shortest, 900*time.Millisecond)
		assert.Less(t, shortest, 920*time.Millisecond)
		assert.LessOrEqual(t, longest, 1100*time.Millisecond)
		assert.Greater(t, longest, 1080*time.Millisecond)
	})
}

// One endpoint takes connections and answers nothing, and checks may take longer than the
// time between them.
func TestACheckThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made asks
		targets := newTargets("http://hangs", "http://well")
		p := newPool(t, balancer.Config{
			Resolver: targets, Panic: -1,
			Health: balancer.Health{Path: "/", Every: time.Second, Timeout: 10 * time.Second, Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				made.add(r)
				if r.URL.Host == "hangs" {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return respond(200, ""), nil
			}),
		})
		time.Sleep(9500 * time.Millisecond)
		assert.Len(t, made.of("hangs"), 1, "its first check is under way, another would be no news")
		assert.InDelta(t, 10, len(made.of("well")), 1)
		assert.True(t, p.Endpoints()[0].Ready())

		before := len(made.of("well"))
		targets.become("http://hangs", "http://well", "http://new")
		synctest.Wait()
		assert.Len(t, made.of("well"), before, "its turn has not come")
		assert.Len(t, made.of("new"), 1, "it is checked at once")

		time.Sleep(600 * time.Millisecond)
		assert.False(t, p.Endpoints()[0].Ready(), "10 s have passed")
	})
}

// targets is a Resolver whose targets change when the test says so.
type targets struct {
	changes chan []balancer.Target
	first   atomic.Bool
}

func newTargets(urls ...string) *targets {
	r := &targets{changes: make(chan []balancer.Target, 1)}
	r.become(urls...)
	return r
}

func (r *targets) become(urls ...string) {
	var now []balancer.Target
	for _, u := range urls {
		now = append(now, balancer.Target{URL: u})
	}
	r.changes <- now
}

func (r *targets) Resolve(ctx context.Context) ([]balancer.Target, time.Duration, error) {
	if !r.first.Swap(true) {
		return <-r.changes, 0, nil
	}
	select {
	case now := <-r.changes:
		return now, 0, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// The transport does not care for the context, as some do while they resolve a name.
func TestACheckThatDoesNotEndCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		events := make(chan balancer.Event, 10)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Health: balancer.Health{Path: "/", Every: 10 * time.Second},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				<-answer
				return respond(200, ""), nil
			}),
			Events: func(e balancer.Event) { events <- e },
		})
		require.Equal(t, balancer.Added, (<-events).Kind)
		time.Sleep(25 * time.Second)
		assert.Empty(t, events, "two rounds have found it hanging")
		time.Sleep(10 * time.Second)
		require.NotEmpty(t, events)
		assert.ErrorContains(t, (<-events).Err, "does not end")
		assert.False(t, p.Endpoints()[0].Ready())
		close(answer)
		time.Sleep(15 * time.Second)
		require.NotEmpty(t, events)
		assert.Equal(t, balancer.Healthy, (<-events).Kind)
	})
}

func TestAnEndpointThatRecoversStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"}, SlowStart: 10 * time.Second,
			Health: balancer.Health{Path: "/", Every: time.Second, Fall: 1, Rise: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "a" && dead.Load() {
					return respond(500, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		a := p.Endpoints()[0]
		time.Sleep(time.Minute)
		require.False(t, a.Ready())
		assert.InDelta(t, 1, a.Weight(), 0)
		dead.Store(false)
		for !a.Ready() {
			time.Sleep(time.Millisecond)
		}
		assert.InDelta(t, 0.1, a.Weight(), 0)
		time.Sleep(5 * time.Second)
		assert.InDelta(t, 0.5, a.Weight(), 0.01)
		time.Sleep(5 * time.Second)
		assert.InDelta(t, 1, a.Weight(), 0)
		for _, other := range p.Endpoints()[1:] {
			assert.InDelta(t, 1, other.Weight(), 0, "passing again and again changes nothing")
		}
	})
}

// Caddy shares the state of an address between upstreams, so that two with different checks
// overrule each other (caddyserver/caddy#7870).
func TestPoolsOfOneAddressKeepTheirOwnState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/orders/healthz" {
				return respond(503, ""), nil
			}
			return respond(200, ""), nil
		})
		pool := func(path string) *balancer.Pool {
			return newPool(t, balancer.Config{
				Targets: []string{"http://a"}, Base: base, Panic: -1,
				Health: balancer.Health{Path: path, Every: time.Second, Fall: 1, Rise: 1},
			})
		}
		users, orders := pool("/users/healthz"), pool("/orders/healthz")
		for range 20 {
			time.Sleep(time.Second)
			assert.True(t, users.Endpoints()[0].Ready())
			assert.False(t, orders.Endpoints()[0].Ready())
		}
	})
}

// bubbled counts the goroutines of synctest's bubble; others come and go as they like.
func bubbled() int {
	stacks := make([]byte, 16<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), ", synctest bubble ")
}

func TestAPoolWithoutChecksStartsNoGoroutineAndOneWithChecksOne(t *testing.T) {
	const pools = 1000
	synctest.Test(t, func(t *testing.T) {
		before := bubbled()
		for range pools {
			newPool(t, balancer.Config{
				Targets: []string{"http://a", "https://b", "h2c://c"}, Name: "no checks",
				Breaker: balancer.Breaker{Failures: 5}, Hedge: balancer.Hedge{After: 0.95},
			})
		}
		synctest.Wait()
		assert.Equal(t, before, bubbled())
	})
	synctest.Test(t, func(t *testing.T) {
		before := bubbled()
		var many []string
		for n := range 20 {
			many = append(many, fmt.Sprintf("http://host-%d", n))
		}
		for range pools {
			newPool(t, balancer.Config{
				Targets: many, Health: balancer.Health{Path: "/"},
				Base: tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
			})
		}
		synctest.Wait()
		assert.Equal(t, before+pools, bubbled(), "between rounds, whatever the number of endpoints")
	})
}

// A check that began before its endpoint went must not speak of it afterwards.
func TestAnEndpointThatIsGoneIsNeitherCheckedNorJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made asks
		var kinds []balancer.EventKind
		var mu sync.Mutex
		targets := newTargets("http://a", "http://b")
		p := newPool(t, balancer.Config{
			Resolver: targets,
			Health:   balancer.Health{Path: "/", Every: time.Second, Timeout: time.Minute, Fall: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				made.add(r)
				if r.URL.Host == "b" {
					time.Sleep(20 * time.Second)
					return nil, reset
				}
				return respond(200, ""), nil
			}),
			Events: func(e balancer.Event) {
				if e.Endpoint.URL() == "http://b" {
					mu.Lock()
					kinds = append(kinds, e.Kind)
					mu.Unlock()
				}
			},
		})
		time.Sleep(10 * time.Second)
		b := p.Endpoints()[1]
		targets.become("http://a")
		time.Sleep(time.Minute)
		assert.Len(t, made.of("b"), 1)
		assert.Equal(t, []balancer.EventKind{balancer.Added, balancer.Removed}, kinds)

		targets.become("http://a", "http://b")
		synctest.Wait()
		assert.Same(t, b, p.Endpoints()[1])
		assert.True(t, b.Ready())
		assert.Len(t, made.of("b"), 2, "it is checked at once, as if it were new")
		time.Sleep(21 * time.Second)
		assert.False(t, b.Ready())
	})
}
