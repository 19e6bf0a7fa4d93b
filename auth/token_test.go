package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(secret[:ed25519.SeedSize]) })
	edPublic = sync.OnceValue(func() ed25519.PublicKey { return edKey().Public().(ed25519.PublicKey) })
	secret   = []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef") // long enough for HS512
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A header and a payload that are right, until 2100.
const (
	rs256 = `{"alg":"RS256","typ":"JWT"}`
	ann   = `{"iss":"https://id.test","aud":"app","sub":"ann","exp":4102444800}`
)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a token of any header and payload, be they ever so wrong.
func sign(method jwt.SigningMethod, key any, header, payload string) string {
	signed := encode(header) + "." + encode(payload)
	return signed + "." + encode(string(must(method.Sign(signed, key))))
}

func signRSA(header, payload string) string {
	return sign(jwt.SigningMethodRS256, rsaKey(), header, payload)
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func withBearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// answer is what a client gets from a handler behind mw that says who came in.
func answer(mw gateway.Middleware, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("hello " + auth.Subject(r)))
	})).ServeHTTP(w, r)
	return w
}
