package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// One slow answer among many: the mean hardly shows it, the peak does.
func TestPeakEWMAIsWaryAfterOneSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		answer := func() {
			for _, e := range ready {
				balancer.Answer(e, 10*ms)
			}
			time.Sleep(ms)
		}
		for range 1000 {
			answer()
		}
		balancer.Answer(ready[0], 500*ms)
		require.Less(t, ready[0].Latency(), 30*ms)
		for range 1000 { // a second
			answer()
		}
		balancer.Hold(ready[1], 10)
		assert.Equal(t, 1000, tally(balancer.PeakEWMA(), ready, 1000)[ready[1]])

		for range 60 { // a minute, which is six time constants
			time.Sleep(time.Second)
			answer()
		}
		assert.Zero(t, tally(balancer.PeakEWMA(), ready, 1000)[ready[1]])
	})
}

func TestPeakEWMATriesASlowEndpointAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		balancer.Answer(ready[0], 100*ms)
		balancer.Answer(ready[1], 10*ms)
		for range 20 { // two time constants
			assert.Same(t, ready[1], balancer.PeakEWMA().Pick(nil, ready))
			time.Sleep(time.Second)
			balancer.Answer(ready[1], 10*ms)
		}
		time.Sleep(10 * time.Second)
		balancer.Answer(ready[1], 10*ms)
		assert.Same(t, ready[0], balancer.PeakEWMA().Pick(nil, ready))
	})
}

func TestPeakEWMATakesALowerSampleInSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		balancer.Answer(ready[0], 100*ms)
		time.Sleep(10 * time.Second)
		balancer.Answer(ready[0], 10*ms) // 100/e + 10*(1-1/e) = 43
		balancer.Answer(ready[1], 39*ms)
		assert.Same(t, ready[1], balancer.PeakEWMA().Pick(nil, ready))
		balancer.Answer(ready[1], 47*ms)
		assert.Same(t, ready[0], balancer.PeakEWMA().Pick(nil, ready))
	})
}

func TestPeakEWMATriesAnUnknownEndpointWithOneRequest(t *testing.T) {
	ready, b := endpoints(t, 2), balancer.PeakEWMA()
	balancer.Answer(ready[0], time.Hour)
	require.Same(t, ready[1], b.Pick(nil, ready))
	balancer.Hold(ready[1], 1)
	fill(b, ready, 100)
	assert.EqualValues(t, 1, ready[1].InFlight())
}

// What was known of it has faded to nothing, and must not count as a latency of nothing.
func TestPeakEWMATriesAnEndpointThatWasAwayWithOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, away := range []time.Duration{time.Minute, time.Hour, 100 * time.Hour} {
			ready := endpoints(t, 2)
			balancer.Answer(ready[1], 50*ms)
			time.Sleep(away)
			balancer.Answer(ready[0], 50*ms)
			fill(balancer.PeakEWMA(), ready, 1000)
			assert.EqualValues(t, 1, ready[1].InFlight(), "%v", away)
		}
	})
}

func TestPeakEWMALoadsByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := weighted(t, 3, 1)
		balancer.Answer(ready[0], 10*ms)
		balancer.Answer(ready[1], 10*ms)
		fill(balancer.PeakEWMA(), ready, 400)
		assert.InDelta(t, 300, ready[0].InFlight(), 2)
	})
}

func TestPeakEWMACountsAFailureAsASecond(t *testing.T) {
	ready := endpoints(t, 2)
	balancer.Answer(ready[0], 100*ms)
	balancer.Fail(ready[1], ms)
	balancer.Hold(ready[0], 5)
	assert.Equal(t, 100, tally(balancer.PeakEWMA(), ready, 100)[ready[0]])
}

func TestPeakEWMADrawsDistinctEndpoints(t *testing.T) {
	ready := endpoints(t, 3)
	for _, e := range ready {
		balancer.Answer(e, time.Hour)
	}
	balancer.Hold(ready[0], 1)
	picks := tally(balancer.PeakEWMA(), ready, 10000)
	assert.Zero(t, picks[ready[0]])
	assert.Greater(t, picks[ready[1]], 3000)
	assert.Greater(t, picks[ready[2]], 3000)
}
