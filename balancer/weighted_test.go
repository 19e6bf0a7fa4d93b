package balancer_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// order writes what is picked n times as letters: the first endpoint is a.
func order(b balancer.Balancer, ready []*balancer.Endpoint, n int) string {
	var s strings.Builder
	for range n {
		s.WriteByte(byte('a' + slices.Index(ready, b.Pick(nil, ready))))
	}
	return s.String()
}

func TestWeightedRoundRobinSpreadsTheHeavyOneOut(t *testing.T) {
	for range 200 { // wherever it starts
		ready := weighted(t, 5, 1, 1)
		got := order(balancer.WeightedRoundRobin(), ready, 77)[7:] // the first round is as it starts
		for i := 0; i < len(got); i += 7 {
			require.Equal(t, 5, strings.Count(got[i:i+7], "a"), got)
			require.Equal(t, 1, strings.Count(got[i:i+7], "b"), got)
		}
		assert.NotContains(t, got, "aaaa")
		assert.NotRegexp(t, "bb|bc|cb|cc", got)
	}
}

func TestWeightedRoundRobinOfEqualWeightsTakesEachInTurn(t *testing.T) {
	got := order(balancer.WeightedRoundRobin(), endpoints(t, 5), 50)
	assert.Equal(t, strings.Repeat(got[:5], 10), got)
	for _, letter := range "abcde" {
		assert.Contains(t, got[:5], string(letter))
	}
}

func TestWeightedRoundRobinStartsAnywhere(t *testing.T) {
	starts := map[string]int{}
	for range 700 {
		starts[order(balancer.WeightedRoundRobin(), weighted(t, 5, 1, 1), 1)]++
	}
	for _, letter := range "abc" {
		assert.Greater(t, starts[string(letter)], 70)
	}
}

// No endpoint is ever ahead of its share by much more than one request, or behind.
func TestWeightedRoundRobinKeepsToTheSharesAtAllTimes(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {2, 1}, {5, 1, 1}, {7, 3, 2, 1}, {100, 1}, {3, 3, 3, 1, 1, 1}, {1000, 999, 1}, {65536, 65536, 1}} {
		ready, b, picks, sum := weighted(t, weights...), balancer.WeightedRoundRobin(), map[*balancer.Endpoint]int{}, 0
		for _, w := range weights {
			sum += w
		}
		for k := 1; k <= 3000; k++ {
			picks[b.Pick(nil, ready)]++
			for i, e := range ready {
				share := float64(k) * float64(weights[i]) / float64(sum)
				require.Less(t, math.Abs(float64(picks[e])-share), 2.0, "%v after %d picks: weight %d", weights, k, weights[i])
			}
		}
	}
}

func TestWeightedRoundRobinDoesNotMakeUpForAnAbsence(t *testing.T) {
	ready, b := weighted(t, 2, 1, 1), balancer.WeightedRoundRobin()
	order(b, ready, 100)
	order(b, ready[:2], 10000)
	got := order(b, ready, 40)
	assert.NotContains(t, got, "ccc")
	assert.InDelta(t, 10, strings.Count(got, "c"), 2)
}

func TestWeightedRoundRobinTakesTheEndpointsInAnyOrder(t *testing.T) {
	ready, b := weighted(t, 4, 3, 2, 1), balancer.WeightedRoundRobin()
	slices.Reverse(ready)
	got := order(b, ready, 1000)
	for i, letter := range "dcba" {
		assert.InDelta(t, 100*(4-i), strings.Count(got, string(letter)), 2)
	}
}

func TestWeightedRoundRobinGoesOnWhenTargetsChange(t *testing.T) {
	targets := func(weights ...int) (all balancer.Static) {
		for i, w := range weights {
			all = append(all, balancer.Target{URL: fmt.Sprintf("http://host-%d", i), Weight: w})
		}
		return all
	}
	p, b := newPool(t, balancer.Config{Resolver: targets(3, 1), SlowStart: -1}), balancer.WeightedRoundRobin()
	picks := map[*balancer.Endpoint]int{}
	for range 1000 { // each time it is resolved again, with no change
		require.NoError(t, balancer.Retarget(p, targets(3, 1)))
		picks[b.Pick(nil, p.Endpoints())]++
	}
	assert.InDelta(t, 750, picks[p.Endpoints()[0]], 2)

	left := p.Endpoints()
	require.NoError(t, balancer.Retarget(p, targets(1, 1, 2)))
	assert.Contains(t, left, b.Pick(nil, left), "offered before the change")
	now := p.Endpoints()
	assert.InDelta(t, 200, strings.Count(order(b, now, 400), "c"), 2)
	require.NoError(t, balancer.Retarget(p, balancer.Static{{URL: "http://other"}, {URL: "http://another"}}))
	assert.Contains(t, now, b.Pick(nil, now), "all have left")
}

func TestWeightedRoundRobinRespectsSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, b := weighted(t, 1, 1), balancer.WeightedRoundRobin()
		balancer.WarmUp(ready[1])
		share := func() float64 { return float64(strings.Count(order(b, ready, 1100), "b")) / 1100 }
		assert.InDelta(t, 0.1/1.1, share(), 0.01)
		time.Sleep(5 * time.Second)
		assert.InDelta(t, 0.5/1.5, share(), 0.01)
		time.Sleep(5 * time.Second)
		assert.InDelta(t, 0.5, share(), 0.01)
	})
}

// Few requests: the endpoint's only one in slow start was paid for at a tenth of its weight,
// which must not count for ever.
func TestWeightedRoundRobinForgetsThatAnEndpointWasLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, b := weighted(t, 1, 1), balancer.WeightedRoundRobin()
		balancer.WarmUp(ready[1])
		for got := ""; got != "b"; got = order(b, ready, 1) {
		}
		time.Sleep(time.Minute)
		assert.GreaterOrEqual(t, strings.Count(order(b, ready, 6), "b"), 2)
	})
}

func TestWeightedRoundRobinSharesAmongConcurrentRequests(t *testing.T) {
	ready, b := weighted(t, 5, 2, 1), balancer.WeightedRoundRobin()
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() { fill(b, ready, 1000) })
	}
	clients.Wait()
	for i, want := range []int{5000, 2000, 1000} {
		assert.InDelta(t, want, ready[i].InFlight(), 20)
	}
}
