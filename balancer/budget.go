package balancer

import (
	"sync/atomic"
	"time"
)

// The retry budget, in fifths of a retry: each request pays in one, each retry costs
// five, so that retries add a fifth to the load. Retries without a budget keep an
// upstream down that has long recovered. What may be saved is small, or an outage
// would begin with a burst.
const (
	retryCost  = 5
	maxSaved   = 50 * retryCost
	firstSaved = 10 * retryCost
	floorEvery = time.Second // a retry in this time is free: a fifth of little traffic is nothing
)

type budget struct {
	saved atomic.Int64
	start time.Time
	floor atomic.Int64 // when the free retry was last taken, in nanoseconds since start
}

func newBudget() *budget {
	b := &budget{start: time.Now()}
	b.saved.Store(firstSaved)
	return b
}

func (b *budget) deposit() {
	for {
		n := b.saved.Load()
		if n >= maxSaved || b.saved.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// withdraw reports whether a retry may be made now, and pays for it.
func (b *budget) withdraw() bool {
	for {
		n := b.saved.Load()
		if n < retryCost {
			break
		}
		if b.saved.CompareAndSwap(n, n-retryCost) {
			return true
		}
	}
	now, last := int64(time.Since(b.start)), b.floor.Load()
	return now-last >= int64(floorEvery) && b.floor.CompareAndSwap(last, now)
}
