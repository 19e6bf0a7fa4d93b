package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultStoreTimeout = time.Second
	rememberKeys        = 10_000 // answers of a KeyStore, at most
)

// KeyStore is where an [APIKey] finds keys that are not in its Keys: a database, for
// instance, in which keys come and go. It may be called concurrently.
type KeyStore interface {
	// Find returns who holds the key with that [HashKey], and nil, nil if nobody does; an
	// error only if it cannot tell. An index over the hashes may find it: how long that takes
	// says nothing of the key. But a hash that is compared by code should be compared by
	// crypto/subtle. The Principal is not changed, nor may it be.
	Find(ctx context.Context, hash string) (*Principal, error)
}

// KeyStoreFunc is a function that is a [KeyStore].
type KeyStoreFunc func(ctx context.Context, hash string) (*Principal, error)

// Find calls f.
func (f KeyStoreFunc) Find(ctx context.Context, hash string) (*Principal, error) { return f(ctx, hash) }

// storeLookups returns how the keys of a store are found, or nil if there is none.
func (a APIKey) storeLookups(t *keyTable) *lookups {
	if a.Store == nil {
		return nil
	}
	l := &lookups{timeout: a.Timeout, wrongFor: a.Remember, flying: make(chan struct{}, maxLookups)}
	if l.timeout == 0 {
		l.timeout = defaultStoreTimeout
	}
	if a.Remember > 0 {
		l.right, l.wrong = newMemory(rememberKeys), newMemory(rememberWrong)
	}
	l.ask = func(ctx context.Context, key string) (verified, error) {
		p, err := a.Store.Find(ctx, HashKey(key))
		switch {
		case err != nil:
			return verified{}, fmt.Errorf("store: %w", err)
		case p == nil:
			return verified{}, denial("unknown")
		}
		return verified{principal: t.holder(p), until: time.Now().Add(a.Remember)}, nil
	}
	return l
}

func (a APIKey) storeFaults() error {
	var faults []error
	if f, ok := a.Store.(KeyStoreFunc); ok && f == nil {
		faults = append(faults, errors.New("nil Store"))
	}
	if a.Timeout < 0 {
		faults = append(faults, errors.New("negative Timeout"))
	}
	return errors.Join(faults...)
}
