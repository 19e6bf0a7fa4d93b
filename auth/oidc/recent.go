package oidc

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxRecent  = 10_000 // 40 MB of usual tokens, if that many sessions are refreshed in a minute
	recentTime = time.Minute
)

// recent remembers for a short time what became of something: of a session in a cookie its
// successor, as requests that were sent with the old cookie are still on their way, or nil
// for one that has ended; of a login that it is done.
type recent struct {
	keep time.Duration
	mu   sync.Mutex
	past *simplelru.LRU[[sha256.Size]byte, outcome]
}

type outcome struct {
	session *session // nil: it has ended
	until   time.Time
}

func newRecent(keep time.Duration) *recent {
	past, err := simplelru.NewLRU[[sha256.Size]byte, outcome](maxRecent, nil)
	if err != nil {
		panic(err) // only a size of zero is refused
	}
	return &recent{keep: keep, past: past}
}

// put remembers what became of key, unless that is known already: what was first stands.
func (r *recent) put(key [sha256.Size]byte, s *session) (first bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if r.past.Contains(key) {
		return false
	}
	r.past.Add(key, outcome{s, now.Add(r.keep)})
	return true
}

// get returns what became of key. It does not make an entry younger: the oldest go first.
func (r *recent) get(key [sha256.Size]byte) (*session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(time.Now())
	o, ok := r.past.Peek(key)
	return o.session, ok
}

// forget drops what is over. All are kept equally long, so these are the oldest.
func (r *recent) forget(now time.Time) {
	for {
		_, o, ok := r.past.GetOldest()
		if !ok || now.Before(o.until) {
			return
		}
		r.past.RemoveOldest()
	}
}

// latest returns what has become of s by refreshes, or nil if it has ended.
func (r *recent) latest(s *session) *session {
	for range 100 { // there are no circles, as each version is new
		next, ok := r.get(s.version())
		switch {
		case !ok:
			return s
		case next == nil:
			return nil
		}
		s = next
	}
	return s
}
