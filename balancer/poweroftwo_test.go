package balancer_test

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// With a loaded endpoint among n, two distinct draws never come down to it; draws
// with replacement would in one of n*n picks.
func TestPowerOfTwoDrawsDistinctEndpoints(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets:  []string{"http://a", "http://b", "http://c"},
		Balancer: balancer.BalancerFunc(func(_ *http.Request, ready []*balancer.Endpoint) *balancer.Endpoint { return ready[0] }),
		Base:     tripper(func(*http.Request) (*http.Response, error) { return respond(200, "held"), nil }),
	})
	res, err := p.RoundTrip(request(t, "GET", "/", nil))
	require.NoError(t, err)
	defer res.Body.Close()
	ready := p.Endpoints()
	require.EqualValues(t, 1, ready[0].InFlight())

	picks := map[*balancer.Endpoint]int{}
	for range 10000 {
		picks[balancer.PowerOfTwo().Pick(nil, ready)]++
	}
	assert.Zero(t, picks[ready[0]])
	assert.InDelta(t, 5000, picks[ready[1]], 500)
}

func TestPowerOfTwoBreaksTiesAtRandom(t *testing.T) {
	for n := 1; n <= 5; n++ {
		ready, picks := endpoints(t, n), map[*balancer.Endpoint]int{}
		for range 1000 * n {
			picks[balancer.PowerOfTwo().Pick(nil, ready)]++
		}
		for _, e := range ready {
			assert.InDelta(t, 1000, picks[e], 200, "%v of %d", e, n)
		}
	}
}

func TestPowerOfTwoDrawsAllPairsAlike(t *testing.T) {
	for _, n := range []int{3, 5, 64} {
		ready := endpoints(t, n)
		for i, e := range ready { // so that the pick tells the one of the two that is less loaded
			balancer.Hold(e, int64(i))
		}
		picks := tally(balancer.PowerOfTwo(), ready, 20000)
		for i, e := range ready { // i wins against the n-1-i behind it, of n(n-1)/2 pairs
			want := 20000 * float64(n-1-i) * 2 / float64(n*(n-1))
			assert.InDelta(t, want, picks[e], 5*math.Sqrt(want)+1, "%d of %d", i, n)
		}
	}
}

func TestPowerOfTwoLoadsByWeight(t *testing.T) {
	ready := weighted(t, 6, 3, 1)
	fill(balancer.PowerOfTwo(), ready, 1000)
	for i, want := range []int{600, 300, 100} {
		assert.InDelta(t, want, ready[i].InFlight(), 30, "%d", i)
	}
}

func TestPowerOfTwoRespectsSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		balancer.WarmUp(ready[0])
		time.Sleep(5 * time.Second)
		fill(balancer.PowerOfTwo(), ready, 300)
		assert.InDelta(t, 100, ready[0].InFlight(), 2)
	})
}
