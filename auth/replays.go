package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Replays returns a Seen for several [Signature] literals of this process, for instance the
// one before and the one after a configuration is loaded again. It remembers as many
// requests as limit, each in 50 bytes or so, and is full then. It panics if limit is not
// positive.
func Replays(limit int) func(ctx context.Context, id string, ttl time.Duration) (bool, error) {
	if limit <= 0 {
		panic(fmt.Errorf("auth: replays: a limit of %d", limit))
	}
	m := &sharedReplays{ends: make(map[int64]map[replayID]struct{}), limit: limit, begun: time.Now()}
	return m.seen
}

// sharedReplays remembers ids by when they are to be forgotten, on a clock that nobody sets.
type sharedReplays struct {
	mu    sync.Mutex
	ends  map[int64]map[replayID]struct{} // by the slice of time since begun
	held  int
	limit int
	begun time.Time
}

// An id may be in any slice, as the time that is left of it is another each time: so there
// must not be too many.
const (
	replaySliceTime = 15 * time.Second
	maxReplayTTL    = 24 * time.Hour
)

func (t *sharedReplays) seen(_ context.Context, id string, ttl time.Duration) (bool, error) {
	if ttl > maxReplayTTL {
		return false, errors.New("a request that would have to be remembered for more than a day")
	}
	sum := sha256.Sum256([]byte(id)) // of ids by anybody's rules
	key := replayID(sum[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.begun)
	for end, ids := range t.ends {
		if end < int64(now/replaySliceTime) {
			t.held -= len(ids)
			delete(t.ends, end)
		} else if _, ok := ids[key]; ok {
			return true, nil
		}
	}
	if t.held >= t.limit {
		return false, errReplaysFull
	}
	end := int64((now + ttl) / replaySliceTime)
	if t.ends[end] == nil {
		t.ends[end] = make(map[replayID]struct{})
	}
	t.ends[end][key] = struct{}{}
	t.held++
	return false, nil
}
