// Package interop tests balancer and gateway.Proxy against grpc-go, which is a real client and a
// real server of gRPC.
package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatewright/gateway/balancer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is how a pool and a server talk.
type wire struct {
	scheme string
	server credentials.TransportCredentials
	client *tls.Config
}

// wires are the ways in which a pool speaks HTTP/2.
func wires(t *testing.T) map[string]wire {
	certificate, roots := newCertificate(t)
	return map[string]wire{
		"h2c": {scheme: "h2c", server: insecure.NewCredentials()},
		"TLS": {
			scheme: "https",
			server: credentials.NewServerTLSFromCert(&certificate),
			client: &tls.Config{RootCAs: roots},
		},
	}
}

func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// start serves what register registers, and returns the target.
func (w wire) start(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(grpc.Creds(w.server))
	register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-served)
	})
	return w.scheme + "://" + l.Addr().String()
}

func newPool(t *testing.T, c balancer.Config) *balancer.Pool {
	t.Helper()
	p, err := balancer.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// patience is how long a test waits for what must come at once.
const patience = 10 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
