package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// sending is a transport that is a function.
type sending func(*http.Request) (*http.Response, error)

func (f sending) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replying returns a response that has nothing but this.
func replying(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// backendSeen is a backend that keeps the header of the last request.
type backendSeen struct {
	header, trailer http.Header
	body            string
}

func (b *backendSeen) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		b.body = string(text)
	}
	b.header, b.trailer = r.Header, r.Trailer
	return replying(http.StatusOK, "text/plain", "ok"), nil
}

// asking returns a request on its way to a backend, of p who came by the token.
func asking(ctx context.Context, p *auth.Principal, token string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://backend.test/path", nil)
	if err != nil {
		panic(err)
	}
	if p == nil {
		return r
	}
	return r.WithContext(exchange.With(ctx, &exchange.State{Principal: p, Token: exchange.Secret(token)}))
}

// closes is a body that knows whether it was closed.
type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error { c.closed = true; return nil }

const clientSecret = "wx7-Qk2_topsecret"

// outbounds returns a right transport of each kind, in front of base, with the field that
// it sets for ann.
func outbounds(t *testing.T, base http.RoundTripper) map[string]http.RoundTripper {
	t.Helper()
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Issuer: "gw", Keys: []crypto.Signer{edKey()}})
	require.NoError(t, err)
	tokens := sending(func(*http.Request) (*http.Response, error) {
		return replying(200, "application/json", `{"access_token":"backend-token","token_type":"Bearer","expires_in":3600}`), nil
	})
	const at = "https://id.test/token"
	return map[string]http.RoundTripper{
		"ClientCredentials": &auth.ClientCredentials{Base: base, TokenURL: at, ClientID: "gw", ClientSecret: clientSecret, Transport: tokens},
		"TokenExchange":     &auth.TokenExchange{Base: base, TokenURL: at, ClientID: "gw", ClientSecret: clientSecret, ActorToken: clientSecret, Transport: tokens},
		"Relay":             &auth.Relay{Base: base},
		"Static":            &auth.Static{Base: base, Set: map[string]auth.Secret{"Authorization": clientSecret}},
		"Password":          &auth.Password{Base: base, User: "gw", Password: clientSecret},
		"ClaimHeaders":      &auth.ClaimHeaders{Base: base, Headers: map[string]string{"Authorization": "sub"}},
		"Issuer":            issuer.Transport(base, "backend"),
	}
}

// Incident 4, and the principle behind it: also with "_" for "-", also as a trailer.
func TestOutboundReplacesWhatTheClientSent(t *testing.T) {
	backend := &backendSeen{}
	for name, transport := range outbounds(t, backend) {
		t.Run(name, func(t *testing.T) {
			r := asking(t.Context(), &auth.Principal{Subject: "ann"}, "callers-token")
			r.Header = http.Header{"Authorization": {"forged"}, "authorization": {"forged"}, "AUTHORIZATION": {"forged"}, "X-Other": {"1"}}
			r.Trailer = http.Header{"Authorization": nil, "authorization": nil, "X-Sum": nil}
			r.Body = io.NopCloser(trailing{strings.NewReader("body"), r})
			header := r.Header.Clone()

			res, err := transport.RoundTrip(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Len(t, backend.header["Authorization"], 1)
			assert.NotContains(t, fmt.Sprint(backend.header), "forged")
			assert.Len(t, backend.header, 2)
			assert.Equal(t, "body", backend.body)
			assert.Equal(t, http.Header{"X-Sum": {"42"}}, backend.trailer)
			assert.Equal(t, header, r.Header, "the request is its sender's")
		})
	}
}

// trailing is a client's body, whose end brings the trailers: those it has announced, and
// one it has not.
type trailing struct {
	io.Reader
	of *http.Request
}

func (b trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.of.Trailer["Authorization"], b.of.Trailer["authorization"] = []string{"forged"}, []string{"forged"}
		b.of.Trailer["X-Sum"], b.of.Trailer["X_authorization"] = []string{"42"}, []string{"late"}
	}
	return n, err
}

func TestOutboundTrailersComeWithARenewedBodyToo(t *testing.T) {
	backend := sending(func(r *http.Request) (*http.Response, error) {
		body, err := r.GetBody()
		require.NoError(t, err)
		_, _ = io.ReadAll(body)
		assert.Equal(t, http.Header{"X-Sum": {"42"}}, r.Trailer)
		return replying(200, "text/plain", ""), nil
	})
	r := asking(t.Context(), nil, "")
	r.Trailer = http.Header{"X-Sum": nil, "Authorization": nil}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(trailing{strings.NewReader("body"), r}), nil }
	r.Body, _ = r.GetBody()
	_, err := (&auth.Relay{Base: backend}).RoundTrip(r)
	require.NoError(t, err)

	r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	_, err = (&auth.Relay{Base: sending(func(r *http.Request) (*http.Response, error) {
		_, err := r.GetBody()
		return nil, err
	})}).RoundTrip(r)
	require.EqualError(t, err, "gone")
}

func TestOutboundMisconfiguredFailsEveryRoundTripWithAllFaults(t *testing.T) {
	base := &backendSeen{}
	tests := map[string]struct {
		transport http.RoundTripper
		faults    []string
	}{
		"Relay":             {&auth.Relay{}, []string{"no Base"}},
		"Static":            {&auth.Static{}, []string{"no Base", "nothing to Set"}},
		"Static twice":      {&auth.Static{Base: base, Set: map[string]auth.Secret{"X-A": "1", "x_a": "2"}}, []string{"there twice"}},
		"Static framing":    {&auth.Static{Base: base, Set: map[string]auth.Secret{"content-length": "1", "Connection": "close", "host": "x"}}, []string{"Content-Length belongs", "Connection belongs", "Host belongs"}},
		"Static no name":    {&auth.Static{Base: base, Set: map[string]auth.Secret{"X A": "1"}}, []string{`"X A" is not the name`}},
		"Static line break": {&auth.Static{Base: base, Set: map[string]auth.Secret{"X-A": clientSecret + "\n"}}, []string{`the value of "X-A"`}},
		"Static empty":      {&auth.Static{Base: base, Set: map[string]auth.Secret{"X-A": ""}}, []string{`the value of "X-A"`}},
		"Static space":      {&auth.Static{Base: base, Set: map[string]auth.Secret{"X-A": " " + clientSecret}}, []string{`the value of "X-A"`}},
		"Password":          {&auth.Password{}, []string{"no Base", "invalid User", "invalid Password"}},
		"Password colon":    {&auth.Password{Base: base, User: "a:b", Password: clientSecret}, []string{"invalid User"}},
		"Password control":  {&auth.Password{Base: base, User: "a", Password: clientSecret + "\n"}, []string{"invalid Password"}},
		"Password no UTF-8": {&auth.Password{Base: base, User: "a\xff", Password: clientSecret + "\xff"}, []string{"invalid User", "invalid Password"}},
		"ClaimHeaders":      {&auth.ClaimHeaders{}, []string{"no Base", "no Headers"}},
		"ClaimHeaders names": {&auth.ClaimHeaders{Base: base, Headers: map[string]string{"X-A": "sub", "x-a": "sub", "Te": "sub", "X-B": ""}},
			[]string{"there twice", "Te belongs", `"X-B" without a claim`}},
		"ClientCredentials": {&auth.ClientCredentials{Timeout: -1, Scopes: []string{"a b"}, Resource: "orders", Parameters: map[string][]string{"client_secret": {clientSecret}}},
			[]string{"no Base", "TokenURL: not", "no ClientID", "negative Timeout", "invalid Scopes", "Resource is not", `"client_secret" among`}},
		"ClientCredentials URL": {&auth.ClientCredentials{Base: base, ClientID: "x", ClientSecret: "x", TokenURL: "https://gw:" + clientSecret + "@id.test/"}, []string{"TokenURL: not"}},
		"TokenExchange": {&auth.TokenExchange{TokenURL: "id.test/token", MaxRemembered: -1, ActorTokenType: "x"},
			[]string{"no Base", "TokenURL: not", "no ClientID", "ActorTokenType without"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				r := asking(t.Context(), &auth.Principal{}, "t")
				body := &closes{Reader: strings.NewReader("body")}
				r.Body = body
				res, err := test.transport.RoundTrip(r)
				assert.Nil(t, res)
				require.Error(t, err)
				for _, fault := range test.faults {
					assert.ErrorContains(t, err, fault)
				}
				assert.NotContains(t, err.Error(), clientSecret)
				// Nobody has asked the upstream, so it is not the upstream's fault.
				assert.Equal(t, gateway.GatewayInternal, gateway.UpstreamProblem(err).Fault)
				assert.Equal(t, http.StatusInternalServerError, gateway.UpstreamProblem(err).Status)
				assert.True(t, body.closed)
			}
			for _, fault := range test.faults {
				assert.ErrorContains(t, panics(t, func() { gateway.Proxy(test.transport) }), fault, "at start-up")
				assert.ErrorContains(t, panics(t, func() { gateway.Proxy(&auth.Relay{Base: test.transport}) }), fault, "within another")
			}
		})
	}
}

func TestOutboundIsCheckedWhereItAsksForSomething(t *testing.T) {
	bad, good := &auth.Static{}, &backendSeen{}
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Issuer: "gw", Keys: []crypto.Signer{edKey()}})
	require.NoError(t, err)
	const at = "https://id.test/"
	for name, f := range map[string]func(){
		"token requests": func() {
			gateway.Proxy(&auth.ClientCredentials{Base: good, TokenURL: at, ClientID: "gw", ClientSecret: "x", Transport: bad})
		},
		"keys":           func() { auth.Require(auth.JWT{JWKS: at, Transport: bad}) },
		"introspection":  func() { auth.Require(auth.Introspection{URL: at, Transport: bad}) },
		"an issuer's":    func() { issuer.Transport(bad, "orders") },
		"above a Signer": func() { gateway.Proxy(&auth.Relay{Base: &auth.Signer{Key: secret, KeyID: "k", Base: bad}}) },
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, panics(t, f), "nothing to Set") })
	}
	for name, transport := range outbounds(t, good) {
		assert.NotPanics(t, func() { gateway.Proxy(transport) }, name)
	}
}

func TestOutboundSecretsAreNotPrinted(t *testing.T) {
	things := map[string]any{
		"IssuerConfig": auth.IssuerConfig{Issuer: "gw", Keys: []crypto.Signer{edKey()}},
		"Secret":       auth.Secret(clientSecret),
	}
	issuer, err := auth.NewIssuer(things["IssuerConfig"].(auth.IssuerConfig))
	require.NoError(t, err)
	things["*Issuer"] = issuer
	forgetful := sending(func(*http.Request) (*http.Response, error) { return replying(200, "text/plain", ""), nil })
	for name, transport := range outbounds(t, forgetful) {
		things["fresh "+name] = transport
	}
	for name, transport := range outbounds(t, forgetful) {
		_, err := transport.RoundTrip(asking(t.Context(), &auth.Principal{Subject: "ann"}, "callers-token"))
		require.NoError(t, err)
		things["used *"+name] = transport
		if v := reflect.ValueOf(transport).Elem(); name != "Issuer" {
			things["used "+name] = v.Interface() // by value, as a field of a configuration may be
			things["nested "+name] = []any{map[string]any{"a": v.Interface()}, struct{ T any }{v.Interface()}}
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte("gw:" + clientSecret))
	for name, v := range things {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			fmt.Fprintf(&out, "%v %+v %#v %s %q %x", v, v, v, v, v, v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "auth", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("config", "auth", v)
			text, _ := json.Marshal(v)
			out.Write(text)
			seed := edKey().Seed()
			for _, leak := range []string{
				clientSecret, fmt.Sprintf("%x", clientSecret), "backend-token", "callers-token", basic, basic[8:24],
				string(seed[:8]), fmt.Sprintf("%d", seed[:8])[1:20], fmt.Sprintf("%#v", seed[:4])[7:20], fmt.Sprintf("%x", seed[:8]),
			} {
				assert.NotContains(t, out.String(), leak)
			}
		})
	}
}

func TestOutboundRedactedTextStillSaysWhichItIs(t *testing.T) {
	all := outbounds(t, &backendSeen{})
	assert.Equal(t, `auth.ClientCredentials{ClientID: "gw", Audience: "", secret redacted}`, fmt.Sprint(all["ClientCredentials"]))
	assert.Equal(t, `auth.TokenExchange{ClientID: "gw", Audience: "", secrets redacted}`, fmt.Sprint(all["TokenExchange"]))
	assert.Equal(t, `auth.Static{Set: ["Authorization"], values redacted}`, fmt.Sprint(all["Static"]))
	assert.Equal(t, `auth.Password{User: "gw", password redacted}`, fmt.Sprint(all["Password"]))
}

func TestRelaySendsTheVerifiedTokenOn(t *testing.T) {
	backend := &backendSeen{}
	h := auth.Require(annJWT, reports, auth.Anonymous)(gateway.Proxy(&auth.Relay{Base: backend}))
	token := signRSA(rs256, ann)
	h.ServeHTTP(httptest.NewRecorder(), withBearer(token))
	assert.Equal(t, []string{"Bearer " + token}, backend.header["Authorization"])

	h.ServeHTTP(httptest.NewRecorder(), withKeys(apiKey))
	assert.NotContains(t, backend.header, "Authorization", "came by a key")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Basic Zm9yZ2Vk")
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.NotContains(t, backend.header, "Authorization", "is nobody, and not verified")
}

func TestRelayRefusesWhoHasNoTokenIfItIsRequired(t *testing.T) {
	transport := &auth.Relay{Base: sending(nil), Required: true}
	for name, r := range map[string]*http.Request{
		"nobody":        asking(t.Context(), nil, ""),
		"by a key":      asking(t.Context(), &auth.Principal{}, ""),
		"token, nobody": asking(t.Context(), nil, "").WithContext(exchange.With(t.Context(), &exchange.State{Token: "stray"})),
	} {
		_, err := transport.RoundTrip(r)
		require.Error(t, err, name)
		assert.Equal(t, http.StatusUnauthorized, gateway.ProblemOf(err).Status, name)
	}
}

func TestPasswordIsSentAsRFC7617Says(t *testing.T) {
	backend := &backendSeen{}
	for _, test := range []struct{ user, password, want string }{
		{"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, // section 2
		{"test", "123£", "Basic dGVzdDoxMjPCow=="},                       // section 2.1
		{"a", "b:c", "Basic " + base64.StdEncoding.EncodeToString([]byte("a:b:c"))},
	} {
		_, err := (&auth.Password{Base: backend, User: test.user, Password: auth.Secret(test.password)}).RoundTrip(asking(t.Context(), nil, ""))
		require.NoError(t, err)
		assert.Equal(t, []string{test.want}, backend.header["Authorization"])
	}
}

// What one gateway's Basic takes, another's Password sends.
func TestPasswordAndBasicAreOfOneMindAboutControls(t *testing.T) {
	for password, fine := range map[string]bool{"a\u0085b": true, "p\u00e4ss": true, "a\x7fb": false, "a\tb": false, "a\x00": false} {
		hash, err := auth.HashPassword(password)
		assert.Equal(t, fine, err == nil, "%q", password)
		sends := &auth.Password{User: "gw", Password: auth.Secret(password)}
		assert.Equal(t, fine, (&auth.Password{Base: &backendSeen{}, User: "gw", Password: auth.Secret(password)}).Check() == nil, "%q", password)
		if !fine {
			continue
		}
		sends.Base = gateway.Local(auth.Require(auth.Basic{Users: map[string]string{"gw": hash}})(http.NotFoundHandler()))
		res, err := sends.RoundTrip(asking(t.Context(), nil, ""))
		require.NoError(t, err)
		assert.Equal(t, http.StatusNotFound, res.StatusCode, "%q", password)
	}
}

func TestStaticSetsEveryField(t *testing.T) {
	backend := &backendSeen{}
	transport := &auth.Static{Base: backend, Set: map[string]auth.Secret{"x-api-key": clientSecret, "X-Tenant": "acme"}}
	r := asking(t.Context(), nil, "")
	r.Header["X_api_key"], r.Header["X-TENANT"] = []string{"forged"}, []string{"forged"}
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-Api-Key": {clientSecret}, "X-Tenant": {"acme"}}, backend.header)

	backend.header["X-Tenant"] = append(backend.header["X-Tenant"], "another") // as transports may do with their own
	_, err = transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, []string{"acme"}, backend.header["X-Tenant"])
}

func TestRelaySendsNoTokenForAnotherPrincipal(t *testing.T) {
	backend := &backendSeen{}
	r := asking(t.Context(), &auth.Principal{Subject: "ann"}, "anns-token")
	r = r.WithContext(auth.NewContext(r.Context(), &auth.Principal{Subject: "bob"}))
	_, err := (&auth.Relay{Base: backend}).RoundTrip(r)
	require.NoError(t, err)
	assert.Empty(t, backend.header)
}
