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
	now, fading := p.clock.now(), p.pace.fadeLevel.Load()
	if n > scanned {
		var best *Endpoint
		least := int64(math.MaxInt64)
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

// A cost is a product, and costs are only compared. So it is computed as a sum of
// logarithms, to base 2, in millionths: in whole numbers, which is twice as quick, and what
// fades exponentially is a straight line.
const levelUnit = 1 << 20

func levelOf(x float64) int64 { return int64(math.Log2(x) * levelUnit) }

// levels are those of small numbers.
var levels = func() (t [256]int64) {
	for n := 1; n < len(t); n++ {
		t[n] = levelOf(float64(n))
	}
	return t
}()

// unknown is the latency in nanoseconds of an endpoint that nothing is known of but that a
// request is under way: more than any real one, and still to be compared.
const unknown = 1e15

var unknownLevel = levelOf(unknown)

// memory is after how many time constants of fading nothing is known any more. Faded
// further, the latency of an endpoint that was away would draw all requests until the first was
// answered.
const memory = levelUnit * 4328 / 1000 // 3 times log2(e)

// ageUnit is the time, as a power of 2 in nanoseconds, that fading goes by: a millisecond.
const ageUnit = 20

// cheapest returns the endpoint where a request is likely to take the least time, and the
// logarithm of how long. It is one loop, as it is most of what balancing costs a request.
func cheapest(all []*Endpoint, now, fading int64) (best *Endpoint, least int64) {
	least = math.MaxInt64
	for _, e := range all {
		level, faded := e.level.Load(), (now-e.stamp.Load())>>ageUnit*fading
		requests := e.inFlight.Load() + 1
		if level == 0 || faded > memory {
			if requests == 1 {
				return e, math.MinInt64
			}
			level, faded = unknownLevel, 0
		}
		cost := level - faded + e.lightness.Load()
		if uint64(requests) < uint64(len(levels)) {
			cost += levels[requests]
		} else {
			cost += levelOf(float64(requests))
		}
		if from := e.warmFrom.Load(); from != 0 {
			cost -= levelOf(e.warmth(now - from))
		}
		if cost < least {
			best, least = e, cost
		}
	}
	return best, least
}
