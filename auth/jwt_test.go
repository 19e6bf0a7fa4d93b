package auth_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// refused asserts that the token is answered with 401, and that neither the answer
// nor the error tells more than that.
func refused(t *testing.T, a auth.Authenticator, token string) {
	t.Helper()
	p, err := a.Authenticate(withBearer(token))
	require.Error(t, err)
	assert.Nil(t, p)
	var problem *gateway.Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, http.StatusUnauthorized, problem.Status)
	require.Error(t, problem.Err, "the log needs a reason")
	assert.Less(t, len(err.Error()), 300)
	for _, part := range strings.Split(token, ".") {
		if len(part) > 4 {
			assert.NotContains(t, err.Error(), part)
		}
	}

	w := answer(auth.Require(a), withBearer(token))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, `Bearer error="invalid_token", error_description="The access token is not valid"`,
		w.Header().Get("Www-Authenticate"))
	assert.JSONEq(t, `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is not valid."}`,
		w.Body.String())
}

func TestJWTRefusesHostileTokens(t *testing.T) {
	public := &rsaKey().PublicKey
	a := auth.JWT{Issuer: "https://id.test", Audience: "app", Key: public}
	good := signRSA(rs256, ann)
	parts := strings.Split(good, ".")
	header := func(members string) string { return signRSA(`{"alg":"RS256",`+members+`}`, ann) }
	claims := func(members string) string {
		return signRSA(rs256, `{"iss":"https://id.test","sub":"ann",`+members+`}`)
	}
	valid := func(members string) string { return claims(`"aud":"app","exp":4102444800,` + members) }
	hmacOf := func(key []byte) string { return sign(jwt.SigningMethodHS256, key, `{"alg":"HS256"}`, ann) }
	unsigned := func(alg string) string { return encode(`{"alg":"`+alg+`"}`) + "." + encode(ann) + "." }
	jwk := `"jwk":{"kty":"oct","k":"` + encode(string(secret)) + `"}`

	hostile := map[string]string{
		"alg none":                     unsigned("none"),
		"alg None":                     unsigned("None"),
		"alg NONE":                     unsigned("NONE"),
		"alg nOnE":                     unsigned("nOnE"),
		"alg none, signed":             signRSA(`{"alg":"none"}`, ann),
		"alg empty":                    signRSA(`{"alg":""}`, ann),
		"alg missing":                  signRSA(`{"typ":"JWT"}`, ann),
		"alg null":                     signRSA(`{"alg":null}`, ann),
		"alg array":                    signRSA(`{"alg":["RS256"]}`, ann),
		"alg in other case":            signRSA(`{"Alg":"RS256"}`, ann),
		"alg of another family":        sign(jwt.SigningMethodPS256, rsaKey(), rs256, ann),
		"public PEM as a secret":       hmacOf(publicPEM(t, public)),
		"modulus as a secret":          hmacOf(public.N.Bytes()),
		"embedded key":                 sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256",`+jwk+`}`, ann),
		"embedded key under RS256":     sign(jwt.SigningMethodHS256, secret, `{"alg":"RS256",`+jwk+`}`, ann),
		"jku":                          sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256","jku":"https://evil.test/jwks"}`, ann),
		"x5u":                          sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256","x5u":"https://evil.test/pem"}`, ann),
		"unknown crit":                 header(`"crit":["exp"],"exp":1`),
		"empty crit":                   header(`"crit":[]`),
		"b64 false":                    header(`"b64":false`),
		"b64 false and crit":           header(`"b64":false,"crit":["b64"]`),
		"typ of a logout token":        header(`"typ":"logout+jwt"`),
		"typ number":                   header(`"typ":1`),
		"header member twice":          signRSA(`{"alg":"none","alg":"RS256"}`, ann),
		"header member twice, escaped": signRSA(`{"\u0061lg":"none","alg":"RS256"}`, ann),
		"header member twice, deep":    header(`"x":[{"y":1,"y":2}]`),
		"header array":                 signRSA(`["RS256"]`, ann),
		"header null":                  signRSA(`null`, ann),
		"header with more behind":      signRSA(rs256+"{}", ann),
		"header is not UTF-8":          header("\"x\":\"\xff\""),

		"another issuer":            signRSA(rs256, `{"iss":"https://evil.test","aud":"app","exp":4102444800}`),
		"another issuer, one slash": signRSA(rs256, `{"iss":"https://id.test/","aud":"app","exp":4102444800}`),
		"no issuer":                 signRSA(rs256, `{"aud":"app","exp":4102444800}`),
		"issuer array":              signRSA(rs256, `{"iss":["https://id.test"],"aud":"app","exp":4102444800}`),
		"another audience":          claims(`"aud":"other","exp":4102444800`),
		"other audiences":           claims(`"aud":["other","apps"],"exp":4102444800`),
		"audience and a number":     claims(`"aud":["app",1],"exp":4102444800`),
		"audience object":           claims(`"aud":{"app":true},"exp":4102444800`),
		"audience empty":            claims(`"aud":[],"exp":4102444800`),
		"no audience":               claims(`"exp":4102444800`),
		"no exp":                    claims(`"aud":"app"`),
		"expired":                   claims(`"aud":"app","exp":1000000000`),
		"exp zero":                  claims(`"aud":"app","exp":0`),
		"exp null":                  claims(`"aud":"app","exp":null`),
		"exp string":                claims(`"aud":"app","exp":"4102444800"`),
		"exp 1e400":                 claims(`"aud":"app","exp":1e400`),
		"exp 1e300":                 claims(`"aud":"app","exp":1e300`),
		"nbf ahead":                 valid(`"nbf":4102444000`),
		"nbf 1e300":                 valid(`"nbf":1e300`),
		"nbf string":                valid(`"nbf":"0"`),
		"iat ahead":                 valid(`"iat":4102444000`),
		"claim twice":               valid(`"aud":"app"`),
		"claim twice, deep":         valid(`"act":{"sub":"a","sub":"b"}`),
		"claim twice, escaped":      valid(`"su\u0062":"root"`),
		"cnf null":                  valid(`"cnf":null`),
		"bound to a certificate":    valid(`"cnf":{"x5t#S256":"x"}`),
		"subject number":            signRSA(rs256, `{"iss":"https://id.test","aud":"app","exp":4102444800,"sub":1}`),
		"payload array":             signRSA(rs256, `[`+ann+`]`),
		"payload null":              signRSA(rs256, `null`),
		"payload with more behind":  signRSA(rs256, ann+` {}`),
		"payload is not UTF-8":      valid("\"x\":\"\xff\""),
		"payload has a BOM":         signRSA(rs256, "\ufeff"+ann),

		"empty":               "",
		"dots":                "..",
		"100,000 dots":        strings.Repeat(".", 100_000),
		"one part":            parts[0],
		"two parts":           parts[0] + "." + parts[1],
		"four parts":          good + "." + parts[2],
		"five parts, as JWE":  good + "..",
		"a dot behind":        good + ".",
		"a dot before":        "." + good,
		"detached payload":    parts[0] + ".." + parts[2],
		"no signature":        parts[0] + "." + parts[1] + ".",
		"another payload":     parts[0] + "." + encode(strings.Replace(ann, "ann", "bob", 1)) + "." + parts[2],
		"padding":             good + "==",
		"trailing data":       good + "AAAA",
		"trailing bits":       good[:len(good)-1] + nextInAlphabet(good[len(good)-1]),
		"a line break":        good + "\n",
		"a line break within": parts[0][:4] + "\r\n" + parts[0][4:] + "." + parts[1] + "." + parts[2],
		"a space within":      parts[0] + "." + parts[1] + ". " + parts[2],
		"two tokens":          good + " " + good,
		"two tokens, comma":   good + ", Bearer " + good,
		"standard alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+/",
		"8 KiB and more":      valid(`"x":"` + strings.Repeat("x", 8<<10) + `"`),
		"huge kid":            header(`"kid":"` + strings.Repeat("k", 1<<20) + `"`),
	}
	compiled := costOf(a)
	for name, token := range hostile {
		t.Run(name, func(t *testing.T) {
			refused(t, a, token)
			assert.Less(t, compiled(token), hostileLimit)
		})
	}
	p, err := a.Authenticate(withBearer(good))
	require.NoError(t, err)
	assert.Equal(t, "ann", p.Subject)
}

// hostileLimit is how long a token may take to be refused, on the machine that CI has and
// with the race detector; without it takes some 0.1 ms at most.
const hostileLimit = 5 * time.Millisecond

// costOf returns what tells how long a refuses a token, at best: whatever else the
// machine does then is not the token's fault.
func costOf(a auth.Authenticator) func(token string) time.Duration {
	h := auth.Require(a)(http.NotFoundHandler())
	return func(token string) time.Duration {
		best := time.Hour
		for range 5 {
			w, r := httptest.NewRecorder(), withBearer(token)
			start := time.Now()
			h.ServeHTTP(w, r)
			best = min(best, time.Since(start))
		}
		return best
	}
}

// nextInAlphabet changes the last bit of a last base64 character, which decodes to
// the same bytes in a lenient decoder.
func nextInAlphabet(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestJWTLetsInWhatIsRight(t *testing.T) {
	a := auth.JWT{Issuer: "https://id.test", Audience: "app", Key: &rsaKey().PublicKey}
	for name, token := range map[string]string{
		"audience in an array":  signRSA(rs256, `{"iss":"https://id.test","aud":["x","app"],"sub":"ann","exp":4102444800}`),
		"without typ":           signRSA(`{"alg":"RS256"}`, ann),
		"typ at+jwt":            signRSA(`{"alg":"RS256","typ":"AT+JWT"}`, ann),
		"typ with application/": signRSA(`{"alg":"RS256","typ":"application/at+jwt"}`, ann),
		"kid with a single key": signRSA(`{"alg":"RS256","kid":"any"}`, ann),
		"jku is ignored":        signRSA(`{"alg":"RS256","jku":"https://evil.test/jwks"}`, ann),
		"with a salt of 32":     sign(jwt.SigningMethodPS256, rsaKey(), `{"alg":"PS256"}`, ann),
		"2,500 levels":          signRSA(rs256, ann[:len(ann)-1]+`,"x":`+strings.Repeat("[", 2500)+strings.Repeat("]", 2500)+`}`),
		"colons in strings":     signRSA(rs256, `{"iss":"https://id.test","aud":"app","sub":"ann","exp":4102444800,"x:\":\\":{"y":[{"z":":"}]}}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(a), withBearer(token))
			assert.Equal(t, "hello ann", w.Body.String())
		})
	}
}

func TestJWTRefusesPSSWithAnotherSaltLength(t *testing.T) {
	long := &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
		Options:          &rsa.PSSOptions{SaltLength: 64},
	}
	refused(t, auth.JWT{Key: &rsaKey().PublicKey}, sign(long, rsaKey(), `{"alg":"PS256"}`, ann))
}

func TestJWTVerifiesEveryAlgorithmAndNoOtherForTheKey(t *testing.T) {
	keys := map[string]struct {
		private, public any
		algorithms      []string
	}{
		"HMAC":    {secret, secret, []string{"HS256", "HS384", "HS512"}},
		"RSA":     {rsaKey(), &rsaKey().PublicKey, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		"P-256":   {p256(), &p256().PublicKey, []string{"ES256"}},
		"P-384":   {p384(), &p384().PublicKey, []string{"ES384"}},
		"P-521":   {p521(), &p521().PublicKey, []string{"ES512"}},
		"Ed25519": {edKey(), edPublic(), []string{"EdDSA"}},
	}
	for name, k := range keys {
		for other, with := range keys {
			for _, alg := range with.algorithms {
				t.Run(fmt.Sprintf("%s key, %s token by a %s key", name, alg, other), func(t *testing.T) {
					token := sign(jwt.GetSigningMethod(alg), with.private, `{"alg":"`+alg+`"}`, ann)
					if name != other {
						refused(t, auth.JWT{Key: k.public}, token)
						return
					}
					_, err := auth.JWT{Key: k.public}.Authenticate(withBearer(token))
					require.NoError(t, err)
				})
			}
		}
	}
}

func TestJWTRefusesAlgorithmThatIsNotListed(t *testing.T) {
	a := auth.JWT{Key: &rsaKey().PublicKey, Algorithms: []string{"RS512"}}
	refused(t, a, signRSA(rs256, ann))
	_, err := a.Authenticate(withBearer(sign(jwt.SigningMethodRS512, rsaKey(), `{"alg":"RS512"}`, ann)))
	require.NoError(t, err)
}

func TestJWTRefusesSecretsTooShortForTheHash(t *testing.T) {
	refused(t, auth.JWT{Key: secret[:32]}, sign(jwt.SigningMethodHS512, secret[:32], `{"alg":"HS512"}`, ann))
}

func TestJWTGoesByTheClock(t *testing.T) {
	tests := map[string]struct {
		exp, nbf, iat, leeway time.Duration
		ok                    bool
	}{
		"valid":                    {exp: time.Minute, ok: true},
		"expires now":              {exp: 0},
		"expired":                  {exp: -time.Second},
		"expired within leeway":    {exp: -29 * time.Second, leeway: 30 * time.Second, ok: true},
		"expired beyond leeway":    {exp: -30 * time.Second, leeway: 30 * time.Second},
		"nbf now":                  {exp: time.Minute, nbf: 0, ok: true},
		"nbf ahead":                {exp: time.Minute, nbf: time.Second},
		"nbf ahead within leeway":  {exp: time.Minute, nbf: 30 * time.Second, leeway: 30 * time.Second, ok: true},
		"iat ahead":                {exp: time.Minute, iat: time.Second},
		"iat ahead within leeway":  {exp: time.Minute, iat: 30 * time.Second, leeway: 30 * time.Second, ok: true},
		"iat ahead, beyond leeway": {exp: time.Minute, iat: 31 * time.Second, leeway: 30 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
				token := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`,
					fmt.Sprintf(`{"exp":%d,"nbf":%d,"iat":%d}`, at(test.exp), at(test.nbf), at(test.iat)))
				a := auth.JWT{Key: secret, Leeway: test.leeway}
				if !test.ok {
					refused(t, a, token)
					return
				}
				_, err := a.Authenticate(withBearer(token))
				require.NoError(t, err)
			})
		})
	}
}

func TestJWTExpiresWhileTheGatewayRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw := auth.Require(auth.JWT{Key: secret})
		token := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Minute).Unix()))
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(token)).Code)
		time.Sleep(time.Minute)
		assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(token)).Code)
	})
}

func TestJWTReadsTheBearerSchemeAsRFC6750Says(t *testing.T) {
	token := signRSA(rs256, ann)
	tests := map[string]struct {
		fields    []string
		status    int
		challenge string
	}{
		"none":              {nil, 401, `Bearer realm="gateway"`},
		"empty":             {[]string{""}, 401, `Bearer realm="gateway"`},
		"Basic":             {[]string{"Basic YW5uOnB3"}, 401, `Bearer realm="gateway"`},
		"scheme longer":     {[]string{"BearerX " + token}, 401, `Bearer realm="gateway"`},
		"token alone":       {[]string{token}, 401, `Bearer realm="gateway"`},
		"Bearer":            {[]string{"Bearer"}, 401, `Bearer error="invalid_token", error_description="The access token is not valid"`},
		"Bearer and space":  {[]string{"Bearer "}, 401, `Bearer error="invalid_token", error_description="The access token is not valid"`},
		"right":             {[]string{"Bearer " + token}, 200, ""},
		"lower case":        {[]string{"bearer " + token}, 200, ""},
		"upper case":        {[]string{"BEARER " + token}, 200, ""},
		"two spaces":        {[]string{"Bearer  " + token}, 200, ""},
		"twice":             {[]string{"Bearer " + token, "Bearer " + token}, 400, `Bearer error="invalid_request", error_description="Authorization is given more than once"`},
		"twice, once Basic": {[]string{"Basic YW5uOnB3", "Bearer " + token}, 400, `Bearer error="invalid_request", error_description="Authorization is given more than once"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := withBearer("")
			r.Header["Authorization"] = test.fields
			w := answer(auth.Require(auth.JWT{Key: &rsaKey().PublicKey}), r)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.challenge, w.Header().Get("Www-Authenticate"))
		})
	}
}

func TestJWTFindsKeysByKid(t *testing.T) {
	set := auth.KeySet{"rsa": &rsaKey().PublicKey, "ed": edPublic(), "mac": secret}
	a := auth.JWT{Keys: set}
	ed := func(kid string) string {
		return sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA","kid":`+kid+`}`, ann)
	}
	for _, token := range []string{ed(`"ed"`), signRSA(`{"alg":"RS256","kid":"rsa"}`, ann)} {
		_, err := a.Authenticate(withBearer(token))
		require.NoError(t, err)
	}
	hostile := map[string]string{
		"unknown":               ed(`"x"`),
		"empty":                 ed(`""`),
		"null":                  ed(`null`),
		"number":                ed(`1`),
		"array":                 ed(`["ed"]`),
		"of another key":        ed(`"rsa"`),
		"path":                  ed(`"../../../dev/null"`),
		"URL":                   ed(`"https://evil.test/key"`),
		"SQL":                   ed(`"x' UNION SELECT 'k"`),
		"huge":                  ed(`"` + strings.Repeat("k", 4000) + `"`),
		"in other case":         ed(`"ED"`),
		"absent":                sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA"}`, ann),
		"HMAC with the RSA kid": sign(jwt.SigningMethodHS256, publicPEM(t, &rsaKey().PublicKey), `{"alg":"HS256","kid":"rsa"}`, ann),
		"HMAC with the Ed kid":  sign(jwt.SigningMethodHS256, []byte(edPublic()), `{"alg":"HS256","kid":"ed"}`, ann),
	}
	for name, token := range hostile {
		t.Run(name, func(t *testing.T) { refused(t, a, token) })
	}
}

func TestJWTTakesTokensWithoutKidIfThereIsOneKey(t *testing.T) {
	a := auth.JWT{Keys: auth.KeySet{"ed": edPublic()}}
	_, err := a.Authenticate(withBearer(sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA"}`, ann)))
	require.NoError(t, err)
	refused(t, a, sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA","kid":"x"}`, ann))
}

func TestJWTMakesThePrincipal(t *testing.T) {
	tests := map[string]struct {
		claims  string
		subject string
		scopes  []string
	}{
		"scope":             {`"sub":"ann","scope":"read  write"`, "ann", []string{"read", "write"}},
		"scp array":         {`"sub":"ann","scp":["read","write"]`, "ann", []string{"read", "write"}},
		"scp string":        {`"sub":"ann","scp":"read write"`, "ann", []string{"read", "write"}},
		"scope before scp":  {`"sub":"ann","scope":"read","scp":["write"]`, "ann", []string{"read"}},
		"scope of rubbish":  {`"sub":"ann","scope":{"read":true}`, "ann", nil},
		"scp with a number": {`"sub":"ann","scp":["read",1]`, "ann", []string{"read"}},
		"no subject":        {`"n":9007199254740993`, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			token := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, `{"exp":4102444800,`+test.claims+`}`)
			p, err := auth.JWT{Key: secret}.Authenticate(withBearer(token))
			require.NoError(t, err)
			assert.Equal(t, test.subject, p.Subject)
			assert.Equal(t, test.scopes, p.Scopes)
			assert.Equal(t, json.Number("4102444800"), p.Claims["exp"])
		})
	}
}

func TestJWTBareLiteralReportsItsFaults(t *testing.T) {
	_, err := auth.JWT{}.Authenticate(withBearer("x"))
	require.ErrorContains(t, err, "no Key, Keys, JWKS or Issuer")
	assert.Equal(t, http.StatusInternalServerError, gateway.ProblemOf(err).Status)
	require.NotErrorIs(t, err, jwt.ErrTokenMalformed)
}

func TestJWTTakesTheTypesItIsTold(t *testing.T) {
	a := auth.JWT{Key: &rsaKey().PublicKey, Types: []string{"at+jwt", "application/SECEVENT+jwt"}}
	typed := func(typ string) string { return signRSA(`{"alg":"RS256","typ":`+typ+`}`, ann) }
	for _, typ := range []string{`"at+jwt"`, `"AT+JWT"`, `"application/at+jwt"`, `"secevent+jwt"`} {
		_, err := a.Authenticate(withBearer(typed(typ)))
		assert.NoError(t, err, typ)
	}
	for _, typ := range []string{`"JWT"`, `""`, `null`, `7`, `["at+jwt"]`, `"at+jwt "`, `"text/at+jwt"`} {
		refused(t, a, typed(typ))
	}
	refused(t, a, signRSA(`{"alg":"RS256"}`, ann))
}

func TestJWTDemandsTheClaimsItIsTold(t *testing.T) {
	a := auth.JWT{Key: &rsaKey().PublicKey, Required: []string{"jti", "tenant"}}
	with := func(members string) string { return signRSA(rs256, ann[:len(ann)-1]+members+"}") }
	_, err := a.Authenticate(withBearer(with(`,"jti":"1","tenant":{}`)))
	require.NoError(t, err)
	for _, members := range []string{``, `,"jti":"1"`, `,"jti":"1","tenant":null`, `,"jti":"1","Tenant":"x"`} {
		refused(t, a, with(members))
	}
}

func TestJWTAsksWhetherATokenIsRevoked(t *testing.T) {
	revoked, fault, asked := map[string]bool{}, error(nil), 0
	a := auth.JWT{Key: &rsaKey().PublicKey, Revoked: func(_ context.Context, p *auth.Principal) (bool, error) {
		asked++
		return revoked[p.Subject], fault
	}}
	mw, token := auth.Require(a), signRSA(rs256, ann)
	assert.Equal(t, 200, answer(mw, withBearer(token)).Code)
	assert.Equal(t, 200, answer(mw, withBearer(token)).Code)
	revoked["ann"] = true
	w := answer(mw, withBearer(token))
	assert.Equal(t, 401, w.Code, "although it is remembered")
	assert.Contains(t, w.Header().Get("Www-Authenticate"), `error="invalid_token"`)
	assert.Equal(t, 3, asked)

	fault = errors.New("dial tcp 10.0.0.7:6379: connection refused")
	w = answer(mw, withBearer(token))
	assert.Equal(t, 503, w.Code)
	assert.NotContains(t, w.Body.String(), "10.0.0.7")
	fault = &gateway.Problem{Status: 502}
	assert.Equal(t, 502, answer(mw, withBearer(token)).Code)
	assert.Equal(t, 401, answer(mw, withBearer("a.b.c")).Code)
	assert.Equal(t, 5, asked, "not of a token that is wrong")
}

// Backends are told the scopes with spaces between: one with a space in it would be two.
func TestScopesAreScopeTokens(t *testing.T) {
	for payload, want := range map[string][]string{
		`"scp":["read admin","write",""]`: {"write"},
		`"scp":["a\"b","c\\d","é","x"]`:   {"x"},
		`"scope":"read  write é"`:         {"read", "write"},
		`"scp":[7,"read"]`:                {"read"},
	} {
		p, err := annJWT.Authenticate(withBearer(signRSA(rs256, `{"sub":"ann","exp":4102444800,`+payload+`}`)))
		require.NoError(t, err)
		assert.Equal(t, want, p.Scopes, payload)
	}
}
