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
	from   *http.Request // whose trailers are there when the body has ended
	to     http.Header   // the trailers to fill in then; nil: none

	mu      sync.Mutex
	closed  bool
	reading bool
	err     error
}

func newRequestBody(r *http.Request) *requestBody {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &requestBody{source: r.Body}
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
	b.reading = false
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

// failed returns how reading the body failed, or nil.
func (b *requestBody) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// leave is called when the answer is out. A transport that is still waiting for the
// client's next byte would keep the server from ending the exchange.
func (b *requestBody) leave(x *exchange.Exchange) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.closed = true
	waiting := b.reading
	b.mu.Unlock()
	if waiting {
		_ = http.NewResponseController(x).SetReadDeadline(time.Unix(1, 0))
	}
}
