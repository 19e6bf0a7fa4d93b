package balancer

import (
	"io"
	"net/http"
	"sync"
)

// maxReplay is how much of a request's body is kept for another attempt.
const maxReplay = 64 << 10

// source is a request's body, which several attempts may read in turn. What they read is
// kept as they read it, if it may be needed again and for as long as it is not too much.
type source struct {
	from io.ReadCloser
	keep int // bytes that may be kept

	reading sync.Mutex // held while somebody reads from from

	mu     sync.Mutex
	kept   []byte
	read   int64 // bytes read in all
	end    error // what reading ended with; nil: it has not
	failed error // end, if it is a failure that is the client's
	closed bool
	taken  *requestBody // whose it is: that of the newest attempt
}

// requestBody is a request's body as one attempt sees it. Transports close a body also
// when they could not connect; that does not reach the source as long as another attempt
// may want it. Methods work on nil, which is no body.
type requestBody struct {
	source *source
	offset int64
	closed bool // by its transport
	last   bool // there will be no other attempt
}

func newRequestBody(from io.ReadCloser, keep int) *requestBody {
	s := &source{from: from, keep: keep}
	s.taken = &requestBody{source: s}
	return s.taken
}

func (b *requestBody) Read(p []byte) (int, error) {
	s := b.source
	if n, err, done := b.again(p); done {
		return n, err
	}
	s.reading.Lock() // the attempt before may be waiting for the client in there
	defer s.reading.Unlock()
	if n, err, done := b.again(p); done { // what it has read meanwhile is ours too
		return n, err
	}
	n, err := s.from.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep > 0 && s.read == int64(len(s.kept)) {
		if len(s.kept)+n <= s.keep {
			s.kept = append(s.kept, p[:n]...)
		} else {
			s.kept = nil // too much: there will be no other attempt
		}
	}
	s.read += int64(n)
	if err != nil && !s.closed { // if it is closed, closing it is what broke it
		s.end = err
		if err != io.EOF {
			s.failed = err
		}
	}
	if s.taken != b { // the transport should have stopped
		return 0, http.ErrBodyReadAfterClose
	}
	b.offset += int64(n)
	return n, err
}

// again reads what was read before, or says why there is nothing to read.
func (b *requestBody) again(p []byte) (n int, err error, done bool) {
	s := b.source
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.taken != b || b.closed:
		return 0, http.ErrBodyReadAfterClose, true
	case b.offset < s.read && s.read > int64(len(s.kept)):
		return 0, errBodyRead, true // the attempt before has read on past what is kept
	case b.offset < s.read:
		n = copy(p, s.kept[b.offset:])
		b.offset += int64(n)
		return n, nil, true
	case s.end != nil:
		return 0, s.end, true
	}
	return 0, nil, false
}

// broken returns the error of reading the source: the client's fault and nobody
// else's, but transports report it as if it were theirs.
func (b *requestBody) broken() error {
	if b == nil {
		return nil
	}
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	return b.source.failed
}

// Close is the transport's.
func (b *requestBody) Close() error {
	b.source.mu.Lock()
	b.closed = true
	return b.closeSource()
}

// release says that there will be no other attempt: the source is closed, now or
// when the transport has done with it.
func (b *requestBody) release() {
	if b == nil {
		return
	}
	b.source.mu.Lock()
	b.last = true
	_ = b.closeSource()
}

// closeSource closes the source if nobody can want it any more, and unlocks it.
func (b *requestBody) closeSource() error {
	s := b.source
	// A source that was begun and not kept is of no use to another attempt.
	spent := s.read > int64(len(s.kept))
	if s.taken != b || !b.closed || s.closed || !b.last && !spent {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	return s.from.Close()
}

// giveUp closes a body that no transport has seen.
func (b *requestBody) giveUp() {
	if b != nil {
		b.release()
		_ = b.Close()
	}
}

// replayable reports whether another attempt can have the body whole.
func (b *requestBody) replayable() bool {
	if b == nil {
		return true
	}
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	return b.source.read == int64(len(b.source.kept)) && !b.source.closed
}

// renew returns the body for another attempt: none if the source has turned out to be
// empty, and otherwise from its beginning, as kept or as get makes it. The transport's
// late reads of b fail.
func (b *requestBody) renew(get func() (io.ReadCloser, error)) (*requestBody, error) {
	if b == nil {
		return nil, nil
	}
	s := b.source
	s.mu.Lock()
	if s.read == 0 && s.end == io.EOF {
		b.last = true
		_ = b.closeSource()
		return nil, nil
	}
	if s.read == int64(len(s.kept)) && !s.closed {
		next := &requestBody{source: s}
		s.taken = next
		s.mu.Unlock()
		return next, nil
	}
	s.mu.Unlock()
	if get == nil {
		return nil, errBodyRead
	}
	b.release()
	from, err := get()
	if err != nil {
		return nil, err
	}
	return newRequestBody(from, 0), nil
}
