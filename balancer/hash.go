package balancer

import (
	"cmp"
	"math"
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// ConsistentHash returns a balancer that sends requests of the same key to the same
// endpoint, so that what it has cached for one is used for the next: by a header field, a
// cookie, a part of the path. Every gateway with the same targets chooses the same one.
// When an endpoint goes, only its keys move, and each to any of the others. For requests
// whose key is empty, it is [LeastRequest].
//
// An endpoint that has 1.25 times as many requests in flight as its weight among the
// others entitles it to is passed over, so that one key which everybody wants does not
// bring it down. Whoever chooses the key can still aim at an endpoint, up to that bound.
//
// Up to 64 endpoints are chosen from by rendezvous hashing, where slow start moves keys
// to the endpoint bit by bit; more, by a Maglev table, with which a change of the targets
// moves about twice as many keys as it must. The table takes 130 KB, and the request that
// finds the targets changed some milliseconds to make it, while others use the old one.
//
// The balancer belongs to one pool. ConsistentHash panics if key is nil; key is called
// concurrently.
func ConsistentHash(key func(*http.Request) string) Balancer {
	if key == nil {
		panic("balancer: ConsistentHash has no key")
	}
	return &consistentHash{key: key}
}

type consistentHash struct {
	key    func(*http.Request) string
	table  atomic.Pointer[maglev]
	making atomic.Bool // somebody makes the next table
}

func (c *consistentHash) Pick(r *http.Request, ready []*Endpoint) *Endpoint {
	if len(ready) == 1 {
		return ready[0]
	}
	key := c.key(r)
	if key == "" {
		return leastRequest{}.Pick(r, ready)
	}
	// Not hash/maphash, which differs from one process to the next.
	hash := xxhash.Sum64String(key)
	if t := c.current(ready[0].pool.set.Load()); t != nil {
		return t.pick(hash, ready)
	}
	return rendezvous(hash, ready)
}

// current returns the table for s, or the one before while that is being made; nil if there
// is none.
func (c *consistentHash) current(s *set) *maglev {
	if len(s.endpoints) <= scanned || len(s.endpoints) > maxMaglev {
		return nil
	}
	t := c.table.Load()
	if t != nil && t.set == s || !c.making.CompareAndSwap(false, true) {
		return t
	}
	defer c.making.Store(false)
	t = t.renew(s)
	c.table.Store(t)
	return t
}

// rendezvous returns the endpoint that wins the draw for the key, of those that have room.
// The weights are those of Schindelhauer and Schomaker's logarithmic method: of
// exponentially distributed times, with the weights as rates, one is the least as often
// as its weight says.
func rendezvous(key uint64, ready []*Endpoint) *Endpoint {
	l := limitOf(ready)
	var best, first *Endpoint // first is best if it has room
	least, leastOfAll := math.Inf(1), math.Inf(1)
	for _, e := range ready {
		w := e.weightAt(l.now)
		time := 1 - draw(key, e)
		if !l.alike {
			time = -math.Log(1-time) / w
		}
		if time < leastOfAll {
			first, leastOfAll = e, time
		}
		if time < least && l.room(e, w) {
			best, least = e, time
		}
	}
	if best == nil {
		return first // they have filled up since they were counted
	}
	return best
}

// draw is between 0 and 1, both excluded, and for each key and endpoint another one.
func draw(key uint64, e *Endpoint) float64 {
	return (float64(int64(mix(key^e.hash)>>11)) + 0.5) / (1 << 53)
}

// mix is MurmurHash3's finalizer: of two numbers that differ in one bit it makes two that
// have nothing in common.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// limit is how many requests an endpoint may have in flight (Mirrokni, Thorup and
// Zadimoghaddam: Consistent Hashing with Bounded Loads). There is always one with room.
type limit struct {
	now       int64
	perWeight float64
	alike     bool // all weights are the same
}

// excess is by how much the share of an endpoint may be exceeded, as HAProxy and Vimeo do.
const excess = 1.25

func limitOf(ready []*Endpoint) limit {
	now := ready[0].pool.clock.now()
	first := ready[0].weightAt(now)
	alike := true
	sum, total := 0.0, int64(1) // with the request in question
	for _, e := range ready {
		w := e.weightAt(now)
		alike = alike && w == first
		sum += w
		total += e.inFlight.Load()
	}
	return limit{now: now, perWeight: excess * float64(total) / sum, alike: alike}
}

// room reports whether e may have another request. For whole numbers, to be less than x is
// to be less than x rounded up.
func (l limit) room(e *Endpoint, weight float64) bool {
	return float64(e.inFlight.Load()) < l.perWeight*weight
}

// maglev is a table from hashes to endpoints (Eisenbud et al., NSDI 2016). It is of all
// endpoints of a set: those that are not ready are passed over, so that the table does not
// depend on what a gateway thinks of their health.
type maglev struct {
	set   *set
	sum   uint64 // of the endpoints and their weights, in any order
	of    []*Endpoint
	slots []uint16
}

const (
	maglevSlots = 65537 // a prime
	maxMaglev   = 1 << 16
)

// renew returns the table for s. It is t's if nothing has changed that matters.
func (t *maglev) renew(s *set) *maglev {
	next := &maglev{set: s}
	for _, e := range s.endpoints {
		next.sum += mix(e.hash ^ mix(e.weight.Load()))
	}
	if t != nil && t.sum == next.sum && len(t.of) == len(s.endpoints) {
		next.of, next.slots = t.of, t.slots
		return next
	}
	next.of = slices.Clone(s.endpoints)
	// Whatever the order of the targets, all gateways must fill it alike.
	slices.SortFunc(next.of, func(a, b *Endpoint) int { return cmp.Compare(a.id, b.id) })
	next.fill()
	return next
}

// fill gives each slot to an endpoint: in turn they take the next free one of their own
// permutation of the slots, the heavier ones more often.
func (t *maglev) fill() {
	t.slots = make([]uint16, maglevSlots)
	free := slices.Repeat([]bool{true}, maglevSlots)
	weights, heaviest := make([]float64, len(t.of)), 0.0
	at := make([]uint64, len(t.of))
	for i, e := range t.of {
		weights[i] = math.Float64frombits(e.weight.Load())
		heaviest = max(heaviest, weights[i])
		at[i] = e.hash % maglevSlots
	}
	credit := make([]float64, len(t.of))
	for left := maglevSlots; left > 0; {
		for i, e := range t.of {
			if credit[i] += weights[i] / heaviest; credit[i] < 1 {
				continue
			}
			credit[i]--
			step := mix(e.hash)%(maglevSlots-1) + 1
			for !free[at[i]] {
				at[i] = (at[i] + step) % maglevSlots
			}
			free[at[i]] = false
			t.slots[at[i]] = uint16(i)
			if left--; left == 0 {
				return
			}
		}
	}
}

// pick returns the first endpoint from the key's slot on that is ready and has room.
func (t *maglev) pick(key uint64, ready []*Endpoint) *Endpoint {
	slot, _ := bits.Mul64(mix(key), maglevSlots)
	var l limit
	for range len(t.of) {
		e := t.of[t.slots[slot]]
		if slot++; slot == maglevSlots {
			slot = 0
		}
		if !slices.Contains(ready, e) {
			continue
		}
		if e.inFlight.Load() == 0 {
			return e // without counting all the others
		}
		if l.perWeight == 0 {
			l = limitOf(ready)
		}
		if l.room(e, e.weightAt(l.now)) {
			return e
		}
	}
	return rendezvous(key, ready) // nearly all of the table is out of use
}
