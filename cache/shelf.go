package cache

import (
	"context"
	"sync/atomic"
	"time"
)

// maxCalls is how many calls of a store may be under way. Those of a store that
// hangs, and ignores its context, stay; they must not become as many as requests.
const maxCalls = 1024

// shelf is a store that answers within a time and never fails: what goes wrong is
// a miss. Each call gets a goroutine, which ends with the call, but for [Memory],
// which never waits.
type shelf struct {
	store Cache
	limit time.Duration
	calls *atomic.Int64
}

func (s shelf) get(ctx context.Context, key string) []byte {
	return s.call(ctx, func(ctx context.Context) []byte {
		val, ok, err := s.store.Get(ctx, key)
		if err != nil || !ok {
			return nil
		}
		return val
	})
}

func (s shelf) set(ctx context.Context, key string, val []byte, ttl time.Duration) {
	s.call(ctx, func(ctx context.Context) []byte {
		_ = s.store.Set(ctx, key, val, ttl) // then it will be a miss
		return nil
	})
}

func (s shelf) delete(ctx context.Context, key string) {
	s.call(ctx, func(ctx context.Context) []byte {
		_ = s.store.Delete(ctx, key) // then it lives until it expires
		return nil
	})
}

func (s shelf) call(ctx context.Context, f func(context.Context) []byte) []byte {
	if _, ok := s.store.(*memory); ok {
		return f(ctx)
	}
	if s.calls.Add(1) > maxCalls {
		s.calls.Add(-1)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	end := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panicked = recover()
			s.calls.Add(-1)
			end <- o
		}()
		o.val = f(ctx)
	}()
	select {
	case o := <-end:
		if o.panicked != nil {
			panic(o.panicked) // where it is one request's, and not the process's
		}
		return o.val
	case <-ctx.Done():
		return nil
	}
}

type outcome struct {
	val      []byte
	panicked any
}
