package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// pace is how fast what is known of latencies changes: by how many requests there are
// to learn from.
type pace struct {
	count  atomic.Int64 // requests since begun
	begun  atomic.Int64
	rate   atomic.Uint64 // requests a second, as float64 bits
	mean   atomic.Uint64 // 1 / the time constant of a mean, in 1/ns, as float64 bits
	fadeBy atomic.Uint64 // 1 / the time constant of fading

	fadeLevel atomic.Int64 // the same for scans: how much a level falls in an ageUnit
}

const paceWindow = time.Second

func (p *pace) init(now int64) {
	p.begun.Store(now)
	p.set(0, 1000, 1)
}

// set computes the constants for a rate of requests to n endpoints, as it is and as it is
// taken to be.
func (p *pace) set(is, rate float64, n int) {
	p.rate.Store(math.Float64bits(is))
	mean := clamp(2*float64(n)/rate, 1, 30)
	fading := clamp(100/rate, 5, 60)
	p.mean.Store(math.Float64bits(1 / (mean * float64(time.Second))))
	p.fadeBy.Store(math.Float64bits(1 / (fading * float64(time.Second))))
	p.fadeLevel.Store(int64(math.Log2E * levelUnit * (1 << ageUnit) / (fading * float64(time.Second))))
}

// request counts one to n endpoints.
func (p *pace) request(now int64, n int) {
	p.count.Add(1)
	begun := p.begun.Load()
	took := now - begun
	if took < int64(paceWindow) || !p.begun.CompareAndSwap(begun, now) {
		return
	}
	rate := float64(p.count.Swap(0)) * float64(time.Second) / float64(took)
	if had := math.Float64frombits(p.rate.Load()); had > 0 {
		rate = (had + rate) / 2
	}
	p.set(rate, rate, n)
}

// rateAt is the requests a second, of late.
func (p *pace) rateAt(now int64) float64 {
	if took := now - p.begun.Load(); took > 2*int64(paceWindow) {
		return float64(p.count.Load()) * float64(time.Second) / float64(took)
	}
	return math.Float64frombits(p.rate.Load())
}

// share is how much of a mean is new after a time.
func (p *pace) share(since int64) float64 {
	return 1 - math.Exp(-float64(max(0, since))*math.Float64frombits(p.mean.Load()))
}

func (p *pace) fading() float64 { return math.Float64frombits(p.fadeBy.Load()) }

func clamp(x, low, high float64) float64 { return max(low, min(x, high)) }
