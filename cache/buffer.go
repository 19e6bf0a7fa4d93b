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

func newBuffer(limit int64) *buffer {
	return &buffer{limit: int(limit), changed: make(chan struct{}), readers: make(map[*reading]struct{})}
}

// expect makes room for a body whose length was declared; -1: it was not.
func (b *buffer) expect(length int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if length > 0 {
		b.data = make([]byte, 0, length)
	}
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
	// At least half at a time, or each read of a little would have all the rest moved.
	if n := int(least - b.dropped); n > 0 && n >= len(b.data)/2 {
		b.data = b.data[:copy(b.data, b.data[n:])]
		b.dropped = least
	}
}

// whole returns all of the body, and whether it was within the limit. What was set aside
// for more is given back, as what is stored counts by its length.
func (b *buffer) whole() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over != nil && cap(b.data)-len(b.data) > len(b.data)/32 {
		b.data = append(make([]byte, 0, len(b.data)), b.data...)
	}
	return b.data[:len(b.data):len(b.data)], b.over != nil
}

// received returns how many bytes have arrived.
func (b *buffer) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped + int64(len(b.data))
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
	trailer http.Header // of the response it is the body of: gets the values at the end; nil: nobody asks
	left    func()      // called once it is closed
	offset  int64
	closed  bool
}

// reader returns one more; ctx ends its waiting. Until it is closed nothing is dropped that
// it has not read, so it is made before there is anything.
func (b *buffer) reader(ctx context.Context, left func()) *reading {
	r := &reading{buffer: b, ctx: ctx, left: left}
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
	return int(r.buffer.received() - r.offset)
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
