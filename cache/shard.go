package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// memoryShard is a part of a memory's keys, under a lock of its own. Its items are in three
// queues, after the policy called W-TinyLFU: what is new comes into the window. What
// leaves that has to be asked for more often than what would have to go for it, and
// comes on trial if it is; and what was used there is proven.
type memoryShard struct {
	mu     sync.RWMutex
	table  itemTable
	sketch sketch
	clock  uint64 // counts what is brought to the front
	gone   recent

	window, trial, proven itemQueue
	balance               balance

	max   int64
	total *atomic.Int64 // of all shards
	bytes atomic.Int64  // of this one, with the table and the sketch
}

const provenOf = 0.8 // of what is not in the window

func (s *memoryShard) init(m *memory) {
	s.max, s.total = m.max, &m.bytes
	s.balance = balance{share: float64(m.share), part: firstWindow}
	s.window.init()
	s.trial.init()
	s.proven.init()
}

// get takes no more than a lock for reading if the key is there and was used of late:
// as long as an eighth of the others were not brought to the front since, it stands
// near enough.
func (s *memoryShard) get(hash uint64, key string, now time.Duration) (val []byte, obj any, ok bool) {
	s.mu.RLock()
	it := s.table.find(hash, key)
	if it == nil || now >= it.expires {
		s.mu.RUnlock()
		s.miss(hash, key, now)
		return nil, nil, false
	}
	val, obj = it.val, it.obj
	if it.hits.Load() < maxCount {
		it.hits.Add(1)
	}
	old := s.clock-it.touched >= uint64(s.table.len/8)
	s.mu.RUnlock()
	if old {
		s.touch(it)
	}
	return val, obj, true
}

// miss counts that key was asked for. What has expired is not kept longer.
func (s *memoryShard) miss(hash uint64, key string, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sketch.add(hash, 1)
	s.balance.missed(hash, s.table.len)
	if it := s.table.find(hash, key); it != nil && now >= it.expires {
		s.remove(it)
	}
}

// touch brings it to the front, unless it was removed or brought there meanwhile.
func (s *memoryShard) touch(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := it.hits.Swap(0); it.in != nil && n > 0 {
		s.sketch.add(it.hash, n)
		s.front(it)
	}
}

// front puts it in front of where it belongs now that it was used.
func (s *memoryShard) front(it *item) {
	s.clock++
	it.touched = s.clock
	if it.in == &s.window {
		s.window.push(it)
		return
	}
	s.proven.push(it)
	for s.proven.len > 1 && float64(s.proven.bytes) > provenOf*float64(s.proven.bytes+s.trial.bytes) {
		s.trial.push(s.proven.back())
	}
}

// set puts what is new into the window. A record, and what replaces another or what was
// there until just now, has nothing to show.
func (s *memoryShard) set(it *item, record bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.gone.take(it.hash)
	if old := s.table.find(it.hash, it.key); old != nil {
		old.replace(it)
		it, known = old, true
	} else {
		s.table.add(it)
		s.window.push(it)
	}
	if record || known {
		s.proven.push(it)
	}
	s.front(it)
	if s.settle(); s.total.Load() <= s.max {
		s.shiftWindow()
	}
}

// replace gives it what other has. The key's string stays.
func (it *item) replace(other *item) {
	if it.in != nil {
		it.in.bytes += other.cost - it.cost
	}
	it.val, it.obj, it.expires, it.cost = other.val, other.obj, other.expires, other.cost
}

func (s *memoryShard) delete(hash uint64, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.table.find(hash, key); it != nil {
		s.gone.add(hash)
		s.remove(it)
	}
}

func (s *memoryShard) remove(it *item) {
	it.unlink()
	s.table.remove(it)
	s.settle()
}

// drop removes the item that is worth least and reports whether it did: it leaves
// so many, and the one that was set last among them.
func (s *memoryShard) drop(leave int, now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table.len <= leave {
		return false
	}
	victim, refused := s.victim(now), false
	if candidate := s.window.back(); s.window.len > 1 && s.window.bytes > s.balance.target() && victim != candidate {
		if s.admits(candidate, victim, now) {
			s.trial.push(candidate)
		} else {
			victim, refused = candidate, true
		}
	}
	s.balance.lost(victim.hash, refused)
	s.remove(victim)
	return true
}

// victim returns what has expired, or else what was not used for longest of the queue that
// is worth least. What was touched last is spared: it has just been set.
func (s *memoryShard) victim(now time.Duration) *item {
	queues := [...]*itemQueue{&s.trial, &s.proven, &s.window}
	for _, q := range queues {
		if it := q.back(); it != nil && now >= it.expires {
			return it
		}
	}
	for _, q := range queues {
		if it := q.back(); it != nil && (it.touched != s.clock || s.table.len == 1) {
			return it
		}
	}
	return s.window.back()
}

// admits reports whether candidate may stay in the place of victim. If nothing is
// counted, as there are too few to tell, the younger one may. What has expired is worth
// nothing, however popular it was.
func (s *memoryShard) admits(candidate, victim *item, now time.Duration) bool {
	return s.sketch.words == nil || now >= victim.expires ||
		now < candidate.expires && s.worth(candidate) > s.worth(victim)
}

func (s *memoryShard) worth(it *item) uint32 { return s.sketch.count(it.hash) + it.hits.Load() }

// shiftWindow puts on trial what is too much for the window, without a contest.
func (s *memoryShard) shiftWindow() {
	for s.window.len > 1 && s.window.bytes > s.balance.target() {
		s.trial.push(s.window.back())
	}
}

// settle makes the tables fit and the books right after items have come or gone.
func (s *memoryShard) settle() {
	s.sketch.fit(s.table.len)
	s.balance.fit(len(s.sketch.words))
	now := s.window.bytes + s.trial.bytes + s.proven.bytes + s.overhead()
	s.total.Add(now - s.bytes.Swap(now))
}

// overhead is what the shard takes beside its items.
func (s *memoryShard) overhead() int64 { return s.table.size() + s.sketch.size() + s.balance.size() }

// recent remembers the hashes of the last few keys that were deleted.
type recent struct {
	hashes [16]uint64
	next   int
}

func (r *recent) add(hash uint64) {
	r.hashes[r.next] = hash
	r.next = (r.next + 1) % len(r.hashes)
}

func (r *recent) take(hash uint64) bool {
	for i := range r.hashes {
		if r.hashes[i] == hash {
			r.hashes[i] = 0
			return true
		}
	}
	return false
}
