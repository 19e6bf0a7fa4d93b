package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
)

func TestJWTRefusesBadKeysAtStartUp(t *testing.T) {
	public := &rsaKey().PublicKey
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	tests := map[string]struct {
		jwt   auth.JWT
		fault string
	}{
		"neither":              {auth.JWT{}, "no Key, Keys, JWKS or Issuer"},
		"empty set":            {auth.JWT{Keys: auth.KeySet{}}, "no Key, Keys, JWKS or Issuer"},
		"both":                 {auth.JWT{Key: public, Keys: auth.KeySet{"a": public}}, "both Key and Keys"},
		"short secret":         {auth.JWT{Key: secret[:31]}, "less than 32 bytes"},
		"empty secret":         {auth.JWT{Key: []byte{}}, "less than 32 bytes"},
		"PEM as a secret":      {auth.JWT{Key: publicPEM(t, public)}, "PEM file"},
		"string":               {auth.JWT{Key: string(secret)}, "key of type string"},
		"private key":          {auth.JWT{Key: rsaKey()}, "key of type *rsa.PrivateKey"},
		"key by value":         {auth.JWT{Key: *public}, "key of type rsa.PublicKey"},
		"small RSA":            {auth.JWT{Key: weak}, "less than 2048 bits"},
		"RSA exponent 1":       {auth.JWT{Key: &rsa.PublicKey{N: public.N, E: 1}}, "RSA key"},
		"nil RSA":              {auth.JWT{Key: (*rsa.PublicKey)(nil)}, "RSA key"},
		"empty RSA":            {auth.JWT{Key: &rsa.PublicKey{}}, "RSA key"},
		"nil ECDSA":            {auth.JWT{Key: (*ecdsa.PublicKey)(nil)}, "without a point"},
		"ECDSA without point":  {auth.JWT{Key: &ecdsa.PublicKey{Curve: elliptic.P256()}}, "without a point"},
		"ECDSA off the curve":  {auth.JWT{Key: &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}}, "no point of its curve"}, //nolint:staticcheck // a key that no constructor would make
		"P-224":                {auth.JWT{Key: &must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey}, "no algorithm allowed fits"},
		"short Ed25519":        {auth.JWT{Key: ed25519.PublicKey("short")}, "not 32 bytes"},
		"nil in a set":         {auth.JWT{Keys: auth.KeySet{"a": nil}}, `key "a": key of type <nil>`},
		"none":                 {auth.JWT{Key: public, Algorithms: []string{"RS256", "none"}}, `unknown algorithm "none"`},
		"NoNe":                 {auth.JWT{Key: public, Algorithms: []string{"NoNe"}}, `unknown algorithm "NoNe"`},
		"lower case":           {auth.JWT{Key: public, Algorithms: []string{"rs256"}}, `unknown algorithm "rs256"`},
		"no algorithm":         {auth.JWT{Key: public, Algorithms: []string{}}, "no algorithm allowed fits"},
		"HS256 for RSA":        {auth.JWT{Key: public, Algorithms: []string{"HS256"}}, "no algorithm allowed fits"},
		"RS256 and HS256":      {auth.JWT{Key: public, Algorithms: []string{"RS256", "HS256"}}, `algorithm "HS256" fits no key`},
		"ES256 for P-384":      {auth.JWT{Key: &p384().PublicKey, Algorithms: []string{"ES256"}}, "no algorithm allowed fits"},
		"HS512 for 32 bytes":   {auth.JWT{Key: secret[:32], Algorithms: []string{"HS512"}}, "no algorithm allowed fits"},
		"fits one of the set":  {auth.JWT{Keys: auth.KeySet{"a": public, "b": secret}, Algorithms: []string{"RS256"}}, `key "b": no algorithm`},
		"negative leeway":      {auth.JWT{Key: public, Leeway: -time.Second}, "negative Leeway"},
		"all faults are named": {auth.JWT{Key: 1, Algorithms: []string{"X"}, Leeway: -1}, "unknown algorithm \"X\"\nnegative Leeway"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.jwt) })
			require.ErrorContains(t, err, test.fault)
			require.ErrorContains(t, err, "auth: require: authenticator 0: auth: jwt: ")
			assert.NotContains(t, err.Error(), string(secret[:16]))
			assert.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString(secret[:16]))
		})
	}
}

func TestJWTKeepsItsOwnCopyOfKeys(t *testing.T) {
	key := append([]byte(nil), secret...)
	set := auth.KeySet{"a": key}
	mw := auth.Require(auth.JWT{Keys: set})
	clear(key)
	clear(set)
	token := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256","kid":"a"}`, ann)
	assert.Equal(t, "hello ann", answer(mw, withBearer(token)).Body.String())
}

// panics returns the error that f panics with.
func panics(t *testing.T, f func()) (err error) {
	t.Helper()
	defer func() {
		v := recover()
		require.NotNil(t, v, "no panic")
		err, _ = v.(error)
		require.Error(t, err)
	}()
	f()
	return nil
}
