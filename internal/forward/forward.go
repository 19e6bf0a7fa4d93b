// Package forward passes a request on to a [http.RoundTripper] and its response
// back: the work of a reverse proxy, with nothing in it that decides where to.
package forward

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gatewright/gateway/internal/exchange"
)

// Forwarder is the [http.Handler] behind gateway.Proxy.
type Forwarder struct {
	Transport http.RoundTripper
	Edits     []func(*http.Request) // applied in order to the outgoing request, last thing before it is sent

	// Fail answers for a request that could not be forwarded. Once the header is
	// out it must abort the response and not end it.
	Fail func(http.ResponseWriter, *http.Request, error)
}

// A BodyError is a failure to read the client's request body. It is the client
// that broke off, was too slow or sent too much, not the upstream.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read request body: " + e.Err.Error() }

// Unwrap returns the reader's error.
func (e *BodyError) Unwrap() error { return e.Err }

// A CopyError is a failure after the response header was received: Upstream says
// whether it was the upstream that broke off, or else the client.
type CopyError struct {
	Upstream bool
	Err      error
}

func (e *CopyError) Error() string {
	if e.Upstream {
		return "read response body: " + e.Err.Error()
	}
	return "write response body: " + e.Err.Error()
}

// Unwrap returns the error of the side that broke off.
func (e *CopyError) Unwrap() error { return e.Err }

func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	o := &outbound{}
	o.interim.Begin(x, r)
	ctx := r.Context()
	_, acquainted := f.Transport.(interface{ KnowsState() })
	if !acquainted {
		ctx = exchange.Trace(ctx)
	}
	out := o.aim(ctx, r)
	if acquainted {
		x.Given = out
	}
	for _, edit := range f.Edits {
		edit(out)
	}
	defer o.body.leave(x)
	err := f.forward(x, out, o)
	if broken := o.body.failed(); broken != nil && (err != nil || x.Status() == 0) {
		// Transports report it as the upstream's failure, or there is an answer: to a
		// request that the client did not make.
		err = &BodyError{broken}
	}
	if err != nil {
		f.Fail(x, r, err)
	}
}

// forward sends out and answers with what comes back. It returns an error for what
// is yet to be answered.
func (f *Forwarder) forward(x *exchange.Exchange, out *http.Request, o *outbound) error {
	res, err := f.Transport.RoundTrip(out)
	o.interim.End()
	o.body.answered(x)
	if err != nil {
		return err
	}
	if o.body.failed() != nil {
		return res.Body.Close()
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return upgrade(x, out, res)
	}
	return Respond(x, res)
}

// Respond writes res to w and closes its body. What the upstream sends in pieces
// is passed on in pieces. The error, if any, is a [*CopyError]: by then the header
// is out, and the caller must abort the response.
func Respond(w http.ResponseWriter, res *http.Response) error {
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 999 {
		return fmt.Errorf("status %d is not a final one", res.StatusCode)
	}
	h := w.Header()
	copyHeader(h, res.Header)
	for name := range res.Trailer {
		h.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)

	rc := http.NewResponseController(w)
	live := flushes(res)
	if live || waits(res.Body, res.ContentLength, false) {
		// A stream's reader waits for the header before there is any event.
		if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return &CopyError{Err: err}
		}
	}
	if err := copyBody(w, res, rc, live); err != nil {
		return err
	}
	copyTrailer(h, res)
	return nil
}

// flushes reports whether res has to be passed on as it comes: its end cannot be
// foreseen, or its reader waits for events. A gRPC answer that is all trailers must
// keep them in one frame.
func flushes(res *http.Response) bool {
	if res.ContentLength < 0 {
		return res.Header.Get("Grpc-Status") == ""
	}
	return strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
}

// waits reports whether the next Read of a body, of which left bytes are to come, is
// likely to wait. What was written so far then must not wait with it. Of a body that
// cannot tell, what it yields in parts comes in parts.
func waits(body io.Reader, left int64, begun bool) bool {
	if left <= 0 {
		return false
	}
	if b, ok := body.(interface{ Buffered() int }); ok {
		return b.Buffered() == 0
	}
	return begun
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func copyBody(w io.Writer, res *http.Response, rc *http.ResponseController, live bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	left := res.ContentLength
	for {
		n, readErr := res.Body.Read(*buf)
		left -= int64(n)
		if n > 0 {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return &CopyError{Err: err}
			}
			if readErr == nil && (live || waits(res.Body, left, true)) {
				if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
					return &CopyError{Err: err}
				}
			}
		}
		switch {
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return &CopyError{Upstream: true, Err: readErr}
		}
	}
}

// copyTrailer sends the trailers, those that res announced and those it did not.
func copyTrailer(h http.Header, res *http.Response) {
	if len(res.Trailer) == 0 {
		return
	}
	announced := map[string]bool{}
	for _, name := range h.Values("Trailer") {
		announced[http.CanonicalHeaderKey(name)] = true
	}
	for name, values := range res.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}
