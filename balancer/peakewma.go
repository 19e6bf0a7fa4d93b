package balancer

import (
	"math"
	"net/http"
	"time"
)

// PeakEWMA returns a balancer that draws two different endpoints at random and takes the
// one with the lesser cost: the latency, times the requests in flight and this one, by
// weight. The latency is not a plain mean: it jumps to every sample above it and comes
// down over 10 seconds, so that one slow answer is enough to be wary. A failure
// counts as a second at least. It is for pools so large that [LeastLatency] would
// only look at some of them anyway; in smaller ones that is calmer and does better.
func PeakEWMA() Balancer { return peakEWMA{} }

type peakEWMA struct{}

func (peakEWMA) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	if len(ready) == 1 {
		return ready[0]
	}
	a, b := drawTwo(ready)
	now := a.pool.clock.now()
	if b.peakCost(now) < a.peakCost(now) {
		return b
	}
	return a
}

// peakDecay is the time constant with which a peak is forgotten: Finagle's and Linkerd's.
const peakDecay = float64(10 * time.Second)

// peakMemory is after how many of these nothing is known any more. Faded further, the peak
// of an endpoint that was away would draw all requests until the first was answered.
const peakMemory = 5

// peakCost is cost, by the peak.
func (e *Endpoint) peakCost(now int64) float64 {
	requests := float64(e.inFlight.Load()) + 1
	age := float64(now-e.stamp.Load()) / peakDecay
	if e.latency.Load() == 0 || age > peakMemory {
		if requests == 1 {
			return 0
		}
		return unknown * requests / e.weightAt(now)
	}
	return math.Float64frombits(e.peak.Load()) * fade(age) * requests / e.weightAt(now)
}

// climb takes a sample of the latency, in nanoseconds, into the peak; since is how long
// ago the last one was.
func (e *Endpoint) climb(sample float64, since int64, first bool) {
	share := 1 - math.Exp(-float64(max(0, since))/peakDecay)
	for {
		bits, peak := e.peak.Load(), sample
		if had := math.Float64frombits(bits); had > sample && !first {
			peak = had + share*(sample-had)
		}
		if e.peak.CompareAndSwap(bits, math.Float64bits(peak)) {
			return
		}
	}
}
