// Package http1 is a client for HTTP/1.1 (RFC 9112) whose exchanges run on the
// caller's goroutine: the request is written and the response read without a hand-off.
// Only a request with a body has a second goroutine, so that an answer that comes
// before the body's end is seen.
//
// It is made for a gateway, so it is strict where two parsers could disagree on where
// a message ends, passes on what a client would keep to itself (interim responses,
// trailers, the path's bytes), and does nothing by itself: no redirects, no cookies, no
// compression, no proxy.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Transport is a [http.RoundTripper]. The zero value works. Its fields must not be
// changed once it is in use. It may be used concurrently.
type Transport struct {
	// Dial makes a connection. Nil is a net.Dialer with DialTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	DialTimeout   time.Duration // for connecting, and again for the TLS handshake; zero: 3 s
	HeaderTimeout time.Duration // from the request's end to the response's header, or up to a quarter more; zero: none
	IdleTimeout   time.Duration // how long an unused connection is kept; zero: 90 s
	Lifetime      time.Duration // how old a connection may be that is used again; zero: any age
	MaxIdle       int           // unused connections kept per address; zero: 256
	MaxConns      int           // connections per address, beyond which requests wait; zero: any number

	// MaxHeaderBytes limits a response's header, its interim responses included, and
	// again its trailers. Zero: 256 KiB.
	MaxHeaderBytes int

	TLS *tls.Config // for https; nil: the zero value. Its NextProtos is not heeded.

	// OfferHTTP2 lets a server for https choose HTTP/2, which is then [ErrHTTP2].
	OfferHTTP2 bool

	mu    sync.Mutex
	hosts map[string]*host
	sweep *time.Timer // nil: nothing is idle
}

// Defaults of a Transport.
const (
	defaultDialTimeout    = 3 * time.Second
	defaultIdleTimeout    = 90 * time.Second
	defaultMaxIdle        = 256
	defaultMaxHeaderBytes = 256 << 10
)

// RoundTrip sends r and returns the response once its header is there. An error that
// came before a connection was made is a *net.OpError with Op "dial". A response that
// does not follow RFC 9112 is a [*ProtocolError], and its connection is not used again.
//
// A request that finds a kept connection closed before any byte of an answer is sent
// again on another, if its method is idempotent and its body, if it has one, was not
// begun.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body := newUpload(r)
	if err := check(r); err != nil {
		body.close()
		return nil, err
	}
	for {
		c, err := t.conn(r.Context(), r.URL, r.Header["Upgrade"] != nil)
		if errors.Is(err, ErrHTTP2) {
			return nil, err
		}
		if err != nil {
			body.close()
			return nil, err
		}
		res, err := c.exchange(r, body)
		if err == nil {
			return res, nil
		}
		if !c.stale(err) || !replayable(r) || !body.rewind() {
			body.close()
			return nil, err
		}
	}
}

// ErrHTTP2 is for whoever allowed it: the server chose HTTP/2. Nothing was sent, and the
// request's body is as it was and still open.
var ErrHTTP2 = errors.New("http1: the server chose HTTP/2")

// replayable reports whether sending r twice is as good as sending it once (RFC 9110
// section 9.2.2).
func replayable(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	var idle []*conn
	for _, h := range t.hosts {
		idle = append(idle, h.idle...)
		h.idle = nil
	}
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.discard()
	}
}

var errScheme = errors.New("http1: the URL is not one of http or https with a host")

// address returns the host and port that u is at.
func address(u *url.URL) (addr string, secure bool, err error) {
	switch {
	case u.Host == "":
		return "", false, errScheme
	case u.Scheme == "http":
		return withPort(u, "80"), false, nil
	case u.Scheme == "https":
		return withPort(u, "443"), true, nil
	}
	return "", false, errScheme
}

func withPort(u *url.URL, port string) string {
	// Nearly every URL has its port; taking it apart and together again would allocate.
	if i := strings.LastIndexByte(u.Host, ':'); i >= 0 && i+1 < len(u.Host) && u.Host[len(u.Host)-1] != ']' {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dial makes a connection to addr, with TLS if it is secure. Whatever fails here has
// Op "dial": nothing of a request was sent.
func (t *Transport) dial(ctx context.Context, addr string, secure, offer bool) (net.Conn, *lookahead, error) {
	limit := t.DialTimeout
	if limit == 0 {
		limit = defaultDialTimeout
	}
	dialing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(dialing, "tcp", addr)
	if err != nil {
		return nil, nil, dialError(ctx, addr, err)
	}
	ahead := newLookahead(nc)
	if !secure {
		return nc, ahead, nil
	}
	under := nc
	if ahead != nil {
		under = ahead
	}
	shaking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client := tls.Client(under, t.tlsConfig(addr, offer))
	if err := client.HandshakeContext(shaking); err != nil {
		nc.Close()
		return nil, nil, dialError(ctx, addr, fmt.Errorf("TLS handshake: %w", err))
	}
	if client.ConnectionState().NegotiatedProtocol == "h2" {
		nc.Close()
		return nil, nil, ErrHTTP2
	}
	return client, ahead, nil
}

func dialError(ctx context.Context, addr string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return err
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: %w", addr, err)}
}

func (t *Transport) tlsConfig(addr string, offer bool) *tls.Config {
	config := &tls.Config{}
	if t.TLS != nil {
		config = t.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	config.NextProtos = []string{"http/1.1"}
	if offer {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	return config
}
