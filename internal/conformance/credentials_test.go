package conformance_test

import (
	"crypto"
	"crypto/ed25519"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/conformance"
	"github.com/gatewright/gateway/internal/exchange"
)

// tokenServer answers every token request with a token.
type tokenServer struct{}

func (tokenServer) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"access_token":"t","token_type":"Bearer","expires_in":3600}`)),
	}, nil
}

// asAnn sends requests as those of a caller who came by a bearer token.
type asAnn struct{ http.RoundTripper }

func (a asAnn) RoundTrip(r *http.Request) (*http.Response, error) {
	return a.RoundTripper.RoundTrip(r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: ann, Token: "opaque"})))
}

var ann = &auth.Principal{Subject: "ann"}

// credentials are the transports of package auth, over another.
func credentials(t *testing.T) map[string]func(http.RoundTripper) http.RoundTripper {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Issuer: "gw", Keys: []crypto.Signer{key}})
	require.NoError(t, err)
	return map[string]func(http.RoundTripper) http.RoundTripper{
		"client credentials": func(b http.RoundTripper) http.RoundTripper {
			return &auth.ClientCredentials{Base: b, TokenURL: "https://id.test/token", ClientID: "gw", ClientSecret: "s", Transport: tokenServer{}}
		},
		"token exchange": func(b http.RoundTripper) http.RoundTripper {
			return &auth.TokenExchange{Base: b, TokenURL: "https://id.test/token", ClientID: "gw", ClientSecret: "s", Transport: tokenServer{}}
		},
		"relay": func(b http.RoundTripper) http.RoundTripper { return &auth.Relay{Base: b} },
		"static": func(b http.RoundTripper) http.RoundTripper {
			return &auth.Static{Base: b, Set: map[string]auth.Secret{"X-Key": "k"}}
		},
		"password": func(b http.RoundTripper) http.RoundTripper { return &auth.Password{Base: b, User: "u", Password: "p"} },
		"claim headers": func(b http.RoundTripper) http.RoundTripper {
			return &auth.ClaimHeaders{Base: b, Headers: map[string]string{"X-User": "sub"}}
		},
		"issuer": func(b http.RoundTripper) http.RoundTripper { return issuer.Transport(b, "orders") },
	}
}

func TestCredentials(t *testing.T) {
	for kind, wrap := range credentials(t) {
		for name, base := range bases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				conformance.RoundTripper(t, func(t *testing.T, backend http.Handler) http.RoundTripper {
					return asAnn{wrap(newPool(t, backend, base))}
				}, over(name))
			})
		}
	}
}

// What a proxy hands on passes through the transport with all that comes beside it:
// trailers, upgrades, and interim responses, once each.
func TestForwardersWithCredentials(t *testing.T) {
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			conformance.Forwarder(t, func(t *testing.T, backend http.Handler) http.Handler {
				transport := http.RoundTripper(newPool(t, backend, base))
				for _, wrap := range credentials(t) {
					transport = wrap(transport)
				}
				proxy := gateway.Proxy(transport)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					x, r := exchange.Join(w, r)
					x.Principal, x.Token = ann, "opaque"
					proxy.ServeHTTP(x, r)
				})
			}, through(name))
		})
	}
}
