package balancer

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// requestBody is a request's body as one attempt sees it. Transports close a body
// also when they could not connect; here that does not reach the source as long as
// another attempt may want it. So nothing has to be buffered.
//
// Methods work on nil, which is no body.
type requestBody struct {
	source io.ReadCloser
	state  atomic.Int32

	mu  sync.Mutex
	err error // of reading the source; nil: none
}

// The states. A body starts unread; all changes go forward.
const (
	bodyUnread   int32 = iota
	bodyLeft           // closed by the transport, unread: the source is still open
	bodyRead           // the transport's alone: it has begun to read, or there will be no other attempt
	bodyEmpty          // was at its end when first read
	bodyClosed         // the source is closed
	bodyHandedOn       // the source belongs to another attempt
)

func (b *requestBody) Read(p []byte) (int, error) {
	first := b.state.CompareAndSwap(bodyUnread, bodyRead)
	switch b.state.Load() {
	case bodyLeft, bodyClosed, bodyHandedOn:
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.source.Read(p)
	switch {
	case err == nil:
	case err != io.EOF:
		b.fail(err)
	case first && n == 0:
		b.state.CompareAndSwap(bodyRead, bodyEmpty)
	}
	return n, err
}

// fail records that the source failed; not if that came from closing it.
func (b *requestBody) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.Load() != bodyClosed {
		b.err = err
	}
}

// failed returns the error of reading the source: the client's fault and nobody
// else's, but transports report it as if it were theirs.
func (b *requestBody) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close is the transport's.
func (b *requestBody) Close() error {
	if b.state.CompareAndSwap(bodyUnread, bodyLeft) {
		return nil
	}
	if b.state.CompareAndSwap(bodyRead, bodyClosed) || b.state.Load() == bodyEmpty {
		return b.source.Close()
	}
	return nil
}

// release says that there will be no other attempt: the source is closed, now or
// when the transport has done with it.
func (b *requestBody) release() {
	if b == nil || b.state.CompareAndSwap(bodyUnread, bodyRead) {
		return
	}
	if b.state.CompareAndSwap(bodyLeft, bodyClosed) {
		b.source.Close()
	}
}

// giveUp closes a body that no transport has seen.
func (b *requestBody) giveUp() {
	if b != nil {
		b.release()
		_ = b.Close()
	}
}

// untouched reports whether the source is as it was.
func (b *requestBody) untouched() bool {
	s := b.state.Load()
	return s == bodyUnread || s == bodyLeft
}

// empty reports whether the source has turned out to hold nothing.
func (b *requestBody) empty() bool { return b.state.Load() == bodyEmpty }

// renew returns the body for another attempt: the same source if it is untouched,
// none if it is empty, or one that get makes. The transport's late reads of b fail.
func (b *requestBody) renew(get func() (io.ReadCloser, error)) (*requestBody, error) {
	switch {
	case b == nil, b.empty():
		return nil, nil
	case b.state.CompareAndSwap(bodyLeft, bodyHandedOn), b.state.CompareAndSwap(bodyUnread, bodyHandedOn):
		return &requestBody{source: b.source}, nil
	case get == nil:
		return nil, errBodyRead
	}
	source, err := get()
	if err != nil {
		return nil, err
	}
	return &requestBody{source: source}, nil
}
