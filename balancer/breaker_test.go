package balancer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
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

// breakerPool has one endpoint, whose behaviour can be changed on the way.
func breakerPool(t *testing.T, upstream *tripper) *balancer.Pool {
	return newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Retry:   balancer.Retry{Attempts: 1},
		Breaker: balancer.Breaker{Failures: 5, Cooldown: 10 * time.Second, Trials: 1},
		Base:    tripper(func(r *http.Request) (*http.Response, error) { return (*upstream)(r) }),
	})
}

func always(status int, body string) tripper {
	return func(*http.Request) (*http.Response, error) { return respond(status, body), nil }
}

// isOpen reports whether the pool answers by itself.
func isOpen(p *balancer.Pool) bool { return p.Snapshot().Breaker == "open" }

func open(t *testing.T, p *balancer.Pool, upstream *tripper) {
	t.Helper()
	*upstream = always(500, "")
	for range 5 {
		require.False(t, isOpen(p))
		_, _ = get(t, p)
	}
	require.True(t, isOpen(p))
}

func TestFailuresInARowOpenTheBreakerAndATrialClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		open(t, p, &upstream)

		time.Sleep(4 * time.Second)
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
		assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
		assert.Equal(t, 6*time.Second, problem.RetryAfter)

		time.Sleep(6*time.Second + 1)
		require.False(t, isOpen(p))
		_, _ = get(t, p) // the trial fails
		require.True(t, isOpen(p))

		time.Sleep(10*time.Second + 1)
		upstream = always(200, "")
		for range 3 {
			status, _ := get(t, p)
			assert.Equal(t, 200, status)
		}
	})
}

func TestWhatABreakerCounts(t *testing.T) {
	header := func(code int, name, value string) tripper {
		return func(*http.Request) (*http.Response, error) {
			res := respond(code, "")
			res.Header.Set(name, value)
			return res, nil
		}
	}
	for name, c := range map[string]struct {
		upstream tripper
		open     bool
	}{
		"200":                  {always(200, "fine"), false},
		"404":                  {always(404, ""), false},
		"429":                  {always(429, ""), false},
		"501":                  {always(501, ""), false},
		"505":                  {always(505, ""), false},
		"503 with Retry-After": {header(503, "Retry-After", "1"), false},
		"503":                  {always(503, ""), true},
		"500":                  {always(500, ""), true},
		"599":                  {always(599, ""), true},
		"refused":              {func(*http.Request) (*http.Response, error) { return nil, refused }, true},
		"reset":                {func(*http.Request) (*http.Response, error) { return nil, reset }, true},
		"broken body":          {func(*http.Request) (*http.Response, error) { return broken(), nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := breakerPool(t, &c.upstream)
			for range 4 {
				_, _ = get(t, p)
				require.False(t, isOpen(p), "counted more than once")
			}
			_, _ = get(t, p)
			assert.Equal(t, c.open, isOpen(p))
		})
	}
}

// gobreaker by itself counts a cancelled context as a failure.
func TestFiveImpatientClientsDoNotOpenTheBreaker(t *testing.T) {
	entered := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Breaker: balancer.Breaker{Failures: 2}})
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		_, problem := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
		require.NotNil(t, problem)
		require.Equal(t, gateway.ClientCanceled, problem.Fault)
	}
	assert.False(t, isOpen(p))
}

func TestAClientsBrokenBodyDoesNotOpenTheBreaker(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Breaker: balancer.Breaker{Failures: 1}})
	body := io.MultiReader(strings.NewReader("half"), failing{io.ErrUnexpectedEOF})
	_, problem := exchange(t, p, request(t, "PUT", "/", body))
	require.NotNil(t, problem)
	assert.Equal(t, gateway.ClientBody, problem.Fault)
	assert.False(t, isOpen(p))
}

// halfOpen brings the breaker to where the next request is the trial.
func halfOpen(t *testing.T, p *balancer.Pool, upstream *tripper) {
	t.Helper()
	open(t, p, upstream)
	time.Sleep(10*time.Second + 1)
}

// leave makes a request of which nobody wants the answer.
func leave(p *balancer.Pool, r *http.Request) {
	if res, err := p.RoundTrip(r); err == nil {
		res.Body.Close()
	}
}

func TestOnlyOneTrialIsMadeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		halfOpen(t, p, &upstream)
		upstream = func(*http.Request) (*http.Response, error) { time.Sleep(time.Second); return respond(200, ""), nil }
		go leave(p, request(t, "GET", "/", nil))
		synctest.Wait()
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, time.Second, problem.RetryAfter)
		time.Sleep(2 * time.Second)
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

// The trial is a stream without an end, or its caller forgets to close it.
func TestATrialThatNeverEndsDoesNotWedgeTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		halfOpen(t, p, &upstream)
		upstream = always(200, "stream")
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		defer res.Body.Close()
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

// The trial's client leaves: that says nothing, and the next one is the trial.
func TestATrialWhoseClientLeavesIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		halfOpen(t, p, &upstream)
		upstream = func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, problem := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
			assert.Equal(t, gateway.ClientCanceled, problem.Fault)
			require.False(t, isOpen(p))
		}
		upstream = always(200, "")
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

// A transport without a time limit, a backend that never answers, a client that waits for ever.
func TestATrialThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		halfOpen(t, p, &upstream)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		upstream = func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		go leave(p, request(t, "GET", "/", nil).WithContext(ctx))
		synctest.Wait()
		time.Sleep(29 * time.Second)
		_, problem := get(t, p)
		require.NotNil(t, problem, "the trial is out")
		time.Sleep(11*time.Second + 2) // the trial's 30 s, and the cooldown
		upstream = always(200, "")
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	})
}

func TestATrialWhoseTransportPanicsHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream tripper
		p := breakerPool(t, &upstream)
		halfOpen(t, p, &upstream)
		upstream = func(*http.Request) (*http.Response, error) { panic("bug") }
		assert.Panics(t, func() { _, _ = p.RoundTrip(request(t, "GET", "/", nil)) })
		assert.True(t, isOpen(p))
		time.Sleep(10*time.Second + 1)
		assert.False(t, isOpen(p))
	})
}

// What a retry has made good is no failure of the upstream's.
func TestTheBreakerCountsRequestsAndNotAttempts(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets: []string{"http://dead", "http://b"}, Balancer: first,
		Breaker: balancer.Breaker{Failures: 1}, Ejection: balancer.Ejection{Off: true},
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "dead" {
				return nil, refused
			}
			return respond(200, ""), nil
		}),
	})
	for range 50 {
		status, _ := get(t, p)
		require.Equal(t, 200, status)
	}
	assert.False(t, isOpen(p))
}

func TestAShareOfFailuresOpensTheBreakerAndItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []balancer.EventKind
		n, failing := 0, true
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Retry: balancer.Retry{Attempts: 1},
			Breaker: balancer.Breaker{Ratio: 0.5, MinRequests: 10, Window: 5 * time.Second, Cooldown: time.Second},
			Events:  func(e balancer.Event) { events = append(events, e.Kind) },
			Base: tripper(func(*http.Request) (*http.Response, error) {
				if n++; failing && n%2 == 1 {
					return respond(500, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		for range 9 {
			_, _ = get(t, p)
		}
		time.Sleep(10 * time.Second) // of which nothing counts any more
		for range 9 {
			_, _ = get(t, p)
		}
		assert.False(t, isOpen(p))
		_, _ = get(t, p)
		assert.True(t, isOpen(p))
		failing = false
		time.Sleep(time.Second + 1)
		for range 3 {
			status, _ := get(t, p)
			assert.Equal(t, 200, status)
		}
		assert.Equal(t, "closed", p.Snapshot().Breaker)
		assert.Equal(t, []balancer.EventKind{balancer.Added, balancer.BreakerOpened, balancer.BreakerClosed}, events)
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// broken is a response whose connection is cut in the middle of the body.
func broken() *http.Response {
	res := respond(200, "")
	res.ContentLength = 100
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{errors.Join(io.ErrUnexpectedEOF, reset)}))
	return res
}

// Many clients, a backend that comes and goes: whatever the order, everything that
// was begun is settled, and the pool works in the end.
func TestNothingIsLeftOverAfterManyRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		var well atomic.Bool
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"}, Balancer: balancer.RoundRobin(),
			Breaker:  balancer.Breaker{Failures: 3, Cooldown: 10 * time.Millisecond},
			Ejection: balancer.Ejection{Failures: 2, Time: 20 * time.Millisecond},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Millisecond)
				switch i := n.Add(1); {
				case well.Load():
				case i%17 == 0, r.URL.Host == "a":
					return nil, refused
				case i%13 == 0:
					return broken(), nil
				case i%11 == 0:
					return respond(503, ""), nil
				}
				return respond(200, "fine"), nil
			}),
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					_, _ = get(t, p)
					time.Sleep(time.Millisecond)
				}
			})
		}
		wg.Wait()
		s := p.Snapshot()
		assert.Positive(t, s.Endpoints[0].Ejections)
		well.Store(true)
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			_, _ = get(t, p)
		}
		s = p.Snapshot()
		assert.Zero(t, s.InFlight)
		assert.Equal(t, "closed", s.Breaker)
		for _, e := range s.Endpoints {
			assert.Zero(t, e.InFlight)
			assert.Empty(t, e.Why)
		}
	})
}
