package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

func signers() map[string]crypto.Signer {
	return map[string]crypto.Signer{"EdDSA": edKey(), "ES256": p256(), "ES384": p384(), "ES512": p521(), "RS256": rsaKey()}
}

// device is a key that is not in memory, as a KMS has it, and counts its signatures.
type device struct {
	crypto.Signer
	signed atomic.Int32
	takes  time.Duration
	err    error
}

func (d *device) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	d.signed.Add(1)
	time.Sleep(d.takes)
	if d.err != nil {
		return nil, d.err
	}
	return d.Signer.Sign(r, digest, o)
}

func newIssuer(t *testing.T, c auth.IssuerConfig) *auth.Issuer {
	t.Helper()
	if c.Issuer == "" {
		c.Issuer = "https://gw.test"
	}
	if c.Keys == nil {
		c.Keys = []crypto.Signer{edKey()}
	}
	i, err := auth.NewIssuer(c)
	require.NoError(t, err)
	return i
}

// published returns the keys that a backend fetches from i.
func published(t *testing.T, i *auth.Issuer) (auth.KeySet, string) {
	t.Helper()
	w := httptest.NewRecorder()
	i.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusOK, w.Code)
	var m jwkset.JWKSMarshal
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &m))
	keys, err := m.JWKSlice()
	require.NoError(t, err)
	set := auth.KeySet{}
	for _, k := range keys {
		set[k.Marshal().KID] = k.Key()
	}
	return set, w.Body.String()
}

func TestIssuersTokensAreVerifiedByJWT(t *testing.T) {
	for alg, key := range signers() {
		for kind, k := range map[string]crypto.Signer{"in memory": key, "in a device": &device{Signer: key}} {
			t.Run(alg+" "+kind, func(t *testing.T) {
				i := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{k}, Claims: []string{"tenant", "n", "missing", "realm.level", "roles"}})
				keys, _ := published(t, i)
				var got *auth.Principal
				backend := auth.Require(auth.JWT{Issuer: "https://gw.test", Audience: "orders", Keys: keys, Algorithms: []string{alg}})(
					http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = auth.From(r.Context()) }))
				p := &auth.Principal{
					Subject: "ann", Scopes: []string{"read", "write"}, Roles: []string{"clerk", "admin"},
					Claims: map[string]any{"realm": map[string]any{"level": "gold"}, "sub": "bob", "tenant": "acme", "n": json.Number("9007199254740993"), "secret": "x", "scope": []any{"admin"}},
				}
				began := time.Now().Truncate(time.Second)
				res, err := i.Transport(gateway.Local(backend), "orders").RoundTrip(asking(t.Context(), p, ""))
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, res.StatusCode)
				assert.Equal(t, []any{"ann", []string{"read", "write"}}, []any{got.Subject, got.Scopes}, "scopes without being asked for")
				assert.Equal(t, []string{"clerk", "admin"}, got.Roles)
				level, _ := got.Claim("realm.level")
				assert.Equal(t, "gold", level)
				jti, _ := got.Claim("jti")
				assert.Len(t, jti, 26)
				assert.WithinRange(t, got.Expires, began.Add(time.Minute), began.Add(63*time.Second))
				names := []string{}
				for name := range got.Claims {
					names = append(names, name)
				}
				assert.ElementsMatch(t, []string{"iss", "aud", "sub", "iat", "exp", "jti", "tenant", "scope", "n", "realm.level", "roles"}, names)
				assert.Equal(t, json.Number("9007199254740993"), got.Claims["n"])

				res, err = i.Transport(gateway.Local(backend), "users").RoundTrip(asking(t.Context(), p, ""))
				require.NoError(t, err)
				assert.Equal(t, http.StatusUnauthorized, res.StatusCode, "another backend's token")
			})
		}
	}
}

func TestIssuerSignsEachRequestIfToldToRememberNothing(t *testing.T) {
	for size, want := range map[int]int32{0: 1, -1: 3} {
		key := &device{Signer: edKey()}
		transport := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{key}, MaxRemembered: size}).Transport(&bearers{}, "orders")
		p := &auth.Principal{Subject: "ann"}
		for range 3 {
			_, err := transport.RoundTrip(asking(t.Context(), p, ""))
			require.NoError(t, err)
		}
		assert.Equal(t, want, key.signed.Load(), size)
	}
}

func TestIssuerPublishesPublicKeysOnly(t *testing.T) {
	var keys []crypto.Signer
	for _, k := range signers() {
		keys = append(keys, k)
	}
	set, text := published(t, newIssuer(t, auth.IssuerConfig{Keys: keys}))
	assert.Len(t, set, len(keys))
	var raw struct{ Keys []map[string]string }
	require.NoError(t, json.Unmarshal([]byte(text), &raw))
	for _, k := range raw.Keys {
		for name := range k {
			assert.Contains(t, []string{"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"}, name)
		}
		assert.Equal(t, "sig", k["use"])
		assert.NotEmpty(t, k["alg"])
	}
	for _, private := range []*big.Int{rsaKey().D, rsaKey().Primes[0], p256().D} { //nolint:staticcheck // it is what must not be shown
		assert.NotContains(t, text, base64.RawURLEncoding.EncodeToString(private.Bytes()))
	}
	assert.NotContains(t, text, base64.RawURLEncoding.EncodeToString(edKey().Seed()))
}

// The example of RFC 8037 appendix A.3 and, computed apart, that of RFC 7638's rule for the others.
func TestIssuersKeyIDIsTheThumbprint(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	require.NoError(t, err)
	set, _ := published(t, newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{ed25519.NewKeyFromSeed(seed)}}))
	assert.Contains(t, set, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")

	b64 := base64.RawURLEncoding.EncodeToString
	point, err := p256().PublicKey.Bytes()
	require.NoError(t, err)
	for text, key := range map[string]crypto.Signer{
		`{"e":"AQAB","kty":"RSA","n":"` + b64(rsaKey().N.Bytes()) + `"}`:                          rsaKey(),
		`{"crv":"P-256","kty":"EC","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}`: p256(),
	} {
		sum := sha256.Sum256([]byte(text))
		set, _ := published(t, newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{key}}))
		assert.Contains(t, set, b64(sum[:]))
	}
}

func TestIssuerSignsOncePerPrincipalAndAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := &device{Signer: edKey(), takes: time.Second}
		i := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{key}})
		orders, users := i.Transport(&bearers{}, "orders"), i.Transport(&bearers{}, "users")
		ann, bob := &auth.Principal{Subject: "ann"}, &auth.Principal{Subject: "bob"}
		tokens := sync.Map{}
		var all sync.WaitGroup
		for range 300 {
			for p, transport := range map[*auth.Principal]http.RoundTripper{ann: orders, bob: users} {
				all.Go(func() { tokens.Store(shown(t, transport, asking(t.Context(), p, "")), p.Subject) })
			}
		}
		all.Wait()
		assert.EqualValues(t, 2, key.signed.Load())
		for token, subject := range tokens.Range {
			var c jwt.MapClaims
			_, _, err := jwt.NewParser().ParseUnverified(token.(string), &c)
			require.NoError(t, err)
			assert.Equal(t, subject, c["sub"])
		}
		first := shown(t, orders, asking(t.Context(), ann, ""))
		assert.NotEqual(t, first, shown(t, users, asking(t.Context(), ann, "")))
		assert.EqualValues(t, 3, key.signed.Load())
		time.Sleep(40 * time.Second)
		assert.NotEqual(t, first, shown(t, orders, asking(t.Context(), ann, "")), "half of its life is over")
	})
}

func TestIssuersTokenEndsWithThePrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newIssuer(t, auth.IssuerConfig{Lifetime: time.Hour}).Transport(&bearers{}, "orders")
		p := &auth.Principal{Subject: "ann", Expires: time.Now().Add(90 * time.Second)}
		for range 89 {
			var c jwt.RegisteredClaims
			_, _, err := jwt.NewParser().ParseUnverified(shown(t, transport, asking(t.Context(), p, "")), &c)
			require.NoError(t, err)
			assert.Equal(t, p.Expires.Unix(), c.ExpiresAt.Unix())
			assert.True(t, c.ExpiresAt.After(time.Now()))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		assert.Equal(t, "401 client_request 0s", shown(t, transport, asking(t.Context(), p, "")))
	})
}

func TestIssuerTellsNothingOfNobody(t *testing.T) {
	backend := &backendSeen{}
	transport := newIssuer(t, auth.IssuerConfig{Header: "x-identity"}).Transport(backend, "orders")
	r := asking(t.Context(), nil, "")
	r.Header = http.Header{"X-Identity": {"forged"}, "X_identity": {"forged"}, "Authorization": {"of another's concern"}}
	_, err := transport.RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, http.Header{"Authorization": {"of another's concern"}}, backend.header)

	_, err = transport.RoundTrip(asking(t.Context(), &auth.Principal{Subject: "ann"}, ""))
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(backend.header.Get("X-Identity"), "."))
	assert.NotContains(t, backend.header.Get("X-Identity"), " ")
}

func TestIssuerRotatesItsKeys(t *testing.T) {
	next := must(ecdsa.GenerateKey(p256().Curve, rand.Reader))
	i := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{p256(), next}})
	transport := i.Transport(&bearers{}, "orders")
	p := &auth.Principal{Subject: "ann"}
	kid := func() string {
		token, _, err := jwt.NewParser().ParseUnverified(shown(t, transport, asking(t.Context(), p, "")), jwt.MapClaims{})
		require.NoError(t, err)
		return token.Header["kid"].(string)
	}
	before, old := published(t, i)
	first := kid()
	assert.True(t, p256().PublicKey.Equal(before[first]), "the first signs")

	require.ErrorContains(t, i.Rotate(), "no Keys")
	require.ErrorContains(t, i.Rotate(nil, next, next), "key 0: nil\nkey 2: is there twice")
	_, same := published(t, i)
	assert.Equal(t, old, same, "nothing has changed")
	assert.Equal(t, first, kid())

	require.NoError(t, i.Rotate(next))
	after, _ := published(t, i)
	assert.Len(t, after, 1)
	assert.Contains(t, after, kid(), "no token of a key that is not published any more")
}

func TestIssuerForgetsPrincipalsThatAreGone(t *testing.T) {
	transport := newIssuer(t, auth.IssuerConfig{}).Transport(&bearers{}, "orders")
	gone := make(chan struct{})
	func() {
		p := &auth.Principal{Subject: "ann", Claims: map[string]any{"large": strings.Repeat("x", 1<<20)}}
		runtime.AddCleanup(p, func(gone chan struct{}) { close(gone) }, gone)
		shown(t, transport, asking(t.Context(), p, ""))
	}()
	limit := time.After(10 * time.Second)
	for {
		runtime.GC()
		select {
		case <-gone:
			runtime.KeepAlive(transport)
			return
		case <-limit:
			require.Fail(t, "the principal is kept")
		default:
			runtime.Gosched()
		}
	}
}

func TestIssuerServesKeysToGETAndHEADOnly(t *testing.T) {
	s := httptest.NewServer(newIssuer(t, auth.IssuerConfig{}))
	defer s.Close()
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405, "OPTIONS": 405} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
		require.NoError(t, err)
		res, err := s.Client().Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, want, res.StatusCode, method)
		if want == 405 {
			assert.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
			assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			continue
		}
		assert.Equal(t, "application/jwk-set+json", res.Header.Get("Content-Type"))
		assert.Equal(t, "public, max-age=300", res.Header.Get("Cache-Control"))
		assert.Equal(t, method == "GET", len(text) > 0)
		assert.Positive(t, res.ContentLength)
	}
}

func TestNewIssuerReturnsAllFaults(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	_, err := auth.NewIssuer(auth.IssuerConfig{
		Lifetime: time.Second, Claims: []string{"tenant", "sub", "exp"}, Header: "Content-Length",
		Keys: []crypto.Signer{nil, (*rsa.PrivateKey)(nil), weak, edKey(), edKey(), must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))},
	})
	for _, fault := range []string{
		"no Issuer", "a Lifetime of less", `claim "sub"`, `claim "exp"`, "Content-Length belongs",
		"key 0: nil", "key 1: nil", "key 2: RSA key of less", "key 4: is there twice", "key 5: no algorithm",
	} {
		require.ErrorContains(t, err, fault)
	}
	_, err = auth.NewIssuer(auth.IssuerConfig{})
	require.ErrorContains(t, err, "no Issuer\nno Keys")
	i := newIssuer(t, auth.IssuerConfig{})
	require.ErrorContains(t, panics(t, func() { i.Transport(nil, "orders") }), "without a base")
	require.ErrorContains(t, panics(t, func() { i.Transport(&bearers{}, "") }), "an audience")
}

// lying is a device that answers something else than a signature.
type lying struct {
	crypto.Signer
	answer []byte
}

func (l lying) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return l.answer, nil }

func TestIssuerFailsClosedWhenItCannotSign(t *testing.T) {
	der := func(r, s *big.Int) []byte { return must(asn1.Marshal(struct{ R, S *big.Int }{r, s})) }
	one, huge := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 300)
	large := map[string]any{"tenant": strings.Repeat("x", 9<<10)}
	bad := map[string]any{"tenant": func() {}}
	tests := map[string]struct {
		key    crypto.Signer
		claims map[string]any
	}{
		"device down":   {&device{Signer: edKey(), err: errors.New("the device is away")}, nil},
		"no signature":  {lying{p256(), nil}, nil},
		"garbage":       {lying{p256(), []byte("garbage")}, nil},
		"more behind":   {lying{p256(), append(der(one, one), 0)}, nil},
		"negative":      {lying{p256(), der(big.NewInt(-1), one)}, nil},
		"too large":     {lying{p256(), der(one, huge)}, nil},
		"large claims":  {edKey(), large},
		"no JSON claim": {edKey(), bad},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{test.key}, Claims: []string{"tenant"}})
			r := asking(t.Context(), &auth.Principal{Subject: "ann", Claims: test.claims}, "")
			body := &closes{Reader: strings.NewReader("x")}
			r.Body = body
			_, err := i.Transport(sending(nil), "orders").RoundTrip(r)
			require.ErrorContains(t, err, "auth: issuer:")
			assert.Equal(t, http.StatusInternalServerError, gateway.ProblemOf(err).Status)
			assert.NotContains(t, err.Error(), "xxx")
			assert.True(t, body.closed)
		})
	}
}

func FuzzIssuerSignature(f *testing.F) {
	f.Add(must(p256().Sign(rand.Reader, make([]byte, 32), crypto.SHA256)))
	f.Add([]byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x80})
	f.Fuzz(func(t *testing.T, answer []byte) {
		i := newIssuer(t, auth.IssuerConfig{Keys: []crypto.Signer{lying{p256(), answer}}})
		got := shown(t, i.Transport(&bearers{}, "orders"), asking(t.Context(), &auth.Principal{}, ""))
		if !strings.HasPrefix(got, "500 ") {
			parts := strings.Split(got, ".")
			require.Len(t, parts, 3, fmt.Sprint(got))
			require.Len(t, parts[2], 86)
		}
	})
}
