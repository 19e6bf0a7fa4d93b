package forward

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// requestBody is the client's request body as transports get it. It remembers how
// reading it failed, which transports report as if the upstream had. Methods work on
// nil, which is no body.
type requestBody struct {
	source io.Reader
	http1  bool          // the client speaks it
	from   *http.Request // whose trailers are there when the body has ended
	to     http.Header   // the trailers to fill in then; nil: none

	mu      sync.Mutex
	idle    sync.Cond // reading has become false
	ended   bool      // it was read to its end, or to an error
	closed  bool
	reading bool
	err     error
}

func newRequestBody(r *http.Request) *requestBody {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &requestBody{source: r.Body, http1: r.ProtoMajor == 1}
	b.idle.L = &b.mu
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.source.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading, b.ended = false, err != nil
	b.idle.Broadcast()
	switch {
	case err == io.EOF:
		for name := range b.to {
			b.to[name] = b.from.Trailer[name]
		}
	case err != nil && !b.closed && !errors.Is(err, http.ErrBodyReadAfterClose):
		b.err = err
	}
	return n, err
}

// Close is the transport's. The body itself is the server's to close, and closing it
// here could wait for a client that waits for us: for an answer, or for "100 Continue".
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// answered is called when there is an answer. If it comes before the body's end, the
// server would read on in the body before it sends the answer, and wait for a client
// that may be waiting for that. Such a connection is not used again.
func (b *requestBody) answered(x *exchange.Exchange) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && b.http1 {
		_ = http.NewResponseController(x).EnableFullDuplex()
		x.Header()["Connection"] = []string{"close"}
	}
}

// failed returns how reading the body failed, or nil.
func (b *requestBody) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// leave is called when the answer is out. A transport that still waits for the client's
// next byte must have ended that before the server goes on with the connection.
func (b *requestBody) leave(x *exchange.Exchange) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if !b.reading || http.NewResponseController(x).SetReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
	// It may read from something else than the connection, which no deadline ends.
	given := false
	limit := time.AfterFunc(leaveTimeout, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		given = true
		b.idle.Broadcast()
	})
	defer limit.Stop()
	for b.reading && !given {
		b.idle.Wait()
	}
}

const leaveTimeout = time.Second
