package balancer_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// eventLog is what a pool has told.
type eventLog struct {
	mu  sync.Mutex
	all []balancer.Event
}

func (l *eventLog) add(e balancer.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *eventLog) count(kind balancer.EventKind) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// take returns what has happened since, each as its kind and endpoint.
func (l *eventLog) take() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		line := string(e.Kind)
		if e.Endpoint != nil {
			line += " " + e.Endpoint.URL()
		}
		lines = append(lines, line)
	}
	l.all = nil
	return lines
}

// feed is a resolver that waits for changes, as one does that watches something.
type feed struct {
	mu   sync.Mutex
	next []balancer.Target
	err  error
	news chan struct{}
}

// newFeed returns one that has targets from the start, if there are any.
func newFeed(urls ...string) *feed {
	f := &feed{news: make(chan struct{}, 1)}
	if len(urls) > 0 {
		f.put(urls...)
	}
	return f
}

func (f *feed) put(urls ...string) {
	var targets []balancer.Target
	for _, u := range urls {
		targets = append(targets, balancer.Target{URL: u})
	}
	f.putTargets(targets, nil)
}

func (f *feed) putTargets(targets []balancer.Target, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.err = targets, err
	select {
	case f.news <- struct{}{}:
	default:
	}
}

func (f *feed) Resolve(ctx context.Context) ([]balancer.Target, time.Duration, error) {
	select {
	case <-f.news:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.next, 0, f.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// settle lets the pool's goroutine see what was put.
func settle() {
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
}

// resolving is how many goroutines of pools ask their resolvers.
func resolving() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "balancer.(*Pool).resolve(")
}

func TestAPoolHasOneGoroutineForItsResolverAndCloseWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		static := newPool(t, balancer.Config{Resolver: balancer.Static{{URL: "http://a"}}})
		assert.Zero(t, resolving(), "nobody asks what does not change")
		assert.Len(t, static.Endpoints(), 1)

		ended := false
		p := newPool(t, balancer.Config{
			Resolver: balancer.ResolverFunc(func(ctx context.Context) ([]balancer.Target, time.Duration, error) {
				<-ctx.Done()
				time.Sleep(time.Second) // it takes its time to end
				ended = true
				return nil, 0, ctx.Err()
			}),
			Events: func(e balancer.Event) { t.Errorf("that it was closed is no event: %v", e) },
		})
		synctest.Wait()
		assert.Equal(t, 1, resolving())
		require.NoError(t, p.Close())
		assert.True(t, ended)
		assert.Zero(t, resolving())
		require.NoError(t, p.Close())
	})
}

func TestRequestsWaitForTheFirstTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFeed()
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}})
		time.AfterFunc(5*time.Second, func() { source.put("http://a") })
		start := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				status, _ := get(t, p)
				assert.Equal(t, 200, status)
				assert.Equal(t, 5*time.Second, time.Since(start))
			})
		}
		all.Wait()
	})
}

func TestARequestThatWaitsForTargetsStopsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{Resolver: newFeed(), Base: &farm{}})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, problem := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
		require.NotNil(t, problem)
		assert.Equal(t, 504, problem.Status)
		assert.Equal(t, time.Second, time.Since(start))

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, problem = exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
		require.NotNil(t, problem)
		assert.Equal(t, gateway.ClientCanceled, problem.Fault)
	})
}

func TestARequestThatWaitsForTargetsIsRefusedWhenThePoolIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{Resolver: newFeed(), Base: &farm{}})
		time.AfterFunc(time.Second, func() { p.Close() })
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
	})
}

func TestWithoutTargetsRequestsAreRefusedAtOnceAndServedOnceThereAreAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		p := newPool(t, balancer.Config{Base: &farm{}, Resolver: balancer.ResolverFunc(
			func(context.Context) ([]balancer.Target, time.Duration, error) {
				if down.Load() {
					return nil, 0, errors.New("the registry is down")
				}
				return []balancer.Target{{URL: "http://a"}}, time.Minute, nil
			})})
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
		down.Store(false)
		time.Sleep(time.Second)
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

func TestAResolverThatPanicsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		calls := 0
		p := newPool(t, balancer.Config{Base: &farm{}, Events: log.add, Resolver: balancer.ResolverFunc(
			func(context.Context) ([]balancer.Target, time.Duration, error) {
				if calls++; calls%2 == 0 {
					panic("a bug")
				}
				return []balancer.Target{{URL: "http://a"}}, time.Second, nil
			})})
		time.Sleep(10 * time.Second)
		assert.Greater(t, log.count(balancer.ResolveFailed), 3)
		assert.ErrorContains(t, log.all[len(log.all)-1].Err, "a bug")
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

func TestAResolverThatFailsIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Time
		var works bool
		newPool(t, balancer.Config{Base: &farm{}, Resolver: balancer.ResolverFunc(
			func(context.Context) ([]balancer.Target, time.Duration, error) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, time.Now())
				if works {
					return []balancer.Target{{URL: "http://a"}}, time.Hour, nil
				}
				return nil, time.Millisecond, errors.New("down")
			})})
		// run lets it be asked for a while, and returns the times between.
		run := func(well bool, d time.Duration) (between []time.Duration) {
			mu.Lock()
			works = well
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			for i := 1; i < len(asked); i++ {
				between = append(between, asked[i].Sub(asked[i-1]))
			}
			asked = nil
			return between
		}
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30}
		got := run(false, 5*time.Minute)
		require.Greater(t, len(got), len(want))
		for i, d := range want {
			assert.LessOrEqual(t, got[i], d*time.Second)
			assert.GreaterOrEqual(t, got[i], d*time.Second*9/10)
		}
		run(true, time.Minute)
		got = run(false, time.Hour+time.Minute)
		require.NotEmpty(t, got)
		assert.LessOrEqual(t, got[0], time.Second, "after a success, from the beginning")
	})
}

func TestAResolverThatSaysNothingOfTimeIsNotAskedWithoutPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		newPool(t, balancer.Config{Base: &farm{}, Resolver: balancer.ResolverFunc(
			func(context.Context) ([]balancer.Target, time.Duration, error) {
				asked.Add(1)
				return []balancer.Target{{URL: "http://a"}}, -time.Hour, nil
			})})
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 105, asked.Load(), 8)
	})
}

func TestFaultyAndRepeatedTargetsAreLeftOutAndTheRestIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		source := newFeed("http://a", "ftp://b", "http://a/", "http://c")
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}, Events: log.add})
		synctest.Wait()
		assert.Equal(t, []string{"http://a", "http://c"}, listed(p))
		failed := log.all[len(log.all)-1]
		assert.Equal(t, balancer.ResolveFailed, failed.Kind)
		assert.ErrorContains(t, failed.Err, "ftp://b")
		assert.ErrorContains(t, failed.Err, `"http://a/" is there twice`)

		// It is no reason to see the next change late.
		for _, u := range []string{"http://d", "http://e", "http://f"} {
			source.put(u, "ftp://b")
			settle()
			assert.Equal(t, []string{u}, listed(p))
		}

		// If none is left, all stay.
		source.put("ftp://b", "")
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"http://f"}, listed(p))
		source.put()
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"http://f"}, listed(p))
	})
}

func TestAnErrorAboutManyFaultyTargetsIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		targets := []balancer.Target{{URL: "http://a"}}
		for range 20_000 {
			targets = append(targets, balancer.Target{URL: "ftp://" + strings.Repeat("x", 50)})
		}
		source := newFeed()
		source.putTargets(targets, nil)
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}, Events: log.add})
		synctest.Wait()
		assert.Len(t, p.Endpoints(), 1)
		err := log.all[len(log.all)-1].Err
		assert.Less(t, len(err.Error()), 4000)
		assert.ErrorContains(t, err, "19990 more")
	})
}

func TestEventsTellWhichTargetsCameAndWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		source := newFeed("http://a", "http://b")
		newPool(t, balancer.Config{Resolver: source, Base: &farm{}, Events: log.add})
		synctest.Wait()
		assert.Equal(t, []string{"added http://a", "added http://b"}, log.take())
		source.put("http://b", "http://a")
		settle()
		assert.Empty(t, log.take(), "another order is no news")
		source.put("http://b", "http://c")
		settle()
		assert.Equal(t, []string{"added http://c", "removed http://a"}, log.take())
		source.putTargets(nil, errors.New("down"))
		settle()
		assert.Equal(t, []string{"resolve_failed"}, log.take())
		source.put("http://a", "http://b", "http://c")
		time.Sleep(2 * time.Second)
		assert.Equal(t, []string{"added http://a"}, log.take())
	})
}

// An event's receiver may ask the pool, which would be stuck if it held a lock.
func TestAReceiverOfEventsMayAskThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pool atomic.Pointer[balancer.Pool]
		var known []int
		source := newFeed()
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}, Events: func(balancer.Event) {
			known = append(known, len(pool.Load().Snapshot().Endpoints))
		}})
		pool.Store(p)
		source.put("http://a", "http://b")
		settle()
		assert.Equal(t, []int{2, 2}, known, "the new targets are there when their events come")
	})
}

func TestResolversAreCheckedAgainstTargets(t *testing.T) {
	_, err := balancer.New(balancer.Config{Targets: []string{"http://a"}, Resolver: newFeed()})
	assert.ErrorContains(t, err, "both Targets and a Resolver")
	_, err = balancer.New(balancer.Config{Resolver: balancer.Static{}})
	assert.ErrorContains(t, err, "no target")
	_, err = balancer.New(balancer.Config{Resolver: balancer.Static{{URL: "ftp://a"}, {URL: "http://b", Weight: -1}}})
	assert.ErrorContains(t, err, "target 1")
	assert.ErrorContains(t, err, "target 2")
}

// A resolver's slice is its own again once the next one is asked for, but what the pool
// has of it are copies.
func TestStaticTargetsHaveWhatTheySay(t *testing.T) {
	want := balancer.Target{URL: "http://a", Weight: 3, Zone: "z", Priority: 2, Host: "h"}
	targets := balancer.Static{want}
	p := newPool(t, balancer.Config{Resolver: targets, Base: tripper(func(r *http.Request) (*http.Response, error) {
		assert.Equal(t, "h", r.Host)
		return respond(200, ""), nil
	})})
	targets[0].URL = "http://changed"
	assert.Equal(t, want, p.Endpoints()[0].Target())
	_, _ = get(t, p)
}
