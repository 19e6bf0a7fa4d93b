package balancer

import (
	"math"
	"math/rand/v2"
	"net/http"
)

// LeastLatency returns the balancer that a [Pool] has by default. It looks at every
// endpoint and takes the one where a request is likely to be answered first: the least
// latency, times the requests in flight and this one, by weight. A failure counts as a
// second at least, so that an endpoint does not win by failing fast. One that nothing is
// known of gets one request, and more when that is answered. Of more than 64 endpoints it
// looks at 16, drawn at random.
func LeastLatency() Balancer { return leastLatency{} }

type leastLatency struct{}

const (
	scanned = 64 // this many endpoints are all looked at
	sampled = 16 // of more
)

func (leastLatency) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	n := len(ready)
	if n == 1 {
		return ready[0]
	}
	now := ready[0].pool.clock.now()
	var best *Endpoint
	least := math.Inf(1)
	if n > scanned {
		for range sampled {
			if e := ready[rand.IntN(n)]; e.cost(now) < least {
				best, least = e, e.cost(now)
			}
		}
		return best
	}
	// From a random place on: of equals each is then the first at times.
	start := rand.IntN(n)
	for i := range n {
		if i += start; i >= n {
			i -= n
		}
		if cost := ready[i].cost(now); cost < least {
			best, least = ready[i], cost
		}
	}
	return best
}

// unknown is the cost in nanoseconds of an endpoint that nothing is known of but that a
// request is under way: more than any real one, and still to be compared.
const unknown = 1e15

// cost is how long a request is likely to take at e, in nanoseconds of an endpoint of
// weight 1.
func (e *Endpoint) cost(now int64) float64 {
	inFlight := float64(e.inFlight.Load())
	latency := e.latencyAt(now)
	if latency == 0 {
		if e.latency.Load() == 0 && inFlight > 0 {
			return unknown * (inFlight + 1) / e.weightAt(now)
		}
		return inFlight // faded to nothing, or never asked
	}
	return latency * (inFlight + 1) / e.weightAt(now)
}
