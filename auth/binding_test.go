package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/internal/exchange"
)

// shownBy returns a request whose client, or a proxy's, has shown the certificate.
func shownBy(connection, proxy []byte, trusted bool) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	_, r = exchange.Join(httptest.NewRecorder(), r)
	exchange.From(r.Context()).Trusted = trusted
	if connection != nil {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: connection}}}
	}
	if proxy != nil {
		r.Header.Set(clientCert, ":"+base64.StdEncoding.EncodeToString(proxy)+":")
	}
	return r
}

func TestBoundTokensNeedTheirCertificate(t *testing.T) {
	ann, eve := []byte("ann's certificate"), []byte("eve's")
	bound := func(methods claims) claims { return claims{"sub": "ann", "cnf": methods} }
	right := bound(claims{"x5t#S256": thumbprint(ann)})
	tests := map[string]struct {
		c  claims
		r  *http.Request
		ok bool
	}{
		"not bound":                 {claims{"sub": "ann"}, shownBy(nil, nil, false), true},
		"not bound, no claims":      {nil, shownBy(nil, nil, false), true},
		"not bound, a certificate":  {claims{}, shownBy(eve, nil, false), true},
		"bound":                     {right, shownBy(ann, nil, false), true},
		"no TLS":                    {right, shownBy(nil, nil, false), false},
		"no certificate":            {right, func() *http.Request { r := shownBy(ann, nil, false); r.TLS.PeerCertificates = nil; return r }(), false},
		"another certificate":       {right, shownBy(eve, nil, false), false},
		"proxy's word":              {right, shownBy(nil, ann, false), false},
		"trusted proxy's, unasked":  {right, shownBy(nil, ann, true), false},
		"null":                      {claims{"cnf": nil}, shownBy(ann, nil, false), false},
		"a string":                  {claims{"cnf": thumbprint(ann)}, shownBy(ann, nil, false), false},
		"a list":                    {claims{"cnf": []any{thumbprint(ann)}}, shownBy(ann, nil, false), false},
		"empty":                     {bound(claims{}), shownBy(ann, nil, false), false},
		"of no method":              {claims{"cnf": claims(nil)}, shownBy(ann, nil, false), false},
		"to a key":                  {bound(claims{"jkt": "x"}), shownBy(ann, nil, false), false},
		"to a key as well":          {bound(claims{"x5t#S256": thumbprint(ann), "jkt": "x"}), shownBy(ann, nil, false), false},
		"in another case":           {bound(claims{"X5T#S256": thumbprint(ann)}), shownBy(ann, nil, false), false},
		"empty thumbprint":          {bound(claims{"x5t#S256": ""}), shownBy(ann, nil, false), false},
		"thumbprint of a type":      {bound(claims{"x5t#S256": []any{thumbprint(ann)}}), shownBy(ann, nil, false), false},
		"a prefix":                  {bound(claims{"x5t#S256": thumbprint(ann)[:20]}), shownBy(ann, nil, false), false},
		"padded":                    {bound(claims{"x5t#S256": thumbprint(ann) + "="}), shownBy(ann, nil, false), false},
		"the certificate in base64": {bound(claims{"x5t#S256": base64.RawURLEncoding.EncodeToString(ann)}), shownBy(ann, nil, false), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := binding{}.check(test.r, test.c)
			assert.Equal(t, test.ok, err == nil, err)
			if err != nil {
				assert.NotContains(t, err.Error(), thumbprint(ann)[:8])
			}
		})
	}
}

func TestBoundTokensBehindProxiesAreTheClients(t *testing.T) {
	ann, proxy := []byte("ann's certificate"), []byte("the proxy's own")
	annsToken := claims{"cnf": claims{"x5t#S256": thumbprint(ann)}}
	proxysToken := claims{"cnf": claims{"x5t#S256": thumbprint(proxy)}}
	b := binding{fromProxies: true}
	assert.NoError(t, b.check(shownBy(proxy, ann, true), annsToken))
	assert.Error(t, b.check(shownBy(proxy, ann, true), proxysToken))
	assert.Error(t, b.check(shownBy(proxy, nil, true), proxysToken), "the proxy's clients do not hold its key")
	assert.NoError(t, b.check(shownBy(ann, nil, false), annsToken), "not every client comes through a proxy")
	assert.Error(t, b.check(shownBy(nil, ann, false), annsToken), "anybody can write that")
	twice := shownBy(nil, ann, true)
	twice.Header[clientCert] = append(twice.Header[clientCert], twice.Header.Get(clientCert))
	assert.Error(t, b.check(twice, annsToken))
	broken := shownBy(nil, nil, true)
	broken.Header.Set(clientCert, strings.Repeat(":", 3))
	assert.Error(t, b.check(broken, annsToken))
}

func TestThumbprintIsThatOfRFC8705(t *testing.T) {
	block, _ := pem.Decode([]byte(somebody))
	sum := sha256.Sum256(block.Bytes)
	got, ok := certificateThumbprint(shownBy(block.Bytes, nil, false))
	require.True(t, ok)
	assert.Equal(t, strings.TrimRight(base64.URLEncoding.EncodeToString(sum[:]), "="), got)
	_, ok = certificateThumbprint(shownBy(nil, nil, false))
	assert.False(t, ok)
}
