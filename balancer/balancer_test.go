package balancer_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func endpoints(t testing.TB, n int) []*balancer.Endpoint {
	t.Helper()
	var targets []string
	for i := range n {
		targets = append(targets, fmt.Sprintf("http://host-%d", i))
	}
	p, err := balancer.New(balancer.Config{Targets: targets})
	require.NoError(t, err)
	return p.Endpoints()
}

func TestPickingDoesNotAllocate(t *testing.T) {
	ready := endpoints(t, 8)
	r := request(t, "GET", "/", nil)
	for name, b := range map[string]balancer.Balancer{"RoundRobin": balancer.RoundRobin(), "PowerOfTwo": balancer.PowerOfTwo()} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { b.Pick(r, ready) }), name)
	}
}

func TestABalancerThatPicksNoneOrAStrangerMakesThePoolUnavailable(t *testing.T) {
	stranger := endpoints(t, 1)[0]
	for _, picked := range []*balancer.Endpoint{nil, stranger} {
		p := newPool(t, balancer.Config{
			Targets:  []string{"http://a"},
			Balancer: balancer.BalancerFunc(func(*http.Request, []*balancer.Endpoint) *balancer.Endpoint { return picked }),
			Base:     tripper(func(*http.Request) (*http.Response, error) { panic("nothing may be sent") }),
		})
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
		assert.ErrorContains(t, problem, "picked none")
	}
}
