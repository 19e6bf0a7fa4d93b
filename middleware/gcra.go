package middleware

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxKeys   = 1 << 20
	gcraShard = 64
)

// gcra is a [Limiter] by the generic cell rate algorithm: of each key it keeps one
// number, the time at which its allowance will be full again. Taking n moves that n
// intervals ahead; ahead of now by more than the burst's worth it may not be.
type gcra struct {
	interval time.Duration // one more is allowed after each
	window   time.Duration // interval × burst
	epoch    time.Time
	seed     maphash.Seed
	shards   [gcraShard]shard
}

// shard is a part of the keys under a lock of its own. Keys are kept as seeded
// hashes: a long key costs no more than a short one, and nobody outside can make
// two collide.
type shard struct {
	mu   sync.Mutex
	full *simplelru.LRU[uint64, time.Duration] // since epoch
}

func newGCRA(interval time.Duration, burst, keys int) *gcra {
	g := &gcra{
		interval: interval,
		window:   interval * time.Duration(burst),
		epoch:    time.Now(),
		seed:     maphash.MakeSeed(),
	}
	for i := range g.shards {
		lru, err := simplelru.NewLRU[uint64, time.Duration](max(1, keys/gcraShard), nil)
		if err != nil {
			panic(err) // only a size of zero is refused
		}
		g.shards[i].full = lru
	}
	return g
}

// Take implements [Limiter]. It never fails.
func (g *gcra) Take(_ context.Context, key string, n int) (Decision, error) {
	hash := maphash.String(g.seed, key)
	s := &g.shards[hash%gcraShard]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(g.epoch)
	full, _ := s.full.Get(hash)
	full = max(full, now)
	next := full + time.Duration(n)*g.interval
	if over := next - now - g.window; over > 0 {
		d := Decision{Remaining: g.remaining(full - now), RetryAfter: over}
		if time.Duration(n)*g.interval > g.window {
			d.RetryAfter = 0 // more than there ever is
		}
		return d, nil
	}
	s.full.Add(hash, next)
	return Decision{Allowed: true, Remaining: g.remaining(next - now)}, nil
}

func (g *gcra) remaining(used time.Duration) int { return int((g.window - used) / g.interval) }
