package balancer

import (
	"math/rand/v2"
	"net/http"
)

// PowerOfTwo returns a balancer that draws two different endpoints at random and
// takes the one with fewer requests in flight. It steers around a slow endpoint
// without the herd that runs to the least loaded one of all.
func PowerOfTwo() Balancer { return powerOfTwo{} }

type powerOfTwo struct{}

func (powerOfTwo) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	n := len(ready)
	if n == 1 {
		return ready[0]
	}
	i, j := rand.IntN(n), rand.IntN(n-1)
	if j >= i {
		j++ // drawing with replacement would make one pick in n a random one
	}
	if ready[j].InFlight() < ready[i].InFlight() {
		return ready[j]
	}
	return ready[i] // in a tie too: which of the two is i was random
}
