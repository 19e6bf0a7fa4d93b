package auth

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// somebody is a certificate of no importance, valid in DER.
const somebody = `-----BEGIN CERTIFICATE-----
MIIB0TCCAXegAwIBAgIUO4VVBeiv+JjLxVYVeCFuAIBk8MYwCgYIKoZIzj0EAwIw
HTENMAsGA1UECgwEU2hvcDEMMAoGA1UEAwwDYW5uMB4XDTI2MTEyNjAxMzIwM1oX
DTM2MTEyMzAxMzIwM1owHTENMAsGA1UECgwEU2hvcDEMMAoGA1UEAwwDYW5uMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExFrQzLCDNI3EuWN7mExM70AFu5OFSgN2
gUA2AqNeBlKEtnTR1LhG3vL77xN8sGWz/TCX5Fy1OTRucOcawUtWp6OBlDCBkTAd
BgNVHQ4EFgQUP9bUmPHu+rI594QKoSSKCvzU9rYwHwYDVR0jBBgwFoAUP9bUmPHu
+rI594QKoSSKCvzU9rYwDwYDVR0TAQH/BAUwAwEB/zA+BgNVHREENzA1hhZzcGlm
ZmU6Ly9zaG9wLnRlc3QvYW5uggZhLnRlc3SBDWFubkBzaG9wLnRlc3SHBMAAAgEw
CgYIKoZIzj0EAwIDSAAwRQIgeC14NdY7ujwighLkq5q23oSyHHsM773mY8UsL4vA
OjkCIQDORt1YRAPSLl04hnishrcTZVPt+6VCvLnVlIt2q9Yofw==
-----END CERTIFICATE-----`

func FuzzClientCert(f *testing.F) {
	block, _ := pem.Decode([]byte(somebody))
	field := ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
	f.Add(field, field+", "+field)
	f.Add(field+";a=1", "")
	f.Add("::", "(:YQ==:)")
	f.Add(":YQ==:", `"a", 1;b, ?0`)
	f.Fuzz(func(t *testing.T, line, chain string) {
		s, err := fieldCertificate(http.Header{clientCert: {line}, clientCertChain: {chain}})
		if err != nil {
			assert.Nil(t, s)
			return
		}
		assert.NotEmpty(t, s.der)
		assert.LessOrEqual(t, len(s.der), maxCertificate)
		if c, err := s.leaf(); err == nil {
			assert.Equal(t, s.der, c.Raw, "what was hashed is what was read")
			_ = certificateClaims(c)
			_, _ = certRules{}.admit(namesOf(c))
		}
		if pool, err := s.intermediates(); err == nil {
			assert.IsType(t, &x509.CertPool{}, pool)
		}
	})
}
