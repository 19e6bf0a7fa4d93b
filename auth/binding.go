package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
)

// thumbprintName is the confirmation method, and the member of a claim cnf, that names a
// certificate by its SHA-256 (RFC 8705 section 3.1).
const thumbprintName = "x5t#S256"

// binding checks certificate-bound access tokens: they are good only over a connection
// whose client has proved to hold the key of the certificate (RFC 8705 section 3).
type binding struct {
	fromProxies bool // what a trusted proxy says of its client's certificate counts, as in Certificate; false: the connection's own only
}

// isBound reports whether there is a cnf to check, be it ever so odd.
func isBound(c claims) bool {
	_, ok := c["cnf"]
	return ok
}

// check reports whether a token with the claims c may be used by the client of r. A token
// without cnf may be used by any. A cnf that asks for anything but a certificate asks for
// a proof that we do not check, so the token is refused (RFC 7800 section 3.1).
//
// It is asked with every request, of remembered tokens too, as the connection may be
// another: for a bound token that is one SHA-256 over a certificate. Its errors are for
// the log; the answer is 401 invalid_token (RFC 8705 section 3).
func (b binding) check(r *http.Request, c claims) error {
	cnf, ok := c["cnf"]
	if !ok {
		return nil
	}
	methods, ok := cnf.(claims)
	wanted, _ := methods[thumbprintName].(string)
	switch {
	case !ok || len(methods) == 0:
		return errors.New("cnf is not an object with members")
	case len(methods) > 1 || wanted == "":
		return errors.New("cnf asks for more, or for something else, than " + thumbprintName)
	}
	got, ok := b.thumbprint(r)
	if !ok {
		return errors.New("bound to a certificate, and the client has shown none")
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(wanted)) != 1 {
		return errors.New("bound to another certificate")
	}
	return nil
}

// thumbprint returns that of the certificate that the client of r has shown, and whether
// it has. It need not be one that anybody has verified: that the client holds its key is
// what counts, and TLS sees to that (RFC 8705 section 2.2 allows self-signed ones).
func (b binding) thumbprint(r *http.Request) (string, bool) {
	if !b.fromProxies {
		return certificateThumbprint(r)
	}
	shown, err := shownCertificate(r, true)
	if err != nil || shown == nil {
		return "", false
	}
	return thumbprint(shown.der), true
}

// certificateThumbprint returns that of the certificate at the other end of r's
// connection, and whether there is one.
func certificateThumbprint(r *http.Request) (string, bool) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", false
	}
	return thumbprint(r.TLS.PeerCertificates[0].Raw), true
}

// thumbprint returns x5t#S256 of a certificate in DER. There is one spelling of it, so to
// compare the text is to compare the hash.
func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
