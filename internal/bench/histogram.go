package main

import (
	"math/bits"
	"time"
)

const (
	subBits = 5 // 32 buckets for each doubling: 3 % wide
	octaves = 40
)

// histogram counts durations of up to some hours, in buckets that are the wider the
// longer the duration is. The zero value is empty.
type histogram [octaves << subBits]uint32

func (h *histogram) add(d time.Duration) { h[min(bucket(uint64(max(d, 0))), len(h)-1)]++ }

// bucket is the magnitude of n, and behind it the five bits after n's leading one.
func bucket(n uint64) int {
	shift := max(bits.Len64(n)-subBits-1, 0)
	return shift<<subBits + int(n>>shift)
}

// middle returns the duration in the middle of a bucket.
func middle(bucket int) time.Duration {
	shift := max(bucket>>subBits-1, 0)
	low := (bucket - shift<<subBits) << shift
	return time.Duration(low + (1<<shift)/2)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

func (h *histogram) count() (total int) {
	for _, n := range h {
		total += int(n)
	}
	return total
}

// quantile returns the duration that a share q of all do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := q * float64(h.count())
	for i, n := range h {
		if left -= float64(n); n > 0 && left <= 0 {
			return middle(i)
		}
	}
	return 0
}
