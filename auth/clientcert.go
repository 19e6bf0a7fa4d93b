package auth

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/dunglas/httpsfv"

	"github.com/gatewright/gateway/internal/exchange"
)

// Where a proxy says what certificate its client has shown (RFC 9440 section 2).
const (
	clientCert      = "Client-Cert"
	clientCertChain = "Client-Cert-Chain"
)

const (
	maxCertificate = 16 << 10 // bytes of DER: more than any real one has
	maxChain       = 10       // certificates besides the client's own
	maxRSA         = 8192     // bits, as crypto/tls: verifying with larger keys is work worth attacking
)

var errTwice = errors.New("more than one Client-Cert")

// shown is the certificate that a client has shown, to us or to a proxy.
type shown struct {
	der      []byte
	parsed   *x509.Certificate   // nil: see leaf
	chain    []*x509.Certificate // those of a connection that came with it, or
	lines    []string            // those of a proxy, as it sent them
	verified [][]*x509.Certificate
	proxied  bool // a proxy says so, which has verified it
}

// shownCertificate returns what the client of r has shown, or nil for nothing. Behind a
// trusted proxy it is what that says of its client and nothing else, if proxies are asked:
// the connection's own certificate is the proxy's then, and would make everybody the proxy.
func shownCertificate(r *http.Request, proxies bool) (*shown, error) {
	if s := exchange.From(r.Context()); proxies && s != nil && s.Trusted {
		return fieldCertificate(r.Header)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	peer := r.TLS.PeerCertificates
	return &shown{der: peer[0].Raw, parsed: peer[0], chain: peer[1:], verified: r.TLS.VerifiedChains}, nil
}

func fieldCertificate(h http.Header) (*shown, error) {
	lines := h[clientCert]
	switch len(lines) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, errTwice
	}
	der, err := byteSequence(lines[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clientCert, err)
	}
	return &shown{der: der, lines: h[clientCertChain], proxied: true}, nil
}

// byteSequence returns the value of an item that is one (RFC 9651 section 3.3.5). The
// parser's errors are not passed on, as they may quote.
func byteSequence(line string) ([]byte, error) {
	if len(line) > base64.StdEncoding.EncodedLen(maxCertificate)+2 {
		return nil, fmt.Errorf("longer than %d bytes", maxCertificate)
	}
	item, err := httpsfv.UnmarshalItem([]string{line})
	if err != nil {
		return nil, errors.New("not a structured field")
	}
	return bytesOf(item)
}

func bytesOf(member any) ([]byte, error) {
	item, _ := member.(httpsfv.Item)
	der, ok := item.Value.([]byte)
	switch {
	case !ok || len(der) == 0:
		return nil, errors.New("not a byte sequence, or an empty one")
	case len(der) > maxCertificate:
		return nil, fmt.Errorf("longer than %d bytes", maxCertificate)
	}
	return der, nil
}

// leaf returns the certificate itself.
func (s *shown) leaf() (*x509.Certificate, error) {
	if s.parsed != nil {
		return s.parsed, nil
	}
	return parseCertificate(s.der)
}

// intermediates returns the certificates that came with it, which prove nothing by
// themselves.
func (s *shown) intermediates() (*x509.CertPool, error) {
	chain := s.chain
	if s.proxied {
		var err error
		if chain, err = parseChain(s.lines); err != nil {
			return nil, fmt.Errorf("%s: %w", clientCertChain, err)
		}
	}
	if len(chain) > maxChain {
		return nil, fmt.Errorf("a chain of more than %d certificates", maxChain)
	}
	pool := x509.NewCertPool()
	for _, c := range chain {
		pool.AddCert(c)
	}
	return pool, nil
}

func parseChain(lines []string) ([]*x509.Certificate, error) {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size > maxChain*base64.StdEncoding.EncodedLen(maxCertificate) {
		return nil, errors.New("too long")
	}
	list, err := httpsfv.UnmarshalList(lines)
	switch {
	case err != nil:
		return nil, errors.New("not a structured field")
	case len(list) > maxChain:
		return nil, fmt.Errorf("more than %d certificates", maxChain)
	}
	chain := make([]*x509.Certificate, len(list))
	for i, member := range list {
		der, err := bytesOf(member)
		if err != nil {
			return nil, err
		}
		if chain[i], err = parseCertificate(der); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("not a certificate")
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
		return nil, fmt.Errorf("RSA key of more than %d bits", maxRSA)
	}
	return c, nil
}
