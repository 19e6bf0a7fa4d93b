package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// empty is the least that net/http can do for an answer of this size.
func empty(setup) (http.Handler, error) {
	length := []string{strconv.Itoa(documentSize)}
	kind := []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = kind, length
		_, _ = w.Write(document) // the client checks what it got
	}), nil
}

// reverseProxy is the standard library's as good as it gets: with a pool of buffers, and
// a transport that keeps its connections. It writes X-Forwarded-*, as gateway.Proxy does.
func reverseProxy(s setup) (http.Handler, error) { return newReverseProxy(s, new(buffers)) }

// poollessReverseProxy is as the documentation shows it: it allocates 32 KiB for each
// response.
func poollessReverseProxy(s setup) (http.Handler, error) { return newReverseProxy(s, nil) }

func newReverseProxy(s setup, pool httputil.BufferPool) (http.Handler, error) {
	target, err := url.Parse(s.Backends[0])
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport:  newTransport(),
		BufferPool: pool,
	}, nil
}

// newTransport returns one that does no more than it has to, and dials no more often.
func newTransport() *http.Transport {
	return &http.Transport{
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
}

// buffers is a httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
