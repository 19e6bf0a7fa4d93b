package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/http1"
)

// sentBy is a Base that shows what it is given.
type sentBy func(*http.Request) (*http.Response, error)

func (f sentBy) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inStore imitates a key that never leaves its store.
type inStore struct{ crypto.Signer }

// echoing is a server behind mw that says who came in, and what with.
func echoing(t *testing.T, mw gateway.Middleware) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("X-Target", r.RequestURI)
		fmt.Fprintf(w, "%s %s", auth.Subject(r), body)
	})))
	t.Cleanup(s.Close)
	return s
}

func signing(t *testing.T, s *auth.Signer) *http.Client {
	t.Helper()
	base := new(http.Transport)
	t.Cleanup(base.CloseIdleConnections)
	s.Base = base
	return &http.Client{Transport: s}
}

func knows(public any, pkcs1 bool) auth.Signature {
	return auth.Signature{Keys: map[string]auth.SignatureKey{
		"acme-1": {Key: public, PKCS1: pkcs1, Principal: &auth.Principal{Subject: "acme"}},
	}}
}

func TestSignerIsUnderstoodBySignature(t *testing.T) {
	private := rsaKey()
	tests := map[string]struct {
		key, public any
		pkcs1       bool
	}{
		"HMAC":               {secret, secret, false},
		"RSA":                {private, &private.PublicKey, false},
		"RSA, PKCS1":         {private, &private.PublicKey, true},
		"P-256":              {p256(), &p256().PublicKey, false},
		"P-384":              {p384(), &p384().PublicKey, false},
		"Ed25519":            {edKey(), edPublic(), false},
		"RSA in a store":     {inStore{private}, &private.PublicKey, false},
		"P-256 in a store":   {inStore{p256()}, &p256().PublicKey, false},
		"Ed25519 in a store": {inStore{edKey()}, edPublic(), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := echoing(t, auth.Require(knows(test.public, test.pkcs1)))
			c := signing(t, &auth.Signer{Key: test.key, PKCS1: test.pkcs1, KeyID: "acme-1"})
			for _, body := range []string{"", "amount=1", "amount=1"} { // the same again is no replay
				res, err := c.Post(server.URL+"/a%2Fb/?q=a%20b&u=/x", "text/plain", strings.NewReader(body))
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				assert.Equal(t, "acme "+body, string(got))
			}
		})
	}
}

func TestSignatureVerifiesNoOtherKeysSignatures(t *testing.T) {
	private := rsaKey()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	keys := map[string]struct {
		key   any
		pkcs1 bool
	}{
		"HMAC": {key: secret}, "HMAC, other": {key: bytes.Repeat(secret, 2)}, "RSA": {key: private}, "RSA, PKCS1": {private, true}, "RSA, other": {key: other},
		"P-256": {key: p256()}, "P-384": {key: p384()}, "Ed25519": {key: edKey()},
	}
	for name, known := range keys {
		a := knows(public(known.key), known.pkcs1)
		server := echoing(t, auth.Require(a))
		for other, key := range keys {
			res, err := signing(t, &auth.Signer{Key: key.key, PKCS1: key.pkcs1, KeyID: "acme-1"}).Get(server.URL)
			require.NoError(t, err)
			res.Body.Close()
			assert.Equal(t, name == other, res.StatusCode == http.StatusOK, "%s signed by %s", name, other)
		}
	}
}

func public(key any) any {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return key
}

func TestSignerSignsWhatEitherKindOfBodyIs(t *testing.T) {
	server := echoing(t, auth.Require(knows(secret, false)))
	c := signing(t, &auth.Signer{Key: secret, KeyID: "acme-1", MaxBody: 8})
	once := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }
	tests := map[string]struct {
		body io.Reader
		want string // empty: it is not sent
	}{
		"none":              {nil, "acme "},
		"to be had twice":   {strings.NewReader("longer than 8 bytes"), "acme longer than 8 bytes"},
		"to be had once":    {once("12345678"), "acme 12345678"},
		"empty after all":   {once(""), "acme "},
		"too large to hold": {once("123456789"), ""},
		"breaks off":        {iotest.ErrReader(io.ErrUnexpectedEOF), ""},
		"never ends":        {neverEnding{}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			res, err := c.Post(server.URL, "text/plain", test.body)
			if test.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Equal(t, test.want, string(got))
		})
	}
}

// neverEnding is a body that never ends.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestSignerLeavesTheRequestAsItWas(t *testing.T) {
	var sent *http.Request
	s := &auth.Signer{Key: secret, KeyID: "acme-1", Authority: "shop.test", Base: sentBy(func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{Body: http.NoBody}, r.Body.Close()
	})}
	body := &closing{Reader: strings.NewReader("x")}
	r := httptest.NewRequest(http.MethodPost, "/a", body)
	r.Host = ""
	r.Header = http.Header{"X-A": {"1"}, "Signature": {"old"}, "signature-input": {"old"}, "Content-Digest": {"old"}}
	was, url := r.Header.Clone(), *r.URL
	_, err := s.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, was, r.Header)
	assert.Equal(t, url, *r.URL)
	assert.Empty(t, r.Host)
	assert.Same(t, body, r.Body)
	assert.True(t, body.closed)

	assert.Equal(t, "shop.test", sent.Host)
	assert.NotContains(t, sent.Header, "signature-input")
	assert.Len(t, sent.Header["Signature"], 1)
	assert.Regexp(t, `^sig1=\("@method" "@authority" "@path" "@query" "content-digest"\);created=\d+;nonce="[A-Z2-7]{26}";keyid="acme-1"$`, sent.Header.Get("Signature-Input"))
	assert.Equal(t, "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:", sent.Header.Get("Content-Digest"))
}

func TestSignerSaysWhatItIsTold(t *testing.T) {
	var input string
	s := &auth.Signer{
		Key: secret, KeyID: `a"b`, Label: "gw", Tag: "orders", Expires: 90e9, Components: []string{"@target-uri", "X-A", `@query-param;name="q"`},
		Base: sentBy(func(r *http.Request) (*http.Response, error) {
			input = r.Header.Get("Signature-Input")
			return &http.Response{Body: http.NoBody}, nil
		}),
	}
	r, err := http.NewRequest(http.MethodGet, "https://shop.test/?q=1", nil)
	require.NoError(t, err)
	r.Header.Set("X-A", "1")
	_, err = s.RoundTrip(r)
	require.NoError(t, err)
	var created, expires int64
	_, err = fmt.Sscanf(input, `gw=("@target-uri" "x-a" "@query-param";name="q");created=%d;expires=%d;`, &created, &expires)
	require.NoError(t, err, input)
	assert.Equal(t, created+90, expires)
	assert.True(t, strings.HasSuffix(input, `;keyid="a\"b";tag="orders"`), input)
}

func TestSignerNeedsToKnowTheHost(t *testing.T) {
	base := sentBy(func(*http.Request) (*http.Response, error) { return nil, errors.New("it was sent") })
	r := httptest.NewRequest(http.MethodGet, "/a", nil)
	r.Host = ""
	_, err := (&auth.Signer{Key: secret, KeyID: "k", Base: base}).RoundTrip(r)
	require.ErrorContains(t, err, `auth: signer: component "@authority": no host`)
	_, err = (&auth.Signer{Key: secret, KeyID: "k", Base: base, Authority: "shop.test"}).RoundTrip(r)
	require.ErrorContains(t, err, "it was sent")
}

func TestSignerFailsWithAllFaults(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	for fault, s := range map[string]*auth.Signer{
		"no Base": {}, "KeyID that is not 1 to": {KeyID: strings.Repeat("k", 257)}, "neither []byte nor crypto.Signer": {Key: "text"},
		"less than 32 bytes": {Key: []byte("short")}, "less than 2048 bits": {Key: small}, "no algorithm for this Key": {Key: p224}, "algorithm for this Key": {Key: p521()},
		"neither []byte nor ": {Key: (*rsa.PrivateKey)(nil)}, "not as long as one": {Key: ed25519.PrivateKey("short")},
		"impossible Label": {Label: "A"}, "less than a second to Expires": {Expires: 1}, "negative MaxBody": {MaxBody: -1},
		"a KeyID or a Tag that is not": {KeyID: "k\n"}, "or a Tag that is not printable": {Tag: "\xff"},
		`component "@status": unknown`: {Components: []string{"@status"}},
	} {
		t.Run(fault, func(t *testing.T) {
			body := &closing{Reader: strings.NewReader("x")}
			_, err := s.RoundTrip(httptest.NewRequest(http.MethodPost, "/", body))
			require.ErrorContains(t, err, fault)
			require.ErrorContains(t, err, "no Base", "all of them")
			assert.NotContains(t, err.Error(), "short")
			assert.True(t, body.closed)
			assert.Equal(t, gateway.GatewayInternal, gateway.UpstreamProblem(err).Fault)
			require.ErrorContains(t, s.Check(), fault)
		})
	}
}

func TestSignerSendsNothingThatItCannotSign(t *testing.T) {
	base := sentBy(func(*http.Request) (*http.Response, error) { return nil, errors.New("it was sent") })
	for fault, s := range map[string]*auth.Signer{
		`"x-a": not in the request`: {Key: secret, KeyID: "k", Components: []string{"x-a"}},
		"sign: store is down":       {Key: failingStore{edKey()}, KeyID: "k"},
		"not a signature by ECDSA":  {Key: rubbishStore{p256()}, KeyID: "k"},
	} {
		s.Base = base
		_, err := s.RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.test/", nil))
		assert.ErrorContains(t, err, fault)
		assert.Equal(t, gateway.GatewayInternal, gateway.UpstreamProblem(err).Fault, "no upstream was asked")
	}
}

type failingStore struct{ crypto.Signer }

func (failingStore) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("store is down")
}

// rubbishStore imitates one that answers in an encoding of its own.
type rubbishStore struct{ crypto.Signer }

func (rubbishStore) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("rubbish"), nil
}

// What arrives at a gateway is signed anew for the backend: above a pool, which gives the
// request its address but not its name.
func TestSignerSignsWhatAGatewayForwards(t *testing.T) {
	backend := echoing(t, auth.Require(knows(edPublic(), false)))
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	aim := sentBy(func(r *http.Request) (*http.Response, error) {
		aimed := r.Clone(r.Context())
		aimed.URL.Scheme, aimed.URL.Host = "http", strings.TrimPrefix(backend.URL, "http://")
		return base.RoundTrip(aimed)
	})
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(&auth.Signer{Key: edKey(), KeyID: "acme-1", Authority: "orders.test", Scheme: "http", Base: aim}),
		auth.Require(knows(secret, false)))
	front := httptest.NewServer(gw)
	defer front.Close()

	res, err := signing(t, &auth.Signer{Key: secret, KeyID: "acme-1"}).Post(front.URL+"/a%2fb?x=%20&;", "text/plain", strings.NewReader("amount=1"))
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "acme amount=1", string(got))
}

// net/http's Transport escapes what is not quite by the book, and a pool's does not: the
// signature holds for what either sends.
func TestSignerSignsThePathThatIsSent(t *testing.T) {
	server := echoing(t, auth.Require(knows(secret, false)))
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	for name, transport := range map[string]http.RoundTripper{"net/http": base, "of a pool": &http1.Transport{}} {
		t.Run(name, func(t *testing.T) {
			c := &http.Client{Transport: &auth.Signer{Key: secret, KeyID: "acme-1", Base: transport}}
			res, err := c.Post(server.URL+"/a|b%2fc?x=|", "text/plain", strings.NewReader("x"))
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, http.StatusOK, res.StatusCode)
			assert.Equal(t, "/a%7Cb%2fc?x=|", res.Header.Get("X-Target"), "the slash is still within its segment")
		})
	}
}

// A body larger than it holds is the client's fault, not the upstream's.
func TestSignerAnswersForTooLargeABodyWith413(t *testing.T) {
	h := gateway.Proxy(&auth.Signer{Key: secret, KeyID: "k", Authority: "shop.test", MaxBody: 3, Base: gateway.Local(http.NotFoundHandler())})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("1234")))
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

func TestSignaturesKeysAreNotPrinted(t *testing.T) {
	for name, v := range map[string]any{
		"Signature": knows(secret, false), "*Signature": &auth.Signature{Keys: knows(secret, false).Keys}, "key": knows(secret, false).Keys["acme-1"],
		"Signer": reflect.ValueOf(&auth.Signer{Key: secret}).Elem().Interface(), "*Signer": &auth.Signer{Key: secret}, "within": struct{ S []any }{[]any{reflect.ValueOf(&auth.Signer{Key: secret}).Elem().Interface(), knows(secret, false)}},
		"keys": knows(secret, false).Keys, "compiled": auth.Require(knows(secret, false)),
	} {
		assertRedacted(t, name, v)
	}
	assert.Equal(t, `auth.Signature{Label: "", Tag: "", 1 keys redacted}`, fmt.Sprint(knows(secret, false)))
	assert.Equal(t, "auth.Signer{key redacted}", fmt.Sprint(&auth.Signer{KeyID: "k", Key: secret}))
}

func assertRedacted(t *testing.T, name string, v any) {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v, v)
	for _, leak := range []string{string(secret[:8]), fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%d", secret[:8])[1:20], fmt.Sprintf("%#v", secret[:4])[7:20]} {
		assert.NotContains(t, out.String(), leak, name)
	}
}

// What a client goes on sending is not read for longer than it may be.
func TestSignatureEndsABodyThatNeverEnds(t *testing.T) {
	server := echoing(t, auth.Require(knows(secret, false)))
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	c := &http.Client{Transport: &auth.Signer{Key: secret, KeyID: "acme-1", Base: sentBy(func(r *http.Request) (*http.Response, error) {
		r.Body, r.GetBody, r.ContentLength = io.NopCloser(neverEnding{}), nil, -1
		return base.RoundTrip(r)
	})}}
	res, err := c.Post(server.URL, "text/plain", strings.NewReader("amount=1"))
	if err != nil { // the connection was closed before the client looked at the answer
		return
	}
	defer res.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}
