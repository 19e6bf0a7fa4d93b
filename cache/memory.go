package cache

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// itemOverhead is what an entry costs beside its key and value, in bytes: the
// list's element, its place in the map, and the slice header. It is an estimate.
const itemOverhead = 200

// Memory returns a Cache in this process that holds up to maxBytes and drops what
// was not used for longest. Keys count, and so do 200 bytes for each entry. A value
// that alone is larger than maxBytes is not kept, which is no error; what its key
// had before is gone all the same. Nothing has to be closed.
//
// It panics if maxBytes is not positive.
func Memory(maxBytes int64) Cache {
	if maxBytes <= 0 {
		panic(fmt.Errorf("cache: memory of %d bytes", maxBytes))
	}
	m := &memory{max: maxBytes}
	// The number of entries is not what is bounded here; the bytes are.
	lru, err := simplelru.NewLRU(math.MaxInt, func(key string, it item) { m.size -= it.size })
	if err != nil {
		panic(fmt.Errorf("cache: memory: %w", err))
	}
	m.lru = lru
	return m
}

// memory implements [Cache].
type memory struct {
	max int64

	mu   sync.Mutex
	size int64
	lru  *simplelru.LRU[string, item]
}

type item struct {
	val     []byte
	obj     any
	size    int64
	expires time.Time
}

func (m *memory) getObject(key string) (any, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.lru.Get(key)
	if !ok || it.obj == nil || !time.Now().Before(it.expires) {
		return nil, false
	}
	return it.obj, true
}

func (m *memory) setObject(key string, v any, size int64, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lru.Remove(key)
	size += int64(len(key)) + itemOverhead
	if ttl <= 0 || size > m.max {
		return
	}
	m.lru.Add(key, item{obj: v, size: size, expires: time.Now().Add(ttl)})
	for m.size += size; m.size > m.max; {
		m.lru.RemoveOldest()
	}
}

// cost counts the capacity of val, because that is what it keeps alive.
func cost(key string, val []byte) int64 {
	return int64(len(key)) + int64(cap(val)) + itemOverhead
}

// Get is part of [Cache]. The context is not asked: nothing here waits.
func (m *memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.lru.Get(key)
	if !ok {
		return nil, false, nil
	}
	if !time.Now().Before(it.expires) {
		m.lru.Remove(key)
		return nil, false, nil
	}
	return it.val, true, nil
}

// Set is part of [Cache].
func (m *memory) Set(_ context.Context, key string, val []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lru.Remove(key)
	if ttl <= 0 || cost(key, val) > m.max {
		return nil
	}
	m.lru.Add(key, item{val: val, size: cost(key, val), expires: time.Now().Add(ttl)})
	for m.size += cost(key, val); m.size > m.max; {
		m.lru.RemoveOldest()
	}
	return nil
}

// Delete is part of [Cache].
func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lru.Remove(key)
	return nil
}
