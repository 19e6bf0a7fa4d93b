package oidc

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Store keeps sessions on the server side. What it is given is encrypted, and the id is a
// hash of what the browser holds, in hexadecimal: what leaks from a Store opens nothing.
// The context has a deadline, and a call that does not heed it is left behind. A Store is
// called concurrently. An error lets nobody in: the request is answered with 503.
type Store interface {
	// Load returns what was saved under id and has not expired; nil: nothing.
	Load(ctx context.Context, id string) ([]byte, error)

	// Save puts data in place of old, for ttl, and reports true. If what is there is not
	// old, it changes nothing and reports false; for a nil old there must be nothing. So
	// a session that was refreshed meanwhile is not set back, and one that was deleted
	// does not come back.
	Save(ctx context.Context, id string, old, data []byte, ttl time.Duration) (bool, error)

	// Delete removes what is under id, if there is something.
	Delete(ctx context.Context, id string) error
}

// Locker is what a [Store] that several gateways share may be as well. With it, one of
// them at a time refreshes a session: a provider that rotates refresh tokens takes a
// second use of one for theft, and ends the session (RFC 9700 section 4.14.2).
type Locker interface {
	// Lock waits until nobody else holds the lock of id, at most until ctx ends, and
	// takes it, for ttl at most. unlock gives it back, and may be called late.
	Lock(ctx context.Context, id string, ttl time.Duration) (unlock func(), err error)
}

// Memory returns a [Store] in the memory of this process for so many sessions. When there
// are more, those that were used longest ago are forgotten. A session takes 2 to 4 KiB
// with usual tokens, and some 30 KiB at most. It panics if sessions is not positive.
func Memory(sessions int) Store {
	entries, err := simplelru.NewLRU[string, entry](sessions, nil)
	if err != nil {
		panic(fmt.Errorf("auth/oidc: memory: %w", err))
	}
	return &memory{entries: entries}
}

type memory struct {
	mu      sync.Mutex
	entries *simplelru.LRU[string, entry]
}

type entry struct {
	data  []byte
	until time.Time
}

// Load is part of [Store].
func (m *memory) Load(_ context.Context, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load(id), nil
}

func (m *memory) load(id string) []byte {
	e, ok := m.entries.Get(id)
	if ok && !time.Now().Before(e.until) {
		m.entries.Remove(id)
		return nil
	}
	return e.data
}

// Save is part of [Store].
func (m *memory) Save(_ context.Context, id string, old, data []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if is := m.load(id); (is == nil) != (old == nil) || !bytes.Equal(is, old) {
		return false, nil
	}
	m.entries.Add(id, entry{bytes.Clone(data), time.Now().Add(ttl)})
	return true, nil
}

// Delete is part of [Store].
func (m *memory) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Remove(id)
	return nil
}
