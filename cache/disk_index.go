package cache

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// diskIndex knows of each file of a [Disk] what its name and inode say, in the order
// of use, and counts what they take. It touches no file: its lock is held for the
// time of a few steps in memory.
//
// The entries lie in one slice and are linked by their numbers, which is half of what
// a list of pointers takes, and is nothing to the garbage collector.
type diskIndex struct {
	max int64

	mu      sync.Mutex
	used    int64 // by entries, drafts and the doomed: never more than max
	seq     uint64
	numbers map[diskID]int32
	slots   []diskSlot // the first is the ring's head: next is the newest, prev the oldest
	free    []int32
	hand    int // where sweep goes on

	// pending has the number of the last Set, or eviction, that is under way for an id.
	// One that is no longer here was overtaken, and must not have an effect.
	pending map[diskID]uint64
	// doomed are files that could not be removed yet, and still count.
	doomed []diskDoomed
}

// diskFile is an entry.
type diskFile struct {
	id      diskID
	seq     uint64 // of all Sets there ever were, its own
	expires int64  // in Unix nanoseconds
	size    int64
	touched int64 // when its use was last written down, in Unix seconds
	due     bool  // to be written down again
}

// diskNoFile is in a slot that is free. It does not expire: sweep must not find it.
var diskNoFile = diskFile{expires: math.MaxInt64}

type diskSlot struct {
	diskFile
	prev, next int32
}

// diskDoomed is a file that is no entry any more, or not yet.
type diskDoomed struct {
	name string
	cost int64
}

const (
	diskBlock    = 4096
	diskNameCost = 256 // a name and an inode
	diskTouch    = 10 * 60
	diskSweep    = 8 // entries that each Set looks at
	diskRetry    = 2 // and doomed files that it tries to remove
)

// cost is what f takes from the bound.
func (f diskFile) cost() int64 { return (f.size+diskBlock-1)/diskBlock*diskBlock + diskNameCost }

func (f diskFile) expired(now time.Time) bool { return now.UnixNano() >= f.expires }

func (f diskFile) doomed() diskDoomed { return diskDoomed{f.name(), f.cost()} }

func newDiskIndex(maxBytes int64) *diskIndex {
	return &diskIndex{
		max:     maxBytes,
		numbers: map[diskID]int32{},
		slots:   []diskSlot{{diskFile: diskNoFile}},
		pending: map[diskID]uint64{},
	}
}

// fill takes the files that were found. Of two of one id the later counts; the
// other is doomed, and so are the oldest that are beyond the bound.
func (x *diskIndex) fill(files []diskFile, now time.Time) (doomed []diskDoomed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	slices.SortFunc(files, func(a, b diskFile) int {
		if a.expired(now) != b.expired(now) {
			return cmp.Compare(a.expires, b.expires)
		}
		return cmp.Or(cmp.Compare(a.touched, b.touched), cmp.Compare(a.seq, b.seq))
	})
	for _, f := range files {
		x.seq = max(x.seq, f.seq)
		if n, ok := x.numbers[f.id]; ok && x.slots[n].seq > f.seq {
			doomed = append(doomed, f.doomed())
			x.used += f.cost()
			continue
		}
		old, had := x.insert(f)
		if had {
			doomed = append(doomed, old.doomed())
		}
		x.used += f.cost()
	}
	for over := x.used - x.max - costs(doomed); over > 0; {
		d := x.unlink(x.slots[0].prev).doomed()
		doomed = append(doomed, d)
		over -= d.cost
	}
	return doomed
}

func costs(doomed []diskDoomed) (sum int64) {
	for _, d := range doomed {
		sum += d.cost
	}
	return sum
}

// use returns the entry of id as the one used last.
func (x *diskIndex) use(id diskID, now time.Time) (diskFile, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, ok := x.numbers[id]
	if !ok {
		return diskFile{}, false
	}
	x.detach(n)
	x.attach(n)
	f := x.slots[n].diskFile
	if unix := now.Unix(); unix >= f.touched+diskTouch {
		x.slots[n].touched = unix
		f.due = true
	}
	return f, true
}

// begin registers a Set.
func (x *diskIndex) begin(id diskID) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seq++
	x.pending[id] = x.seq
	return x.seq
}

// counts reports whether the Set of f is the last for its id.
func (x *diskIndex) counts(f diskFile) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pending[f.id] == f.seq
}

// put ends the Set of f, for which there is room, and returns what it replaces.
func (x *diskIndex) put(f diskFile) (old diskFile, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.pending, f.id)
	f.touched = time.Now().Unix()
	return x.insert(f)
}

// giveUp ends the Set of f, and returns what is to be removed if it counted.
func (x *diskIndex) giveUp(f diskFile) (old diskFile, had bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending[f.id] != f.seq {
		return diskFile{}, false
	}
	delete(x.pending, f.id)
	return x.take(f.id)
}

// forget takes out what id has, and the Set that is under way.
func (x *diskIndex) forget(id diskID) (diskFile, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.pending, id)
	return x.take(id)
}

// drop takes out f, if it still is what its id has.
func (x *diskIndex) drop(f diskFile) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, ok := x.numbers[f.id]
	if !ok || x.slots[n].seq != f.seq {
		return false
	}
	x.unlink(n)
	return true
}

// reserve takes cost from the bound or, if that is full, takes out the entry that
// has to be removed first, or diskNoFile if there is none.
func (x *diskIndex) reserve(cost int64) (victim diskFile, full bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.used+cost <= x.max {
		x.used += cost
		return diskNoFile, false
	}
	oldest := x.slots[0].prev
	if oldest == 0 {
		return diskNoFile, true
	}
	victim = x.unlink(oldest)
	if _, busy := x.pending[victim.id]; !busy {
		x.pending[victim.id] = victim.seq
	}
	return victim, true
}

// evicted ends what reserve has begun. An entry whose file could not be removed is
// there again, as the last to be tried next, unless something was called for its key.
func (x *diskIndex) evicted(f diskFile, removed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	counts := x.pending[f.id] == f.seq
	if counts {
		delete(x.pending, f.id)
	}
	switch {
	case removed:
		x.used -= f.cost()
	case counts:
		x.insert(f)
	default:
		x.doomed = append(x.doomed, f.doomed())
	}
}

// release gives back what a file took that is no more.
func (x *diskIndex) release(cost int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used -= cost
}

// bury keeps a file that could not be removed.
func (x *diskIndex) bury(d diskDoomed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doomed = append(x.doomed, d)
}

// sweep returns what is to be removed of the next few entries, because it has
// expired, and of what could not be removed before.
func (x *diskIndex) sweep(now time.Time) (doomed []diskDoomed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for range min(diskSweep, len(x.slots)) {
		x.hand = (x.hand + 1) % len(x.slots)
		if x.slots[x.hand].expired(now) {
			doomed = append(doomed, x.unlink(int32(x.hand)).doomed())
		}
	}
	n := min(diskRetry, len(x.doomed))
	doomed = append(doomed, x.doomed[:n]...)
	x.doomed = x.doomed[n:]
	return doomed
}

// The methods below are called with the lock held.

func (x *diskIndex) insert(f diskFile) (old diskFile, had bool) {
	old, had = x.take(f.id)
	n := int32(len(x.slots))
	if last := len(x.free) - 1; last >= 0 {
		n, x.free = x.free[last], x.free[:last]
	} else {
		x.slots = append(x.slots, diskSlot{})
	}
	x.slots[n] = diskSlot{diskFile: f}
	x.numbers[f.id] = n
	x.attach(n)
	return old, had
}

func (x *diskIndex) take(id diskID) (diskFile, bool) {
	n, ok := x.numbers[id]
	if !ok {
		return diskFile{}, false
	}
	return x.unlink(n), true
}

func (x *diskIndex) unlink(n int32) diskFile {
	f := x.slots[n].diskFile
	x.detach(n)
	x.slots[n].diskFile = diskNoFile
	x.free = append(x.free, n)
	delete(x.numbers, f.id)
	return f
}

func (x *diskIndex) attach(n int32) {
	first := x.slots[0].next
	x.slots[n].prev, x.slots[n].next = 0, first
	x.slots[first].prev, x.slots[0].next = n, n
}

func (x *diskIndex) detach(n int32) {
	prev, next := x.slots[n].prev, x.slots[n].next
	x.slots[prev].next, x.slots[next].prev = next, prev
}
