package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
)

func TestLeastRequestBreaksTiesAtRandom(t *testing.T) {
	for n := 1; n <= 5; n++ {
		ready := endpoints(t, n)
		picks := tally(balancer.LeastRequest(), ready, 1000*n)
		for _, e := range ready {
			assert.InDelta(t, 1000, picks[e], 200, "%v of %d", e, n)
		}
	}
}

func TestLeastRequestLoadsByWeight(t *testing.T) {
	ready := weighted(t, 6, 3, 1)
	fill(balancer.LeastRequest(), ready, 1000)
	for i, want := range []int{600, 300, 100} {
		assert.InDelta(t, want, ready[i].InFlight(), 2)
	}
}

func TestLeastRequestRespectsSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		balancer.WarmUp(ready[0])
		time.Sleep(5 * time.Second)
		fill(balancer.LeastRequest(), ready, 300)
		assert.InDelta(t, 100, ready[0].InFlight(), 2)
	})
}

func TestLeastRequestDoesNotMindLatency(t *testing.T) {
	ready := endpoints(t, 2)
	balancer.Answer(ready[0], time.Hour)
	assert.InDelta(t, 500, tally(balancer.LeastRequest(), ready, 1000)[ready[0]], 100)
}

func TestLeastRequestLooksAtSixteenOfMany(t *testing.T) {
	ready := endpoints(t, 200)
	for _, e := range ready {
		balancer.Hold(e, 2)
	}
	balancer.Hold(ready[7], -1)
	balancer.Hold(ready[8], 1)
	picks := tally(balancer.LeastRequest(), ready, 10000)
	assert.InDelta(t, 770, picks[ready[7]], 150, "1 - (199/200)^16")
	assert.Zero(t, picks[ready[8]])
}
