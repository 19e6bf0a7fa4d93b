package forward

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"sync"

	"github.com/gatewright/gateway/internal/exchange"
)

// outbound is all that a request on its way out needs, in one piece.
type outbound struct {
	request http.Request
	url     url.URL
	interim interim
	body    *requestBody // nil: none
}

// prepare says where interim responses go.
func (o *outbound) prepare(x *exchange.Exchange, r *http.Request) {
	x.Interim = nil
	if r.ProtoMajor == 1 && r.ProtoMinor >= 1 {
		// Not for HTTP/1.0, which has none (RFC 9110 section 15.2), and not for HTTP/2,
		// whose server goes on reading the header that it was given.
		o.interim.w = x
		x.Interim = o.interim.pass
	}
}

// aim returns the request to send: r without what belongs to the client's connection,
// and without a host, which a pool will give it.
func (o *outbound) aim(ctx context.Context, r *http.Request) *http.Request {
	out := &o.request
	if ctx == r.Context() {
		*out = *r
	} else {
		out = r.WithContext(ctx)
	}
	o.url = *r.URL
	o.url.Scheme, o.url.Host, o.url.User, o.url.Opaque = "", "", nil, ""
	out.URL = &o.url
	out.Host, out.RequestURI, out.Close = "", "", false
	out.Form, out.PostForm, out.MultipartForm = nil, nil, nil
	out.Header = requestHeader(r)
	o.body = newRequestBody(r)
	if o.body == nil {
		// A body that is not nil makes a transport send chunks and refuse to retry.
		out.Body, out.ContentLength, out.Trailer = nil, 0, nil
		return out
	}
	out.Trailer = requestTrailer(r)
	o.body.from, o.body.to = r, out.Trailer
	out.Body = o.body
	return out
}

// interim passes 1xx responses on. With some transports they arrive on another
// goroutine, which may still be running when RoundTrip has returned.
type interim struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	ended bool
}

func (i *interim) pass(status int, h http.Header) {
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

func (i *interim) end() {
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
}
