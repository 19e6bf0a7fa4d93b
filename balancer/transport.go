package balancer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/http1"
)

// Limits of a pool's own transport.
const (
	connectTimeout    = 3 * time.Second // and as much again for the TLS handshake
	headerTimeout     = 30 * time.Second
	defaultIdle       = time.Minute
	maxResponseHeader = 256 << 10 // bytes
)

// transport is a pool's own: HTTP/1.1 by our client, and HTTP/2 by net/http's to
// targets whose scheme is h2c, and to https targets that choose it (ALPN).
type transport struct {
	h1 *http1.Transport
	h2 *http.Transport

	speaksH2 sync.Map // by host of https targets
}

func newTransport(config *tls.Config, limits Connections) *transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &transport{
		h1: &http1.Transport{
			DialTimeout:    connectTimeout,
			HeaderTimeout:  headerTimeout,
			IdleTimeout:    cmp.Or(limits.IdleTimeout, defaultIdle),
			Lifetime:       limits.Lifetime,
			MaxIdle:        limits.MaxIdle,
			MaxConns:       limits.Max,
			MaxHeaderBytes: maxResponseHeader,
			TLS:            config,
			OfferHTTP2:     true,
		},
		h2: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			DialTLSContext:         dialHTTP2(config),
			DisableCompression:     true, // or it would inflate what the client could have had as it is
			IdleConnTimeout:        cmp.Or(limits.IdleTimeout, defaultIdle),
			ResponseHeaderTimeout:  headerTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: maxResponseHeader,
			Protocols:              protocols,
		},
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Scheme {
	case "h2c":
		out := r.WithContext(r.Context())
		u := *r.URL
		u.Scheme = "http"
		out.URL = &u
		return t.http2(out)
	case "https":
		if r.Header["Upgrade"] == nil { // which HTTP/2 does not have
			return t.chosen(r)
		}
	}
	return t.h1.RoundTrip(r)
}

// chosen speaks to an https target what that has chosen, and will choose again.
func (t *transport) chosen(r *http.Request) (*http.Response, error) {
	if _, known := t.speaksH2.Load(r.URL.Host); known {
		res, err := t.http2(r)
		if err != nil && isDial(err) {
			t.speaksH2.Delete(r.URL.Host) // it may speak HTTP/1.1 now; whoever tries again finds out
		}
		return res, err
	}
	res, err := t.h1.RoundTrip(r)
	if !errors.Is(err, http1.ErrHTTP2) {
		return res, err
	}
	t.speaksH2.Store(r.URL.Host, true)
	return t.http2(r)
}

func (t *transport) http2(r *http.Request) (*http.Response, error) {
	return t.h2.RoundTrip(r.WithContext(exchange.Trace(r.Context())))
}

func (t *transport) CloseIdleConnections() {
	t.h1.CloseIdleConnections()
	t.h2.CloseIdleConnections()
}

// dialHTTP2 makes every failure up to the end of the handshake recognisable as one of
// dialing. From net/http a server that hangs up in the handshake is a bare io.EOF,
// the same as one that hangs up after the request.
func dialHTTP2(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	offer := &tls.Config{}
	if config != nil {
		offer = config.Clone()
	}
	offer.NextProtos = []string{"h2"}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * connectTimeout}, Config: offer}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err == nil && conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != "h2" {
			conn.Close()
			err = errors.New("the server no longer chooses HTTP/2")
		}
		if err != nil {
			if !isDial(err) {
				err = &net.OpError{Op: "dial", Net: network, Err: err}
			}
			return nil, err
		}
		return conn, nil
	}
}
