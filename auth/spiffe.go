package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

const (
	spiffeScheme = "spiffe://"
	maxSPIFFE    = 2048 // bytes of an ID (SPIFFE-ID section 2.3)
	maxTrust     = 255  // bytes of a trust domain (section 2.3)
)

// spiffePattern is an ID of which a segment may be "*", which is any one segment, and the
// last may be "...", which is one or more.
type spiffePattern struct {
	domain   string
	segments []string
	open     bool // "..." follows
}

func newSPIFFEPattern(text string) (spiffePattern, error) {
	domain, segments, ok := splitSPIFFE(text)
	p := spiffePattern{domain: domain, segments: segments}
	if n := len(segments); n > 0 && segments[n-1] == "..." {
		p.segments, p.open = segments[:n-1], true
	}
	if !ok || !isTrustDomain(domain) || len(segments) == 0 {
		return p, fmt.Errorf("SPIFFE pattern %q: want spiffe://, a trust domain and a path", text)
	}
	for _, s := range p.segments {
		if s != "*" && (s == "..." || !isSPIFFESegment(s)) {
			return p, fmt.Errorf("SPIFFE pattern %q: %q is not a segment, * for any one, or ... at the end for any", text, s)
		}
	}
	return p, nil
}

// matches expects an ID that is valid.
func (p spiffePattern) matches(id string) bool {
	domain, segments, _ := splitSPIFFE(id)
	n := len(p.segments)
	if domain != p.domain || len(segments) < n || p.open != (len(segments) > n) {
		return false
	}
	for i, s := range p.segments {
		if s != "*" && s != segments[i] {
			return false
		}
	}
	return true
}

// splitSPIFFE cuts what may be an ID into its trust domain and the segments of its path.
func splitSPIFFE(id string) (domain string, segments []string, ok bool) {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok || len(id) > maxSPIFFE {
		return "", nil, false
	}
	domain, path, found := strings.Cut(rest, "/")
	if found {
		segments = strings.Split(path, "/")
	}
	return domain, segments, true
}

func isTrustDomain(s string) bool {
	return s != "" && len(s) <= maxTrust && strings.ToLower(s) == s && hasNameBytes(s)
}

// isSPIFFESegment is strict: no escapes and no dot segments, so that there is one spelling
// of an ID (SPIFFE-ID section 2.2).
func isSPIFFESegment(s string) bool {
	return s != "" && s != "." && s != ".." && hasNameBytes(s)
}

func hasNameBytes(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// isSPIFFE reports whether s is an ID of somebody: with a path, unlike that of a trust
// domain, which is its authority's own (X509-SVID section 2).
func isSPIFFE(s string) bool {
	domain, segments, ok := splitSPIFFE(s)
	if !ok || !isTrustDomain(domain) || len(segments) == 0 {
		return false
	}
	for _, segment := range segments {
		if !isSPIFFESegment(segment) {
			return false
		}
	}
	return true
}

// spiffeID returns the ID of a certificate, or why it has none (X509-SVID sections 2 and
// 4): a second URI, or a key that may sign other certificates, makes it nobody's.
func spiffeID(c *x509.Certificate) (string, error) {
	if len(c.URIs) != 1 {
		return "", errors.New("not exactly one URI")
	}
	id := c.URIs[0].String() // with its user, query and fragment, if it has any
	switch {
	case !isSPIFFE(id):
		return "", errors.New("the URI is not a SPIFFE ID")
	case c.IsCA || c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "", errors.New("an authority's certificate")
	}
	return id, nil
}
