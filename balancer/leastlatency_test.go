package balancer_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

const ms = time.Millisecond

// tally picks n times and counts.
func tally(b balancer.Balancer, ready []*balancer.Endpoint, n int) map[*balancer.Endpoint]int {
	picks := map[*balancer.Endpoint]int{}
	for range n {
		picks[b.Pick(nil, ready)]++
	}
	return picks
}

// fill picks n times, and what is picked has one request more in flight.
func fill(b balancer.Balancer, ready []*balancer.Endpoint, n int) {
	for range n {
		balancer.Hold(b.Pick(nil, ready), 1)
	}
}

func TestLeastLatencyBreaksTiesAtRandom(t *testing.T) {
	for n := 1; n <= 5; n++ {
		ready := endpoints(t, n)
		picks := tally(balancer.LeastLatency(), ready, 1000*n)
		for _, e := range ready {
			assert.InDelta(t, 1000, picks[e], 200, "%v of %d", e, n)
		}
	}
}

func TestLeastLatencyTakesTheLeastLatencyTimesLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 3)
		latencies := []time.Duration{10 * ms, 25 * ms, 100 * ms}
		for i := 2; i >= 0; i-- { // an endpoint's first answer counts for no more than the best yet
			balancer.Answer(ready[i], latencies[i])
		}
		fill(balancer.LeastLatency(), ready, 27)
		for i, want := range []int64{18, 8, 1} {
			assert.InDelta(t, want, ready[i].InFlight(), 2, "%v", ready[i])
		}
	})
}

func TestLeastLatencyTriesAnUnknownEndpointWithOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, b := endpoints(t, 3), balancer.LeastLatency()
		unknown := ready[2]
		balancer.Answer(ready[0], 50*ms)
		balancer.Answer(ready[1], 50*ms)
		require.Same(t, unknown, b.Pick(nil, ready))
		balancer.Hold(unknown, 1)
		fill(b, ready, 1000)
		assert.EqualValues(t, 1, unknown.InFlight(), "however much the others have to do")

		balancer.Answer(unknown, 10*ms)
		assert.Same(t, unknown, b.Pick(nil, ready))
	})
}

// The sinkhole: without a penalty the endpoint that fails in a millisecond would get nearly
// everything.
func TestLeastLatencyAvoidsAnEndpointThatFailsFastAndTriesItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f farm
		slow := func(*http.Request) (*http.Response, error) { time.Sleep(50 * ms); return respond(200, ""), nil }
		f.set("a", slow)
		f.set("b", slow)
		f.set("bad", func(*http.Request) (*http.Response, error) { time.Sleep(ms); return respond(500, ""), nil })
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://bad"}, Base: &f,
			Ejection: balancer.Ejection{Off: true}, Retry: balancer.Retry{Attempts: 1},
		})
		bad := p.Endpoints()[2]
		get200 := func(n int) {
			for range n {
				_, problem := get(t, p)
				require.Nil(t, problem)
			}
		}
		get200(20)
		require.NotZero(t, f.asked("bad"))
		assert.Greater(t, bad.Latency(), 700*ms, "a failure counts as a second, which has faded since")
		get200(40)
		assert.Zero(t, f.asked("bad"), "within two seconds")

		f.set("bad", nil)
		get200(2000)
		assert.Greater(t, f.asked("bad"), 1000, "it is well again, and the fastest")
	})
}

func TestLatencyFadesWithoutNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, b := endpoints(t, 2), balancer.LeastLatency()
		balancer.Fail(ready[0], 10*ms)
		balancer.Answer(ready[1], 100*ms)
		waited := time.Duration(0)
		for ; b.Pick(nil, ready) == ready[1]; waited += time.Second {
			require.Less(t, waited, 5*time.Minute)
			time.Sleep(time.Second)
			balancer.Answer(ready[1], 100*ms)
		}
		assert.Greater(t, waited, 5*time.Second)
	})
}

func TestLeastLatencyLoadsByWeight(t *testing.T) {
	ready := weighted(t, 3, 1)
	for _, e := range ready {
		balancer.Answer(e, 10*time.Hour) // so that the time of the test does not count
	}
	fill(balancer.LeastLatency(), ready, 400)
	assert.InDelta(t, 300, ready[0].InFlight(), 3)
}

func TestLeastLatencyLoadsAWarmingEndpointLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			warming time.Duration
			share   float64
		}{{0, 0.1}, {500 * ms, 0.1}, {5 * time.Second, 0.5}, {10 * time.Second, 1}} {
			ready := endpoints(t, 2)
			balancer.WarmUp(ready[0])
			time.Sleep(c.warming)
			balancer.Answer(ready[0], 10*ms)
			balancer.Answer(ready[1], 10*ms)
			fill(balancer.LeastLatency(), ready, 1000)
			assert.InDelta(t, c.share, float64(ready[0].InFlight())/float64(ready[1].InFlight()), 0.02, "after %v", c.warming)
		}
	})
}

func TestLeastLatencyLooksAtSixteenOfMany(t *testing.T) {
	for _, n := range []int{64, 65, 200} {
		ready := endpoints(t, n)
		for _, e := range ready {
			balancer.Answer(e, time.Hour)
			balancer.Hold(e, 1)
		}
		idle, loaded := ready[n/2], ready[0]
		balancer.Hold(idle, -1)
		balancer.Hold(loaded, 1)
		picks := tally(balancer.LeastLatency(), ready, 10000)
		want := 10000
		if n > 64 {
			miss := 1.0
			for range 16 {
				miss *= 1 - 1/float64(n)
			}
			want = int(10000 * (1 - miss))
		}
		assert.InDelta(t, want, picks[idle], 250, "of %d", n)
		assert.Zero(t, picks[loaded], "of %d", n)
	}
}

func TestLeastLatencySpreadsConcurrentRequests(t *testing.T) {
	ready, b := endpoints(t, 8), balancer.LeastLatency()
	for _, e := range ready {
		balancer.Answer(e, time.Hour)
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() { fill(b, ready, 1000) })
	}
	clients.Wait()
	for _, e := range ready {
		assert.InDelta(t, 1000, e.InFlight(), 20, "%v", e)
	}
}

// What was known of it has faded to nothing, and must not count as a latency of nothing: it
// was a target an hour ago, or is of a group that is used only in need.
func TestLeastLatencyTriesAnEndpointThatWasAwayWithOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, away := range []time.Duration{time.Minute, time.Hour, 100 * time.Hour} {
			ready := endpoints(t, 3)
			balancer.Answer(ready[2], 50*ms)
			time.Sleep(away)
			balancer.Answer(ready[0], 50*ms)
			balancer.Answer(ready[1], 50*ms)
			fill(balancer.LeastLatency(), ready, 1000)
			assert.EqualValues(t, 1, ready[2].InFlight(), "%v", away)
		}
	})
}
