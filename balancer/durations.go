package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// durations is how long the responses' headers of a pool took to come, of late: a
// histogram of which each bucket is a tenth wider than the one before. Its zero value
// works. It is written by every request of a pool that hedges or tells deadlines.
type durations struct {
	begun   atomic.Int64
	current atomic.Uint32 // which of the two is being filled; the other is of the time before
	sets    [2][buckets]atomic.Uint32
}

const (
	buckets       = 192 // up to half an hour
	firstBucket   = float64(20 * time.Microsecond)
	growth        = 1.1
	durationsTurn = int64(10 * time.Second)
	leastSamples  = 100
)

var logGrowth = math.Log(growth)

func bucketOf(d time.Duration) int {
	return int(clamp(math.Log(float64(max(1, d))/firstBucket)/logGrowth, 0, buckets-1))
}

func (h *durations) add(d time.Duration, now int64) {
	if begun := h.begun.Load(); now-begun > durationsTurn && h.begun.CompareAndSwap(begun, now) {
		next := 1 - h.current.Load()
		for i := range h.sets[next] {
			h.sets[next][i].Store(0)
		}
		if now-begun > 2*durationsTurn { // what the other holds is old as well
			for i := range h.sets[1-next] {
				h.sets[1-next][i].Store(0)
			}
		}
		h.current.Store(next)
	}
	h.sets[h.current.Load()][bucketOf(d)].Add(1)
}

// quantile returns the duration that a share q of them do not exceed by more than a
// tenth; 0 if too few are known.
func (h *durations) quantile(q float64, now int64) time.Duration {
	if now-h.begun.Load() > 2*durationsTurn {
		return 0
	}
	var sums [buckets]uint32
	total := uint32(0)
	for i := range sums {
		sums[i] = h.sets[0][i].Load() + h.sets[1][i].Load()
		total += sums[i]
	}
	if total < leastSamples {
		return 0
	}
	rank := uint32(math.Ceil(q * float64(total)))
	for i, n := range sums {
		if n >= rank {
			return time.Duration(firstBucket * math.Pow(growth, float64(i)+float64(rank)/float64(n)))
		}
		rank -= n
	}
	return 0
}
