package balancer

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Limits of a pool's own transport.
const (
	connectTimeout    = 3 * time.Second
	tlsTimeout        = 5 * time.Second // connecting and shaking hands together
	headerTimeout     = 30 * time.Second
	idleTimeout       = time.Minute
	maxIdle           = 256 // per endpoint: the default of 2 would close nearly every connection after use
	maxResponseHeader = 256 << 10
)

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DialTLSContext:         dialTLS,
		DisableCompression:     true, // or it would inflate what the client could have had as it is
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		Protocols:              protocols,
	}
}

// dialTLS makes every failure up to the end of the handshake recognisable as one of
// dialing. From net/http a server that hangs up in the handshake is a bare io.EOF,
// the same as one that hangs up after the request.
func dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: tlsTimeout}}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil && !isDial(err) {
		err = &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return conn, err
}
