package balancer_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
)

func TestRoundRobinSharesEvenly(t *testing.T) {
	for n := 1; n <= 9; n++ {
		ready := endpoints(t, n)
		b, picks := balancer.RoundRobin(), map[*balancer.Endpoint]int{}
		for range 100 * n {
			picks[b.Pick(nil, ready)]++
		}
		for _, e := range ready {
			assert.Equal(t, 100, picks[e], "%v of %d", e, n)
		}
	}
}

func TestRoundRobinStartsAnywhere(t *testing.T) {
	ready := endpoints(t, 2)
	first := map[*balancer.Endpoint]bool{}
	for range 100 {
		first[balancer.RoundRobin().Pick(nil, ready)] = true
	}
	assert.Len(t, first, 2)
}
