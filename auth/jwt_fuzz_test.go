package auth_test

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
)

// FuzzJWT takes anything for an Authorization header. What gets in must be what the
// library, asked directly, would let in as well.
func FuzzJWT(f *testing.F) {
	good := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, ann)
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Basic x", "Bearer " + good, "bearer  " + good, "Bearer " + good + ".", "Bearer ..",
		"Bearer " + encode(`{"alg":"none"}`) + "." + parts[1] + ".",
		"Bearer " + sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, `{"exp":1e400}`),
		"Bearer " + sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256","crit":["x"]}`, ann),
		"Bearer " + sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, `{"exp":4102444800,"exp":1}`),
		"Bearer " + sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA"}`, ann),
		"Bearer " + strings.Repeat(".", 1000),
	} {
		f.Add(seed)
	}
	a := auth.JWT{Issuer: "https://id.test", Audience: "app", Key: secret}
	f.Fuzz(func(t *testing.T, field string) {
		r := withBearer("")
		r.Header["Authorization"] = []string{field}
		p, err := a.Authenticate(r)
		if p == nil || err != nil {
			assert.Nil(t, p)
			return
		}
		token := strings.TrimLeft(field[len("Bearer "):], " ")
		_, err = jwt.Parse(token, func(*jwt.Token) (any, error) { return secret, nil },
			jwt.WithValidMethods([]string{"HS256", "HS384", "HS512"}), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(), jwt.WithIssuer(a.Issuer), jwt.WithAudience(a.Audience))
		require.NoError(t, err)
	})
}
