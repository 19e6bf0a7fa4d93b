package auth_test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/gatewright/gateway/auth"
)

func ExampleCertificate() {
	h := auth.Require(auth.Certificate{
		SPIFFE: []string{"spiffe://shop.test/ns/*/sa/orders"},
		DNS:    []string{"*.partners.test"},
	})(whoami)

	r := httptest.NewRequest(http.MethodGet, "https://shop.test/", nil)
	show(h, r)
	for _, id := range []string{"spiffe://shop.test/ns/prod/sa/orders", "spiffe://shop.test/ns/prod/sa/users"} {
		u, _ := url.Parse(id)
		leaf := &x509.Certificate{
			Raw: []byte(id), URIs: []*url.URL{u}, SerialNumber: shopCA.SerialNumber, NotAfter: shopCA.NotAfter,
		}
		// As net/http's server does, with ClientCAs and VerifyClientCertIfGiven.
		r.TLS.PeerCertificates = []*x509.Certificate{leaf}
		r.TLS.VerifiedChains = [][]*x509.Certificate{{leaf, shopCA.Certificate}}
		show(h, r)
	}
	// Output:
	// 401 Certificate realm="gateway"
	// 200 spiffe://shop.test/ns/prod/sa/orders may write: false
	// 403
}
