package forward

import (
	"context"
	"net/http"
	"net/url"
)

// outbound is all that a request on its way out needs, in one piece.
type outbound struct {
	request http.Request
	url     url.URL
	interim Interim
	body    *requestBody // nil: none
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
