package balancer

import (
	"math"
	"math/rand/v2"
	"net/http"
)

// LeastRequest returns a balancer that takes the endpoint with the fewest requests in
// flight, by weight, and of equals any. It is for requests whose latency says nothing of
// the endpoint's load, such as long polls. Of more than 64 endpoints it looks at 16, drawn
// at random.
func LeastRequest() Balancer { return leastRequest{} }

type leastRequest struct{}

func (leastRequest) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	n := len(ready)
	if n == 1 {
		return ready[0]
	}
	now := ready[0].pool.clock.now()
	var best *Endpoint
	least := math.Inf(1)
	if n > scanned {
		for range sampled {
			e := ready[rand.IntN(n)]
			if load := e.load(now); load < least {
				best, least = e, load
			}
		}
		return best
	}
	start := rand.IntN(n) // of equals, the first is then any
	for i := range n {
		if i += start; i >= n {
			i -= n
		}
		if load := ready[i].load(now); load < least {
			best, least = ready[i], load
		}
	}
	return best
}

// load is how many requests e would have in flight with one more, by weight.
func (e *Endpoint) load(now int64) float64 {
	return float64(e.inFlight.Load()+1) / e.weightAt(now)
}
