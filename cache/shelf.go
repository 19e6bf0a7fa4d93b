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
// a miss. Each call gets a goroutine, which ends with the call, but for a store that is
// objects too, which never waits.
type shelf struct {
	store   Cache
	objects objects // store, if it is one; nil: it is not
	limit   time.Duration
	calls   atomic.Int64
}

// objects is a store in this process, which keeps what it is given without encoding it.
type objects interface {
	getObject(key string) (any, bool)
	setObject(key string, v any, size int64, ttl time.Duration)
	setRecord(key string, v any, size int64, ttl time.Duration) // which is not refused for being new
}

// find returns what is under key: an entry, or an index, or neither.
func (s *shelf) find(ctx context.Context, key string) (*entry, *index) {
	if s.objects != nil {
		v, _ := s.objects.getObject(key)
		switch v := v.(type) {
		case *entry:
			return v, nil
		case *index:
			return nil, v
		}
		return nil, nil
	}
	record := s.get(ctx, key)
	if record == nil {
		return nil, nil
	}
	if e, ok := decodeEntry(record, key); ok {
		return e, nil
	}
	x, _ := decodeIndex(record, key)
	return nil, x
}

func (s *shelf) setEntry(ctx context.Context, e *entry, ttl time.Duration) {
	if s.objects != nil {
		s.objects.setObject(e.key, e, e.size(), ttl)
		return
	}
	s.set(ctx, e.key, e.encode(), ttl)
}

func (s *shelf) setIndex(ctx context.Context, x *index, ttl time.Duration) {
	if s.objects != nil {
		s.objects.setRecord(x.key, x, x.size(), ttl)
		return
	}
	s.set(ctx, x.key, x.encode(), ttl)
}

func (s *shelf) get(ctx context.Context, key string) []byte {
	return s.call(ctx, func(ctx context.Context) []byte {
		val, ok, err := s.store.Get(ctx, key)
		if err != nil || !ok {
			return nil
		}
		return val
	})
}

func (s *shelf) set(ctx context.Context, key string, val []byte, ttl time.Duration) {
	s.call(ctx, func(ctx context.Context) []byte {
		_ = s.store.Set(ctx, key, val, ttl) // then it will be a miss
		return nil
	})
}

func (s *shelf) delete(ctx context.Context, key string) {
	s.call(ctx, func(ctx context.Context) []byte {
		_ = s.store.Delete(ctx, key) // then it lives until it expires, or until it is known to be purged
		return nil
	})
}

func (s *shelf) call(ctx context.Context, f func(context.Context) []byte) []byte {
	if s.objects != nil {
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
