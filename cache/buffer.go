package cache

import (
	"context"
	"io"
	"maps"
	"net/http"
	"sync"
)

// buffer is a body on its way from the origin to those that wait for it, and to the store.
// Each reader gets it from its beginning, as it arrives. Up to a limit it is kept whole;
// a body that turns out longer is passed on, and its origin waits for the slowest reader.
type buffer struct {
	limit int

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when there is more, or room for more
	data    []byte
	dropped int64 // bytes before data that all have read
	err     error // io.EOF: it is complete; nil: there is more to come
	trailer http.Header
	readers map[*reading]struct{}
	over    func() // called once, when it is longer than the limit; nil: it was
}

func newBuffer(limit, expected int64) *buffer {
	b := &buffer{limit: int(limit), changed: make(chan struct{}), readers: make(map[*reading]struct{})}
	if expected > 0 {
		b.data = make([]byte, 0, expected)
	}
	return b
}

func (b *buffer) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// fill reads the body to its end, which it returns; end is then to be called.
func (b *buffer) fill(ctx context.Context, body io.Reader) error {
	chunk := buffers.Get().(*[]byte)
	defer buffers.Put(chunk)
	for {
		n, err := body.Read(*chunk)
		if n > 0 {
			if err := b.write(ctx, (*chunk)[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// write adds p. Beyond the limit it waits for room.
func (b *buffer) write(ctx context.Context, p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.data)+len(p) > b.limit {
		if over := b.over; over != nil {
			b.over = nil
			b.mu.Unlock()
			over() // nobody joins any more
			b.mu.Lock()
			continue
		}
		if b.trim(); len(b.data) == 0 || len(b.data)+len(p) <= b.limit {
			break
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			b.mu.Lock()
			return ctx.Err()
		}
		b.mu.Lock()
	}
	b.data = append(b.data, p...)
	b.wake()
	return nil
}

// trim drops what all have read.
func (b *buffer) trim() {
	least := b.dropped + int64(len(b.data))
	for r := range b.readers {
		least = min(least, r.offset)
	}
	if n := int(least - b.dropped); n > 0 {
		b.data = append(make([]byte, 0, cap(b.data)), b.data[n:]...) // readers may hold the old one
		b.dropped = least
	}
}

// whole returns all of the body, and whether it was within the limit.
func (b *buffer) whole() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data[:len(b.data):len(b.data)], b.over != nil
}

// end tells the readers that there is no more, and why.
func (b *buffer) end(err error, trailer http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.trailer = err, trailer
	b.wake()
}

// reading is one reader of a buffer.
type reading struct {
	buffer  *buffer
	ctx     context.Context
	trailer http.Header // of the response it is the body of: gets the values at the end; nil: it gets none
	left    func()      // called once it is closed
	offset  int64
	closed  bool
}

// reader returns one more; ctx ends its waiting.
func (b *buffer) reader(ctx context.Context, trailer http.Header, left func()) *reading {
	r := &reading{buffer: b, ctx: ctx, trailer: trailer, left: left}
	b.mu.Lock()
	b.readers[r] = struct{}{}
	b.mu.Unlock()
	return r
}

// Read is part of [io.Reader].
func (r *reading) Read(p []byte) (int, error) {
	b := r.buffer
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch rest := b.data[min(r.offset-b.dropped, int64(len(b.data))):]; {
		case r.closed:
			return 0, http.ErrBodyReadAfterClose
		case len(rest) > 0:
			n := copy(p, rest)
			if r.offset += int64(n); b.over == nil {
				b.wake() // there may be room now
			}
			return n, nil
		case b.err != nil:
			if b.err == io.EOF && r.trailer != nil {
				maps.Copy(r.trailer, b.trailer)
			}
			return 0, b.err
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-r.ctx.Done():
		}
		b.mu.Lock()
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// Buffered returns how many bytes can be read at once.
func (r *reading) Buffered() int {
	r.buffer.mu.Lock()
	defer r.buffer.mu.Unlock()
	return int(r.buffer.dropped + int64(len(r.buffer.data)) - r.offset)
}

// Close is part of [io.Closer]: the reader has left.
func (r *reading) Close() error {
	b := r.buffer
	b.mu.Lock()
	if r.closed {
		b.mu.Unlock()
		return nil
	}
	r.closed = true
	delete(b.readers, r)
	b.wake()
	b.mu.Unlock()
	r.left()
	return nil
}
