package balancer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/gatewright/gateway/balancer"
)

// held answers with a body that does not end before it is closed.
func held(*http.Request) (*http.Response, error) {
	r, _ := io.Pipe()
	res := respond(200, "")
	res.Body = r
	return res, nil
}

func find(t *testing.T, p *balancer.Pool, url string) balancer.EndpointSnapshot {
	t.Helper()
	for _, e := range p.Snapshot().Endpoints {
		if e.URL == url {
			return e
		}
	}
	t.Fatalf("%s is none of %v", url, listed(p))
	return balancer.EndpointSnapshot{}
}

// Pingora #821: a change of the set made new endpoints of all.
func TestWhatIsKnownOfAnEndpointSurvivesChangesOfTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		f.set("bad", refuses)
		source := newFeed("http://a", "http://bad", "http://c")
		p := newPool(t, balancer.Config{
			Resolver: source, Base: f, Balancer: balancer.RoundRobin(), SlowStart: -1, Panic: -1,
			Ejection: balancer.Ejection{Time: time.Hour},
		})
		for range 60 {
			_, _ = get(t, p)
			time.Sleep(time.Millisecond)
		}
		f.set("a", func(r *http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return held(r)
		})
		var open []*http.Response
		for len(open) < 6 {
			open = append(open, must(p.RoundTrip(request(t, "GET", "/", nil))))
		}
		before := p.Snapshot()
		a, bad := p.Endpoints()[0], p.Endpoints()[1]
		require.Positive(t, a.InFlight())
		require.Positive(t, a.Latency())
		require.Equal(t, "ejected", before.Endpoints[1].Why)

		source.put("http://new", "http://bad", "http://a")
		settle()
		assert.Same(t, a, p.Endpoints()[2])
		assert.Same(t, bad, p.Endpoints()[1])
		now := find(t, p, "http://a")
		assert.Equal(t, before.Endpoints[0].InFlight, now.InFlight)
		assert.Equal(t, before.Endpoints[0].Attempts, now.Attempts)
		assert.Positive(t, now.Latency)
		assert.Equal(t, "ejected", find(t, p, "http://bad").Why)

		// They go, and come back.
		source.put("http://new")
		settle()
		assert.False(t, a.Ready())
		assert.Equal(t, before.Endpoints[0].InFlight, a.InFlight(), "requests under way go on")
		source.put("http://a", "http://bad", "http://new")
		settle()
		assert.Same(t, a, p.Endpoints()[0])
		assert.True(t, a.Ready())
		assert.Equal(t, before.Endpoints[0].InFlight, a.InFlight())
		assert.Equal(t, "ejected", find(t, p, "http://bad").Why)
		assert.Equal(t, int64(1), find(t, p, "http://bad").Ejections)
		for _, res := range open {
			res.Body.Close()
		}
		assert.Zero(t, a.InFlight())
	})
}

func TestARequestAtARemovedEndpointFinishesAndNoOtherIsSentThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		f.set("a", func(*http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Second)
			return respond(200, "late and whole"), nil
		})
		source := newFeed("http://a")
		p := newPool(t, balancer.Config{Resolver: source, Base: f})
		answer := make(chan string)
		go func() {
			res, err := p.RoundTrip(request(t, "GET", "/", nil))
			if err != nil {
				answer <- err.Error()
				return
			}
			defer res.Body.Close()
			answer <- string(must(io.ReadAll(res.Body)))
		}()
		settle()
		source.put("http://b")
		settle()
		assert.Equal(t, 1, f.asked("a"))
		for range 20 {
			_, _ = get(t, p)
		}
		assert.Zero(t, f.asked("a"))
		assert.Equal(t, 20, f.asked("b"))
		assert.Equal(t, "late and whole", <-answer)
	})
}

func TestChangedWeightsZonesAndPrioritiesTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		source := newFeed()
		p := newPool(t, balancer.Config{Resolver: source, Base: f, Zone: "here", Balancer: balancer.RoundRobin()})
		put := func(a, b balancer.Target) {
			a.URL, b.URL = "http://a", "http://b"
			source.putTargets([]balancer.Target{a, b}, nil)
			settle()
			f.asked("a")
			f.asked("b")
			for range 40 {
				status, _ := get(t, p)
				require.Equal(t, 200, status)
			}
		}
		put(balancer.Target{}, balancer.Target{Priority: 1})
		assert.Zero(t, f.asked("b"))
		put(balancer.Target{Priority: 1}, balancer.Target{})
		assert.Zero(t, f.asked("a"), "the priorities have changed")
		put(balancer.Target{Zone: "here"}, balancer.Target{Zone: "there"})
		assert.Zero(t, f.asked("b"), "it is in another zone")
		put(balancer.Target{Zone: "there"}, balancer.Target{Zone: "here"})
		assert.Zero(t, f.asked("a"), "the zones have changed")
		put(balancer.Target{Weight: 7}, balancer.Target{Weight: 2})
		assert.InDelta(t, 7.0, p.Endpoints()[0].Weight(), 0)
		assert.InDelta(t, 2.0, p.Endpoints()[1].Weight(), 0)
		assert.Equal(t, balancer.Target{URL: "http://a", Weight: 7}, p.Endpoints()[0].Target())
	})
}

func TestAnEndpointThatComesToOthersStartsSlowlyAndTheFirstDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFeed("http://a", "http://b")
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}})
		synctest.Wait()
		assert.InDelta(t, 1.0, p.Endpoints()[0].Weight(), 0)
		source.put("http://a", "http://b", "http://c")
		settle()
		assert.Less(t, p.Endpoints()[2].Weight(), 0.2)
		time.Sleep(10 * time.Second)
		assert.InDelta(t, 1.0, p.Endpoints()[2].Weight(), 0)

		source.put("http://d", "http://e", "http://f", "http://c")
		settle()
		for _, e := range p.Endpoints() {
			assert.InDelta(t, 1.0, e.Weight(), 0, "most are new: there is nobody to carry the load meanwhile")
		}
	})
}

// Pods come and go for months, each with an address of its own.
func TestThousandsOfChangesAreNotRememberedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFeed("http://first")
		p := newPool(t, balancer.Config{Resolver: source, Base: &farm{}, Metrics: noop.NewMeterProvider()})
		_, _ = get(t, p)
		for i := range 5000 {
			source.put(fmt.Sprintf("http://pod-%d", i), fmt.Sprintf("http://pod-%d", i+1))
			time.Sleep(100 * time.Millisecond)
			if i%10 == 0 {
				status, _ := get(t, p)
				require.Equal(t, 200, status)
			}
		}
		assert.LessOrEqual(t, balancer.Known(p), 2+256)
		assert.Len(t, p.Endpoints(), 2)
	})
}

// What has requests under way is not forgotten, however many there were since.
func TestAnEndpointWithARequestUnderWayIsTheSameWhenItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		f.set("first", held)
		source := newFeed("http://first")
		p := newPool(t, balancer.Config{Resolver: source, Base: f})
		res := must(p.RoundTrip(request(t, "GET", "/", nil)))
		first := p.Endpoints()[0]
		for i := range 1000 {
			source.put(fmt.Sprintf("http://pod-%d", i))
			settle()
		}
		source.put("http://first")
		settle()
		assert.Same(t, first, p.Endpoints()[0])
		assert.Equal(t, int64(1), first.InFlight())
		res.Body.Close()
	})
}

// With -race.
func TestRequestsGoOnWhileTheSetChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		source := newFeed("http://a-0", "http://b-0")
		p := newPool(t, balancer.Config{Resolver: source, Base: f, Zone: "z"})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for ctx.Err() == nil {
					status, problem := get(t, p)
					assert.Equal(t, 200, status, "%v", problem)
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range 40 {
			source.putTargets([]balancer.Target{
				{URL: fmt.Sprintf("http://a-%d", i%7), Weight: i, Zone: "z"}, {URL: fmt.Sprintf("http://b-%d", i%5), Priority: i % 3},
			}, nil)
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		all.Wait()
	})
}

func TestManyTargetsAreChangedInLittleTime(t *testing.T) {
	var targets []balancer.Target
	for i := range 20_000 {
		targets = append(targets, balancer.Target{URL: fmt.Sprintf("http://10.0.%d.%d", i/256, i%256)})
	}
	done := make(chan struct{}, 100)
	asked := 0
	start := time.Now()
	newPool(t, balancer.Config{Base: &farm{}, Resolver: balancer.ResolverFunc(
		func(ctx context.Context) ([]balancer.Target, time.Duration, error) {
			if asked++; asked == 2 {
				done <- struct{}{}
				<-ctx.Done()
			}
			return targets, 0, nil
		})})
	<-done
	assert.Less(t, time.Since(start), 2*time.Second, "comparing each with each would take longer")
}

func TestIPv6TargetsAreMeasuredLikeOthers(t *testing.T) {
	p := newPool(t, balancer.Config{
		Resolver: balancer.Static{{URL: "http://[fd00::1]:8080/v1"}, {URL: "http://[fe80::1%25eth0]"}},
		Base:     &farm{}, Balancer: balancer.RoundRobin(), Metrics: noop.NewMeterProvider(),
	})
	for range 4 {
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	}
}
