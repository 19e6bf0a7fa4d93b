package cache

// balance finds out how large the window has to be, by what is asked for again soon after
// it was lost: if the window had to let go of it, that was too small; if the rest had, the
// window was too large. So what is asked for while it is young gets a large window, and
// what is asked for because it is popular a small one.
type balance struct {
	share float64  // bytes of the shard
	part  float64  // of which the window may take so much
	gone  []uint64 // hashes of what was lost, the lowest bit saying who lost it

	refused, dropped float64 // how many the window and the rest have lost of late
}

const (
	minWindow   = 0.01
	maxWindow   = 0.99
	firstWindow = 0.2
)

func (b *balance) target() int64 { return int64(b.part * b.share) }

func (b *balance) slot(hash uint64) *uint64 { return &b.gone[hash>>8&uint64(len(b.gone)-1)] }

func (b *balance) lost(hash uint64, refused bool) {
	if len(b.gone) == 0 {
		return
	}
	if refused {
		b.refused++
		*b.slot(hash) = hash | 1
	} else {
		b.dropped++
		*b.slot(hash) = hash &^ 1
	}
	if b.refused+b.dropped > float64(len(b.gone)) {
		b.refused, b.dropped = b.refused/2, b.dropped/2
	}
}

// missed is told what was asked for and not there. The step is that of an item, or
// more if it was the rarer of the two mistakes: the other has more occasions.
func (b *balance) missed(hash uint64, items int) {
	if len(b.gone) == 0 || *b.slot(hash)|1 != hash|1 {
		return
	}
	step := 1 / float64(max(items, 1))
	if refused := *b.slot(hash)&1 == 1; refused {
		b.part = min(b.part+step*max(1, b.dropped/max(b.refused, 1)), maxWindow)
	} else {
		b.part = max(b.part-step*max(1, b.refused/max(b.dropped, 1)), minWindow)
	}
	*b.slot(hash) = 0
}

// fit makes room for n hashes, a power of two or none.
func (b *balance) fit(n int) {
	if n != len(b.gone) {
		b.gone = make([]uint64, n)
	}
}

func (b *balance) size() int64 { return 8 * int64(cap(b.gone)) }
