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
	p := ready[0].pool
	now, fading := p.clock.now(), p.pace.fading()
	if n > scanned {
		var best *Endpoint
		least := math.Inf(1)
		for range sampled {
			i := rand.IntN(n)
			if e, cost := cheapest(ready[i:i+1], now, fading); cost < least {
				best, least = e, cost
			}
		}
		return best
	}
	// From a random place on: of equals each is then the first at times.
	start := rand.IntN(n)
	best, least := cheapest(ready[start:], now, fading)
	if e, cost := cheapest(ready[:start], now, fading); cost < least {
		return e
	}
	return best
}

// unknown is the cost in nanoseconds of an endpoint that nothing is known of but that a
// request is under way: more than any real one, and still to be compared.
var unknown = math.Float64bits(1e15)

// memory is after how many time constants of fading nothing is known any more. Faded
// further, the latency of an endpoint that was away would draw all requests until the first was
// answered.
const memory = 3

// cheapest returns the endpoint where a request is likely to take the least time, and how
// long: in nanoseconds, at weight 1. It is one loop, as it is most of the cost of a request's
// balancing.
func cheapest(all []*Endpoint, now int64, fading float64) (best *Endpoint, least float64) {
	least = math.Inf(1)
	for _, e := range all {
		bits, age := e.latency.Load(), float64(now-e.stamp.Load())*fading
		requests := float64(e.inFlight.Load() + 1)
		weight := math.Float64frombits(e.weight.Load())
		if from := e.warmFrom.Load(); from != 0 {
			weight *= e.warmth(now - from)
		}
		if bits == 0 || age > memory {
			if requests == 1 {
				return e, 0
			}
			bits, age = unknown, 0
		}
		if cost := math.Float64frombits(bits) * fade(age) * requests / weight; cost < least {
			best, least = e, cost
		}
	}
	return best, least
}
