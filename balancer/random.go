package balancer

import (
	"math/rand/v2"
	"net/http"
)

// Random returns a balancer that draws an endpoint, each as often as its weight says. It
// knows nothing of load; it is there to compare with, and for gateways so many that
// none of them sees enough of the load to do better.
func Random() Balancer { return random{} }

type random struct{}

func (random) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	if len(ready) == 1 {
		return ready[0]
	}
	now := ready[0].pool.clock.now()
	sum := 0.0
	for _, e := range ready {
		sum += e.weightAt(now)
	}
	for at, i := rand.Float64()*sum, 0; i < len(ready)-1; i++ {
		if at -= ready[i].weightAt(now); at < 0 {
			return ready[i]
		}
	}
	return ready[len(ready)-1] // also if weights have changed meanwhile
}
