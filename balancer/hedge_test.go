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

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// takes is an upstream that answers after a time, or when nobody waits any more.
func takes(d time.Duration, body string, canceled *atomic.Int64) tripper {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return respond(200, body), nil
		case <-r.Context().Done():
			if canceled != nil {
				canceled.Add(1)
			}
			return nil, r.Context().Err()
		}
	}
}

// hedgedPool has answered so many requests in 10 ms that it knows its quantiles.
func hedgedPool(t *testing.T, f *farm, c balancer.Config) *balancer.Pool {
	t.Helper()
	c.Targets, c.Base, c.Balancer = []string{"http://a", "http://b"}, f, first
	c.Hedge.After = 0.95
	f.set("a", takes(10*time.Millisecond, "a", nil))
	p := newPool(t, c)
	for range 200 {
		_, _ = get(t, p)
	}
	require.Zero(t, f.asked("b"), "nothing was slow")
	f.asked("a")
	return p
}

func TestASlowRequestIsHedgedAndTheFirstAnswerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		var canceled atomic.Int64
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", takes(time.Second, "slow", &canceled))
		f.set("b", takes(10*time.Millisecond, "quick", nil))
		begin := time.Now()
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err, "the winner's context must live until its body has ended")
		res.Body.Close()
		assert.Equal(t, "quick", string(got))
		assert.InDelta(t, 20*time.Millisecond, time.Since(begin), float64(3*time.Millisecond))
		synctest.Wait()
		assert.EqualValues(t, 1, canceled.Load(), "the other one is given up")
		for _, e := range p.Snapshot().Endpoints {
			assert.Zero(t, e.InFlight)
			assert.Zero(t, e.Failures, "losing is no failure")
		}
		assert.Zero(t, p.Snapshot().InFlight)
	})
}

func TestAHedgeIsNotWaitedForWhereTheFirstAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		var canceled atomic.Int64
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", takes(30*time.Millisecond, "first", nil))
		f.set("b", takes(time.Hour, "never", &canceled))
		res, err := p.RoundTrip(request(t, "HEAD", "/", nil))
		require.NoError(t, err)
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		assert.Equal(t, "first", string(got))
		synctest.Wait()
		assert.EqualValues(t, 1, canceled.Load())
	})
}

// The hedge fails at once: it is not the answer, however quick.
func TestAFailureDoesNotWinOverASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, hedge := range map[string]tripper{
			"refused": refuses, "500": always(500, ""),
			"panics": func(*http.Request) (*http.Response, error) { panic("bug") },
		} {
			var f farm
			p := hedgedPool(t, &f, balancer.Config{Ejection: balancer.Ejection{Off: true}})
			f.set("a", takes(50*time.Millisecond, "slow", nil))
			f.set("b", hedge)
			status, problem := get(t, p)
			require.Nil(t, problem, name)
			assert.Equal(t, 200, status, name)
			assert.Equal(t, 1, f.asked("b"), name)
			assert.Zero(t, p.Endpoints()[1].InFlight(), name)
		}
	})
}

func TestWhenBothFailTheRequestIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := hedgedPool(t, &f, balancer.Config{Ejection: balancer.Ejection{Off: true}})
		n := 0
		f.set("a", func(*http.Request) (*http.Response, error) {
			if n++; n == 1 {
				time.Sleep(50 * time.Millisecond)
				return nil, reset
			}
			return respond(200, ""), nil
		})
		f.set("b", refuses)
		status, problem := get(t, p)
		require.Nil(t, problem)
		assert.Equal(t, 200, status)
		assert.Equal(t, 2, n)
		assert.Zero(t, p.Snapshot().InFlight)
	})
}

func TestAPanicOfTheTransportReachesTheCallerAlsoFromAHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) })
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() { _, _ = p.RoundTrip(request(t, "GET", "/", nil)) })
		assert.Zero(t, p.Snapshot().InFlight)
		assert.Zero(t, p.Endpoints()[0].InFlight())
	})
}

func TestOnlyWhatIsSafeAndBodylessIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", takes(time.Second, "slow", nil))
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			_, _ = exchange(t, p, request(t, method, "/", nil))
		}
		upgrade := request(t, "GET", "/", nil)
		upgrade.Header.Set("Upgrade", "websocket")
		_, _ = exchange(t, p, upgrade)
		_, _ = exchange(t, p, request(t, "GET", "/", stream(failing{io.EOF})))
		assert.Zero(t, f.asked("b"))
	})
}

// All of the upstream is slow: hedges would only make it slower.
func TestHedgesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", takes(15*time.Millisecond, "", nil)) // over the quantile as it was
		f.set("b", takes(15*time.Millisecond, "", nil))
		const requests = 400
		for range requests {
			_, _ = get(t, p)
		}
		assert.LessOrEqual(t, f.asked("b"), 10+requests*5/100)
	})
}

func TestNoHedgeWhileAnEndpointIsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", refuses)
		for range 5 {
			_, _ = get(t, p)
		}
		require.Equal(t, "ejected", p.Snapshot().Endpoints[0].Why)
		f.asked("b")
		f.set("b", takes(time.Second, "", nil))
		_, _ = get(t, p)
		assert.Equal(t, 1, f.asked("b"))
	})
}

func TestAClientThatLeavesEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		var canceled atomic.Int64
		p := hedgedPool(t, &f, balancer.Config{})
		f.set("a", takes(time.Hour, "", &canceled))
		f.set("b", takes(time.Hour, "", &canceled))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, problem := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
		require.NotNil(t, problem)
		assert.Equal(t, gateway.ClientCanceled, problem.Fault)
		synctest.Wait()
		assert.EqualValues(t, 2, canceled.Load())
		assert.Zero(t, p.Snapshot().InFlight)
		for _, e := range p.Snapshot().Endpoints {
			assert.Zero(t, e.InFlight)
			assert.Zero(t, e.Failures)
		}
	})
}

func TestDeadlinesAreToldAndHopelessRequestsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told string
		sent := 0
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Deadline: balancer.Deadline{Header: "X-Request-Timeout-Ms"},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				told = r.Header.Get("X-Request-Timeout-Ms")
				sent++
				time.Sleep(100 * time.Millisecond)
				return respond(200, ""), nil
			}),
		})
		within := func(d time.Duration) (int, *gateway.Problem) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			r := request(t, "GET", "/", nil).WithContext(ctx)
			status, problem := exchange(t, p, r)
			assert.Empty(t, r.Header, "the caller's header is not ours")
			return status, problem
		}
		_, _ = get(t, p)
		assert.Empty(t, told, "there is none")
		for range 150 {
			_, _ = within(2 * time.Second)
		}
		assert.Equal(t, "1995", told)
		sent = 0
		_, problem := within(50 * time.Millisecond)
		require.NotNil(t, problem)
		assert.Equal(t, http.StatusGatewayTimeout, problem.Status)
		assert.Equal(t, gateway.UpstreamTimeout, problem.Fault)
		assert.Zero(t, sent)
		status, _ := within(150 * time.Millisecond)
		assert.Equal(t, 200, status)
	})
}

func TestTheDeadlineForGRPCIsWrittenAsGRPCDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told string
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Deadline: balancer.Deadline{Header: "Grpc-Timeout", Margin: 1},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				told = r.Header.Get("Grpc-Timeout")
				return respond(200, ""), nil
			}),
		})
		for d, want := range map[time.Duration]string{
			1500 * time.Millisecond: "1499m", 99 * time.Hour: "356399S", 27 * time.Hour: "97199999m",
		} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			_, _ = exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
			cancel()
			assert.Equal(t, want, told)
		}
		_, err := balancer.New(balancer.Config{Targets: []string{"http://a"}, Deadline: balancer.Deadline{Header: "grpc-timeout"}})
		assert.ErrorContains(t, err, "not canonical")
	})
}

func TestLimitsOfWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		for _, host := range []string{"a", "b"} {
			f.set(host, takes(time.Second, "", nil))
		}
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Base: &f, MaxInFlight: 5, MaxPerEndpoint: 2,
			Balancer: first, Retry: balancer.Retry{Attempts: 1},
		})
		answers := make(chan error, 7)
		for range 7 {
			go func() {
				_, err := p.RoundTrip(request(t, "GET", "/", nil))
				answers <- err
			}()
			synctest.Wait()
		}
		for range 3 {
			var problem *gateway.Problem
			require.ErrorAs(t, <-answers, &problem)
			assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
			assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
		}
		assert.Equal(t, 2, f.asked("a"))
		assert.Equal(t, 2, f.asked("b"))
		for range 4 {
			require.NoError(t, <-answers)
		}
	})
}

func TestTheDelayOfAHedgeCanBeFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		f.set("a", takes(time.Second, "slow", nil))
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: first,
			Hedge: balancer.Hedge{Delay: 30 * time.Millisecond, Budget: 1},
		})
		begin := time.Now()
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
		assert.Equal(t, 30*time.Millisecond, time.Since(begin))
		assert.Equal(t, 1, f.asked("b"))
		_, err := balancer.New(balancer.Config{Targets: []string{"http://a"}, Hedge: balancer.Hedge{After: 0.9, Delay: time.Second}})
		require.ErrorContains(t, err, "both After and Delay")
		_, err = balancer.New(balancer.Config{Targets: []string{"http://a"}, Hedge: balancer.Hedge{Budget: 0.9}})
		assert.ErrorContains(t, err, "neither After nor Delay")
	})
}
