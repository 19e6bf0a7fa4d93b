// Package local runs a [http.Handler] as the backend of a [http.RoundTripper],
// in process, with the streaming and the failures of a real one.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/gatewright/gateway/internal/exchange"
)

// Transport is the [http.RoundTripper] behind gateway.Local.
type Transport struct{ Handler http.Handler }

// RoundTrip serves req by the handler, on a goroutine of its own. It returns when
// the handler has sent the header, filled a first buffer, or returned.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(untraced{exchange.Fork(req.Context())})
	in := incoming(ctx, req)
	w := newWriter(in, httptrace.ContextClientTrace(req.Context()))
	go func() {
		defer in.Body.Close() // the transport's to do, on every path
		defer cancel()
		w.end(run(t.Handler, w, in))
	}()
	// A handler may be waiting in Read for a body that never ends.
	context.AfterFunc(ctx, func() { in.Body.Close() })
	select {
	case <-w.begun:
	case <-req.Context().Done():
		w.begin(context.Cause(req.Context()))
	}
	err := w.failed
	if err == nil {
		err = context.Cause(req.Context()) // a handler that ended because of it has no answer
	}
	if err != nil {
		cancel()
		return nil, err
	}
	res := w.response(req)
	res.Body = &body{ReadCloser: res.Body, cancel: cancel}
	return res, nil
}

// untraced hides the caller's [httptrace.ClientTrace]: it is of this exchange, and
// those that the handler makes in turn would call it too.
type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	if reflect.TypeOf(key).PkgPath() == "net/http/httptrace" {
		return nil
	}
	return c.Context.Value(key)
}

// incoming returns req as a server would have received it. The handler may do as
// it likes with it: nothing is shared with the caller's.
func incoming(ctx context.Context, req *http.Request) *http.Request {
	in := req.Clone(ctx)
	if in.Header == nil {
		in.Header = make(http.Header)
	}
	switch req.Body {
	case nil, http.NoBody:
		in.Body = http.NoBody
	default:
		in.Body = &requestBody{ReadCloser: req.Body, from: req.Trailer, to: in.Trailer}
		if in.ContentLength == 0 {
			in.ContentLength = -1 // how servers say that they do not know it
		}
	}
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Host == "" {
		in.Host = "local"
	}
	in.RequestURI = req.URL.RequestURI()
	in.URL.Scheme, in.URL.Host = "", ""
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	return in
}

// requestBody is the caller's body, closed once. At its end come the trailers' values.
type requestBody struct {
	io.ReadCloser
	from, to http.Header
	once     sync.Once
	err      error
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		maps.Copy(b.to, b.from)
	}
	return n, err
}

func (b *requestBody) Close() error {
	b.once.Do(func() { b.err = b.ReadCloser.Close() })
	return b.err
}

// run serves and turns a panic into an error: it must end this request, not the
// process, whose other requests have nothing to do with it.
func run(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = fmt.Errorf("handler panicked: %v", v)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// body cancels the handler when its reader leaves.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
	closed atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.ReadCloser.Read(p)
}

func (b *body) Close() error {
	b.closed.Store(true)
	b.cancel()
	return b.ReadCloser.Close()
}

var errAbandoned = errors.New("local: the caller has left")
