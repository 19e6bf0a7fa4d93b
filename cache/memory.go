package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	maxShards = 64
	minShare  = 4 << 20 // bytes of a shard: in less, a large value would push all else out
)

// Memory returns a Cache in this process that holds up to maxBytes, and drops what
// was not used for longest or, once it holds some dozens of values, what is asked for less
// often than the rest. Everything counts that it takes of the heap: keys, values by
// their capacity, and what it needs to find them, some 170 bytes for each. A value
// that alone is larger than maxBytes is not kept, which is no error; what its key had
// before is gone all the same. What has just been set is there until other values are
// set. Nothing has to be closed.
//
// It panics if maxBytes is not positive.
func Memory(maxBytes int64) Cache {
	if maxBytes <= 0 {
		panic(fmt.Errorf("cache: memory of %d bytes", maxBytes))
	}
	n := min(max(maxBytes/minShare, 1), maxShards)
	n = 1 << (bits.Len64(uint64(n)) - 1) // a power of two
	m := &memory{
		max:    maxBytes,
		share:  maxBytes / n,
		start:  time.Now(),
		seed:   maphash.MakeSeed(),
		shards: make([]memoryShard, n),
	}
	for i := range m.shards {
		m.shards[i].init(m)
	}
	return m
}

// memory implements [Cache]. The bound is one for all shards, so that a value may be
// as large as it; a shard that has more than its share makes room first.
type memory struct {
	max, share int64
	start      time.Time // what times are counted from: asking for the time since then is cheaper
	seed       maphash.Seed
	bytes      atomic.Int64
	shards     []memoryShard
}

// find returns the hash of key, and its shard by the bits that tables and sketches do not use.
func (m *memory) find(key string) (*memoryShard, uint64) {
	hash := maphash.String(m.seed, key)
	return &m.shards[hash>>58&uint64(len(m.shards)-1)], hash
}

// Get is part of [Cache]. The context is not asked: nothing here waits.
func (m *memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	s, hash := m.find(key)
	val, obj, ok := s.get(hash, key, time.Since(m.start))
	if obj == nil {
		return val, ok, nil
	}
	if e, can := obj.(interface{ encode() []byte }); can {
		return e.encode(), true, nil
	}
	return nil, false, nil
}

// Set is part of [Cache].
func (m *memory) Set(_ context.Context, key string, val []byte, ttl time.Duration) error {
	m.put(&item{key: key, val: val, cost: costOf(key, roundUp(int64(cap(val))))}, ttl, false)
	return nil
}

// Delete is part of [Cache].
func (m *memory) Delete(_ context.Context, key string) error {
	s, hash := m.find(key)
	s.delete(hash, key)
	return nil
}

// getObject returns the object that was set for key. It is shared: nobody changes it.
func (m *memory) getObject(key string) (any, bool) {
	s, hash := m.find(key)
	_, obj, _ := s.get(hash, key, time.Since(m.start))
	return obj, obj != nil
}

// setObject gives key an object that keeps size bytes alive. [memory.Get] finds it only if it
// can be encoded.
func (m *memory) setObject(key string, obj any, size int64, ttl time.Duration) {
	m.put(&item{key: key, obj: obj, cost: costOf(key, max(size, 0))}, ttl, false)
}

// setRecord is setObject for what others are found or judged by: it does not have to
// show that it is asked for often, and is only dropped if it was not used for long.
func (m *memory) setRecord(key string, obj any, size int64, ttl time.Duration) {
	m.put(&item{key: key, obj: obj, cost: costOf(key, max(size, 0))}, ttl, true)
}

func (m *memory) put(it *item, ttl time.Duration, record bool) {
	s, hash := m.find(it.key)
	if ttl <= 0 || it.cost > m.max-minTables*int64(len(m.shards)) {
		s.delete(hash, it.key)
		return
	}
	now := time.Since(m.start)
	it.hash, it.expires = hash, now+min(ttl, math.MaxInt64-now)
	s.set(it, record)
	m.makeRoom(s, now)
}

// makeRoom drops what is too much. All shards have one share, so one of them has more
// than that: s itself, or else one of the others. What has just been set goes last.
func (m *memory) makeRoom(s *memoryShard, now time.Duration) {
	for m.bytes.Load() > m.max {
		if !m.fullest(s).drop(1, now) && !s.drop(1, now) && !m.dropAny(s, now) && !s.drop(0, now) {
			return
		}
	}
}

// fullest returns s if it has more than its share, or the shard that has most.
func (m *memory) fullest(s *memoryShard) *memoryShard {
	if s.bytes.Load() > m.share {
		return s
	}
	most := s
	for i := range m.shards {
		if m.shards[i].bytes.Load() > most.bytes.Load() {
			most = &m.shards[i]
		}
	}
	return most
}

func (m *memory) dropAny(but *memoryShard, now time.Duration) bool {
	for i := range m.shards {
		if s := &m.shards[i]; s != but && s.drop(0, now) {
			return true
		}
	}
	return false
}
