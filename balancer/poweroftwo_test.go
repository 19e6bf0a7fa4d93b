package balancer_test

import (
	"net/http"
	"testing"

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
