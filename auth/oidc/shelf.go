package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	storeTime   = 2 * time.Second  // of one call of the Store
	lockTime    = 20 * time.Second // longer than a refresh takes, see renewTime
	maxSession  = 30 << 10         // bytes of a session, so that a Store is bounded by the number of its entries
	maxAttempts = 3                // to save a refreshed session
)

// shelf keeps sessions in a Store.
type shelf struct {
	store Store
	seals *sealer
	life  lifetime
}

// shelfID is what the Store knows a session by.
func shelfID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// load returns the session and what is stored of it, or nil if there is none.
func (h *shelf) load(ctx context.Context, id string) (*session, []byte, error) {
	place := shelfID(id)
	data, err := within(ctx, func(ctx context.Context) ([]byte, error) { return h.store.Load(ctx, place) })
	if err != nil {
		return nil, nil, fmt.Errorf("load session: %w", err)
	}
	if data == nil {
		return nil, nil, nil
	}
	plain, ok := h.seals.open(data, place)
	if !ok { // by a key that is no longer ours
		return nil, data, nil
	}
	s, ok := decodeSession(plain)
	if !ok || h.life.over(s, time.Now()) {
		return nil, data, nil
	}
	return s, data, nil
}

// save puts s in place of what was stored of it.
func (h *shelf) save(ctx context.Context, s *session, old []byte) (bool, error) {
	place, plain := shelfID(s.ID), s.encode()
	if len(plain) > maxSession {
		return false, fmt.Errorf("save session: %d bytes, more than %d", len(plain), maxSession)
	}
	data := h.seals.seal(plain, place)
	ok, err := within(ctx, func(ctx context.Context) (bool, error) {
		return h.store.Save(ctx, place, old, data, h.life.until(s, time.Now()))
	})
	if err != nil {
		return false, fmt.Errorf("save session: %w", err)
	}
	return ok, nil
}

func (h *shelf) delete(ctx context.Context, id string) error {
	_, err := within(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, h.store.Delete(ctx, shelfID(id))
	})
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// lock keeps other processes from refreshing the session, if the Store can.
func (h *shelf) lock(ctx context.Context, id string) (unlock func(), err error) {
	locker, ok := h.store.(Locker)
	if !ok {
		return func() {}, nil
	}
	unlock, err = locker.Lock(ctx, shelfID(id), lockTime)
	if err != nil {
		return nil, fmt.Errorf("lock session: %w", err)
	}
	return unlock, nil
}

// touch notes that s is in use. That another did so, or refreshed it, is as good, and that
// the Store fails will be seen by who needs it.
func (h *shelf) touch(ctx context.Context, s *session, old []byte, now time.Time) {
	touched := *s
	touched.Used = stampOf(now)
	_, _ = h.save(ctx, &touched, old)
}

// replace saves next, a refreshed session, in place of old. It tries again, as the refresh
// token that next was had for may be good no longer.
func (h *shelf) replace(ctx context.Context, next *session, old []byte) (err error) {
	for range maxAttempts {
		var ok bool
		if ok, err = h.save(ctx, next, old); ok {
			return nil
		}
		if err != nil {
			continue
		}
		var now *session
		if now, old, err = h.load(ctx, next.ID); err == nil && now == nil {
			return errEnded // by a logout
		}
		if now != nil {
			next.Used = max(next.Used, now.Used)
		}
	}
	if err == nil {
		err = errors.New("save session: it keeps changing")
	}
	return err
}

// within calls f, which is the user's, and waits for it as long as one call may take.
func within[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		defer cancel()
		var a answer
		defer func() {
			if v := recover(); v != nil { // on this goroutine it would end the process
				a.err = fmt.Errorf("the store panicked: %T", v)
			}
			done <- a
		}()
		a.value, a.err = f(ctx)
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-done: // which cancelled the context itself
		return a.value, a.err
	default:
		var none T
		return none, ctx.Err()
	}
}
