package forward

import (
	"maps"
	"net/http"
	"sync"

	"github.com/gatewright/gateway/internal/exchange"
)

// Interim passes 1xx responses on. With some transports they arrive on another
// goroutine, which may still be running when RoundTrip has returned.
type Interim struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	ended bool
}

// Begin has the interim responses to r passed on to x, until End.
func (i *Interim) Begin(x *exchange.Exchange, r *http.Request) {
	x.Interim = nil
	if r.ProtoMajor == 1 && r.ProtoMinor >= 1 {
		// Not for HTTP/1.0, which has none (RFC 9110 section 15.2), and not for HTTP/2,
		// whose server goes on reading the header that it was given.
		i.w = x
		x.Interim = i.pass
	}
}

func (i *Interim) pass(status int, h http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// 100 is the server's own to send, when the handler first reads the body.
	if i.ended || status == http.StatusContinue {
		return
	}
	kept := i.w.Header()
	before := kept.Clone()
	copyHeader(kept, h)
	i.w.WriteHeader(status)
	clear(kept)
	maps.Copy(kept, before)
}

// End is called when there is a final response, or none will come.
func (i *Interim) End() {
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
}
