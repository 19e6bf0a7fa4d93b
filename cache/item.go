package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// item is what a key has: bytes or an object. It is changed under its shard's lock,
// but for hits.
type item struct {
	key     string
	hash    uint64
	val     []byte
	obj     any
	expires time.Duration // after the memory was made
	cost    int64
	touched uint64        // the shard's clock when it was last brought to the front
	hits    atomic.Uint32 // since then, up to maxCount: a key that is hot costs no more writes
	in      *itemQueue    // nil once it was removed

	prev, next *item // in the queue
	chain      *item // in the table
}

// itemSize is what an item itself takes: 128 bytes, for which the allocator has a class.
const itemSize = int64(unsafe.Sizeof(item{}))

// costOf returns what an item takes with what it keeps alive, in bytes of the heap.
func costOf(key string, size int64) int64 {
	return itemSize + roundUp(int64(len(key))) + size
}

// sizeClasses are the sizes that the allocator has for small objects without
// pointers. They are asked for and not written down: they are this runtime's.
var sizeClasses = sync.OnceValue(func() []int64 {
	classes := []int64{16} // smaller ones share a block of 16, which one of them can keep
	for last := int64(16); last < 32<<10; {
		last = int64(cap(slices.Grow([]byte(nil), int(last)+1)))
		classes = append(classes, last)
	}
	return classes
})

const pageSize = 8 << 10 // of the allocator

// roundUp returns what n bytes without pointers take of the heap.
func roundUp(n int64) int64 {
	if n == 0 {
		return 0
	}
	classes := sizeClasses()
	if i, _ := slices.BinarySearch(classes, n); i < len(classes) {
		return classes[i]
	}
	return n + -n&(pageSize-1)
}

// itemQueue is a list of items, those touched last in front.
type itemQueue struct {
	root  item // next is the front, prev is the back
	len   int
	bytes int64
}

func (q *itemQueue) init() { q.root.next, q.root.prev = &q.root, &q.root }

func (q *itemQueue) back() *item {
	if q.len == 0 {
		return nil
	}
	return q.root.prev
}

// push puts it in front, and takes it from where it was.
func (q *itemQueue) push(it *item) {
	it.unlink()
	it.in, it.prev, it.next = q, &q.root, q.root.next
	it.prev.next, it.next.prev = it, it
	q.len++
	q.bytes += it.cost
}

func (it *item) unlink() {
	if it.in == nil {
		return
	}
	it.prev.next, it.next.prev = it.next, it.prev
	it.in.len--
	it.in.bytes -= it.cost
	it.in, it.prev, it.next = nil, nil, nil
}

// itemTable finds items by their hash and key. A map of the language would do the
// same, but how much memory it has at a time can neither be asked nor reckoned: after
// much coming and going it is anything between 28 and 115 bytes for an item.
type itemTable struct {
	slots []*item
	len   int
}

const (
	minSlots = 8
	slotSize = int64(unsafe.Sizeof((*item)(nil)))

	minTables = minSlots * slotSize // what a shard takes that had items
)

func (t *itemTable) slot(hash uint64) **item { return &t.slots[hash&uint64(len(t.slots)-1)] }

func (t *itemTable) find(hash uint64, key string) *item {
	if t.len == 0 {
		return nil
	}
	it := *t.slot(hash)
	for it != nil && (it.hash != hash || it.key != key) {
		it = it.chain
	}
	return it
}

func (t *itemTable) add(it *item) {
	if t.len == len(t.slots) {
		t.resize(max(2*t.len, minSlots))
	}
	t.len++
	p := t.slot(it.hash)
	it.chain, *p = *p, it
}

func (t *itemTable) remove(it *item) {
	p := t.slot(it.hash)
	for *p != it {
		p = &(*p).chain
	}
	*p, it.chain = it.chain, nil
	t.len--
	// What a flood of small items has made it take is given back.
	if t.len < len(t.slots)/8 && len(t.slots) > minSlots {
		t.resize(max(len(t.slots)/4, minSlots))
	}
}

func (t *itemTable) resize(n int) {
	old := t.slots
	t.slots = make([]*item, n)
	for _, it := range old {
		for it != nil {
			next, p := it.chain, t.slot(it.hash)
			it.chain, *p = *p, it
			it = next
		}
	}
}

func (t *itemTable) size() int64 { return slotSize * int64(len(t.slots)) }
