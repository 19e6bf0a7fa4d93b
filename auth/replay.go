package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// replays remembers what was signed for as long as it would be accepted. It keeps it by the
// slice of time in which that ends, which what was signed determines: so each is looked for
// in one place, and to forget is to drop a slice.
type replays struct {
	mu    sync.Mutex
	ends  map[int64]*replaySlice
	held  int
	limit int
	slice time.Duration
	now   int64 // the slice in which it was last tidied up
}

// replaySlice is what ends in one slice of time.
type replaySlice struct {
	ids  map[replayID]struct{}
	over time.Time // when it has ended by a clock that nobody sets
}

// replayID is the beginning of a SHA-256. Nobody finds another request with the same; who
// makes two that have one in common, in 2^64 tries, has but the second of them refused.
type replayID [16]byte

// slicesOfWindow says how much is held that need not be: the newest of the slices that
// have not wholly passed.
const slicesOfWindow = 4

var errReplaysFull = errors.New("as many requests as may be are remembered")

func newReplays(limit int, window time.Duration) *replays {
	return &replays{ends: make(map[int64]*replaySlice), limit: limit, slice: window / slicesOfWindow}
}

// seen remembers sum until then, and reports whether it was remembered before.
func (t *replays) seen(_ context.Context, sum [sha256.Size]byte, until time.Time) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tidy(t.sliceOf(time.Now()))
	end, id := t.sliceOf(until), replayID(sum[:])
	s := t.ends[end]
	if s == nil {
		s = &replaySlice{ids: make(map[replayID]struct{})}
	}
	if _, ok := s.ids[id]; ok {
		return true, nil
	}
	if t.held >= t.limit {
		return false, errReplaysFull
	}
	if over := time.Now().Add(time.Until(until)); over.After(s.over) {
		s.over = over
	}
	s.ids[id] = struct{}{}
	t.ends[end] = s
	t.held++
	return false, nil
}

func (t *replays) sliceOf(at time.Time) int64 { return at.UnixNano() / int64(t.slice) }

// tidy drops the slices that have passed: of about ten, and once in a slice. They must
// have passed by the time of day, which says what is accepted, and in fact as well: a clock
// that is set forward and back again must not make us forget.
func (t *replays) tidy(now int64) {
	if now == t.now {
		return
	}
	t.now = now
	for end, s := range t.ends {
		if end < now && !time.Now().Before(s.over) {
			t.held -= len(s.ids)
			delete(t.ends, end)
		}
	}
}
