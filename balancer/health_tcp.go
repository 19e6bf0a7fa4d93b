package balancer

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
)

// dial passes an endpoint that takes a connection. A client's certificate may still be
// refused afterwards: in TLS 1.3 the client's handshake ends before the server's.
func (k *checker) dial(ctx context.Context, e *Endpoint) error {
	conn, err := k.connect(ctx, e)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

func (k *checker) connect(ctx context.Context, e *Endpoint) (net.Conn, error) {
	dialer := &net.Dialer{}
	addr := dialAddress(e.base)
	if e.base.Scheme != "https" {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: k.tls()}).DialContext(ctx, "tcp", addr)
}

// tls is the pool's, with the protocols that it offers: a server may want HTTP/2 only.
func (k *checker) tls() *tls.Config {
	config := &tls.Config{}
	if k.config != nil {
		config = k.config.Clone()
	}
	if config.NextProtos == nil {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	return config
}

// dialAddress is where the server of u listens.
func dialAddress(u *url.URL) string { return net.JoinHostPort(u.Hostname(), portOf(u)) }
