package cache_test

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// tierStore is a store whose contents and calls can be seen, and which fails, or takes its
// time, as networks and disks do.
type tierStore struct {
	mu      sync.Mutex
	values  map[string][]byte
	expires map[string]time.Time
	gets    int
	sets    int
	err     error         // of every call
	takes   time.Duration // every call, or until its deadline
}

func newTierStore() *tierStore {
	return &tierStore{values: map[string][]byte{}, expires: map[string]time.Time{}}
}

func (b *tierStore) wait(ctx context.Context) error {
	b.mu.Lock()
	takes, err := b.takes, b.err
	b.mu.Unlock()
	if takes == 0 {
		return err
	}
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *tierStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	b.mu.Lock()
	b.gets++
	val, ok := b.values[key]
	ok = ok && time.Now().Before(b.expires[key])
	b.mu.Unlock()
	if err := b.wait(ctx); err != nil { // what it returns is what it had before it waited
		return nil, false, err
	}
	return val, ok, nil
}

func (b *tierStore) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if err := b.wait(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sets++
	b.values[key], b.expires[key] = val, time.Now().Add(ttl)
	return nil
}

func (b *tierStore) Delete(ctx context.Context, key string) error {
	if err := b.wait(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.values, key)
	return nil
}

// holds reports whether there is a value under any key.
func (b *tierStore) holds(val string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, v := range b.values {
		if bytes.Equal(v, []byte(val)) && time.Now().Before(b.expires[key]) {
			return true
		}
	}
	return false
}

// timedTier is a tierStore that tells how long a value has left.
type timedTier struct{ *tierStore }

func (c timedTier) GetTimed(ctx context.Context, key string) ([]byte, time.Duration, bool, error) {
	val, ok, err := c.Get(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	return val, time.Until(c.expires[key]), ok, err
}
