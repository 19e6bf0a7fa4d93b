package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
)

func TestRandomDrawsByWeight(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1}, {5, 1, 1}, {1, 1, 5}, {1, 2, 3, 4}} {
		ready, sum := weighted(t, weights...), 0
		for _, w := range weights {
			sum += w
		}
		picks := tally(balancer.Random(), ready, 20000)
		for i, e := range ready {
			assert.InDelta(t, 20000*weights[i]/sum, picks[e], 400, "%d of %v", i, weights)
		}
	}
}

func TestRandomRespectsSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := endpoints(t, 2)
		balancer.WarmUp(ready[0])
		time.Sleep(2500 * ms)
		assert.InDelta(t, 2000, tally(balancer.Random(), ready, 10000)[ready[0]], 250)
	})
}
