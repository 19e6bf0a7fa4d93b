package oidc

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	callTime = 10 * time.Second // of one call of the provider, its body included
	maxBody  = 1 << 20          // bytes of an answer of the provider
)

// newClient returns the client that all calls of the provider go by. It follows no
// redirect: a code or a refresh token is for the endpoint that was named, and no other.
func newClient(base http.RoundTripper) *http.Client {
	if base == nil {
		base = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: callTime,
			IdleConnTimeout:       30 * time.Second,
		}
	}
	return &http.Client{
		Transport:     capped{base},
		Timeout:       callTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// capped is a RoundTripper whose responses are not endless.
type capped struct{ base http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer recovered(&err)
	res, err = c.base.RoundTrip(r)
	if err == nil {
		res.Body = &cappedBody{res.Body, maxBody}
	}
	return res, err
}

// cappedBody fails where it is too long, as its beginning could mean something else.
type cappedBody struct {
	io.ReadCloser
	left int
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
