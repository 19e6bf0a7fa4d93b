package balancer

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"net/http"
)

// PowerOfTwo returns a balancer that draws two different endpoints at random and
// takes the one with fewer requests in flight, by weight. It steers around a slow endpoint
// without the herd that runs to the least loaded one of all.
func PowerOfTwo() Balancer { return powerOfTwo{} }

type powerOfTwo struct{}

func (powerOfTwo) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	if len(ready) == 1 {
		return ready[0]
	}
	a, b := drawTwo(ready)
	// With the one in question, so that weights count even where nothing is in flight.
	if float64(b.inFlight.Load()+1)*a.weightNow() < float64(a.inFlight.Load()+1)*b.weightNow() {
		return b
	}
	return a // in a tie too: which of the two is a was random
}

// drawTwo returns two different endpoints, of two or more.
func drawTwo(ready []*Endpoint) (a, b *Endpoint) {
	n, random := uint64(len(ready)), rand.Uint64()
	// What the first product leaves over is as random as what it was made from.
	i, rest := bits.Mul64(random, n)
	j, _ := bits.Mul64(rest, n-1)
	if j >= i {
		j++ // drawing with replacement would make one pick in n a random one
	}
	return ready[i], ready[j]
}

// weightNow is Weight, and asks for the time only of an endpoint in slow start: that would
// be half of the cost of such a pick.
func (e *Endpoint) weightNow() float64 {
	if e.warmFrom.Load() == 0 {
		return math.Float64frombits(e.weight.Load())
	}
	return e.Weight()
}
