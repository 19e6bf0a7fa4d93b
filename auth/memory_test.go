package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

var hs256 = auth.JWT{Key: secret}

func signHMAC(claims string) string {
	return sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, claims)
}

// visitor returns who mw lets in with token, nil if it does not. A token that is
// verified again makes another principal, a remembered one the same.
func visitor(mw gateway.Middleware, token string) (p *auth.Principal) {
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { p = auth.From(r.Context()) })).
		ServeHTTP(httptest.NewRecorder(), withBearer(token))
	return p
}

func TestJWTVerifiesARememberedTokenNoMore(t *testing.T) {
	mw := auth.Require(annJWT)
	first := visitor(mw, signRSA(rs256, ann))
	require.NotNil(t, first)
	assert.Equal(t, "ann", first.Subject)
	assert.Same(t, first, visitor(mw, signRSA(rs256, ann)))
	assert.NotSame(t, first, visitor(mw, signRSA(rs256, strings.Replace(ann, "ann", "bob", 1))))
	assert.Same(t, first, visitor(mw, signRSA(rs256, ann)))
}

func TestJWTRemembersAcrossTheRoutesOfOneRequireOnly(t *testing.T) {
	mw, other := auth.Require(hs256), auth.Require(hs256)
	p := visitor(mw, signHMAC(ann))
	require.NotNil(t, p)
	assert.Same(t, p, visitor(mw, signHMAC(ann)), "visitor wraps another handler each time")
	assert.NotSame(t, p, visitor(other, signHMAC(ann)))
}

func TestJWTRemembersNothingUnlessCompiledOrIfToldSo(t *testing.T) {
	forgetful := hs256
	forgetful.MaxRemembered = -1
	for name, mw := range map[string]gateway.Middleware{
		"bare literal": auth.Require(auth.AuthenticatorFunc(hs256.Authenticate)),
		"told so":      auth.Require(forgetful),
	} {
		t.Run(name, func(t *testing.T) {
			p := visitor(mw, signHMAC(ann))
			require.NotNil(t, p)
			assert.NotSame(t, p, visitor(mw, signHMAC(ann)))
		})
	}
}

func TestJWTForgetsWhatWasNotUsedForLongest(t *testing.T) {
	two := hs256
	two.MaxRemembered = 2
	mw := auth.Require(two)
	a, b, c := signHMAC(`{"exp":4102444800,"sub":"a"}`), signHMAC(`{"exp":4102444800,"sub":"b"}`), signHMAC(`{"exp":4102444800,"sub":"c"}`)
	first, second := visitor(mw, a), visitor(mw, b)
	assert.Same(t, first, visitor(mw, a))
	assert.NotNil(t, visitor(mw, c))
	assert.Same(t, first, visitor(mw, a))
	assert.NotSame(t, second, visitor(mw, b))
}

func TestJWTRemembersNoTokenPastItsTime(t *testing.T) {
	for _, leeway := range []time.Duration{0, 30 * time.Second, 1500 * time.Millisecond} {
		t.Run(leeway.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mw := auth.Require(auth.JWT{Key: secret, Leeway: leeway})
				token := signHMAC(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Minute).Unix()))
				p := visitor(mw, token)
				require.NotNil(t, p)
				time.Sleep(time.Minute + leeway - time.Nanosecond)
				assert.Same(t, p, visitor(mw, token))
				time.Sleep(time.Nanosecond)
				for range 2 {
					w := answer(mw, withBearer(token))
					assert.Equal(t, http.StatusUnauthorized, w.Code)
					assert.Contains(t, w.Header().Get("Www-Authenticate"), "invalid_token")
				}
			})
		})
	}
}

// A token that is refused leaves nothing behind, and is let in once its time comes.
func TestJWTRemembersNoRefusal(t *testing.T) {
	for _, claim := range []string{"nbf", "iat"} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mw := auth.Require(auth.JWT{Key: secret, Leeway: 10 * time.Second})
				token := signHMAC(fmt.Sprintf(`{"exp":4102444800,%q:%d}`, claim, time.Now().Add(time.Minute).Unix()))
				for range 2 {
					assert.Nil(t, visitor(mw, token))
				}
				time.Sleep(50*time.Second - time.Nanosecond)
				assert.Nil(t, visitor(mw, token))
				time.Sleep(time.Nanosecond)
				p := visitor(mw, token)
				require.NotNil(t, p)
				assert.Same(t, p, visitor(mw, token))
			})
		})
	}
}

func TestJWTRemembersLargeTokensButNotHugeClaims(t *testing.T) {
	for name, test := range map[string]struct {
		claim      string
		remembered bool
	}{
		"a long string":   {`"x":"` + strings.Repeat("x", 5500) + `"`, true},
		"300 roles":       {`"x":["orders:read"` + strings.Repeat(`,"orders:read"`, 299) + `]`, true},
		"a thousand maps": {`"x":` + strings.Repeat(`{"":`, 1000) + "1" + strings.Repeat("}", 1000), false},
		"2,800 scopes":    {`"scope":"` + strings.Repeat("x ", 2800) + `"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			mw, token := auth.Require(hs256), signHMAC(`{"exp":4102444800,`+test.claim+`}`)
			p := visitor(mw, token)
			require.NotNil(t, p)
			assert.Equal(t, test.remembered, p == visitor(mw, token))
		})
	}
}

// The clock of a bubble stands at the year 2000: it is a clock that was set back.
func TestJWTRemembersNoTokenBeforeItsTime(t *testing.T) {
	now := time.Now()
	for _, claim := range []string{"nbf", "iat"} {
		t.Run(claim, func(t *testing.T) {
			mw := auth.Require(auth.JWT{Key: secret, Leeway: time.Second})
			token := signHMAC(fmt.Sprintf(`{"exp":4102444800,%q:%d}`, claim, now.Unix()))
			require.NotNil(t, visitor(mw, token))
			synctest.Test(t, func(t *testing.T) { assert.Nil(t, visitor(mw, token)) })
			assert.NotNil(t, visitor(mw, token))
		})
	}
}

func TestJWTRefusesWhatOnlyResemblesARememberedToken(t *testing.T) {
	mw := auth.Require(annJWT)
	good := signRSA(rs256, ann)
	p := visitor(mw, good)
	require.NotNil(t, p)
	for i := range len(good) {
		b := []byte(good)
		b[i] ^= 1
		assert.Nil(t, visitor(mw, string(b)), "byte %d", i)
	}
	for _, token := range []string{good + "\n", good + " ", good + "=", good[:len(good)-1], good + good, good + strings.Repeat("x", 8<<10)} {
		assert.Nil(t, visitor(mw, token))
	}
	assert.Same(t, p, visitor(mw, " "+good), "spaces before the token are the scheme's")
}

func TestJWTDoesNotShareWhatItRemembersWithOtherKeys(t *testing.T) {
	token := signHMAC(ann)
	require.NotNil(t, visitor(auth.Require(hs256), token))
	other := auth.Require(auth.JWT{Key: []byte(strings.Repeat("another ", 8))})
	assert.Nil(t, visitor(other, token))
	audience := auth.Require(auth.JWT{Key: secret, Audience: "other"})
	assert.Nil(t, visitor(audience, token))
}

func TestJWTRemembersConcurrently(t *testing.T) {
	a := hs256
	a.MaxRemembered = 40
	mw := auth.Require(a)
	wrong := sign(jwt.SigningMethodHS256, secret[1:], `{"alg":"HS256"}`, ann)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				sub := fmt.Sprint((n + i) % 60)
				p := visitor(mw, signHMAC(`{"exp":4102444800,"sub":"`+sub+`"}`))
				if assert.NotNil(t, p) {
					assert.Equal(t, sub, p.Subject)
				}
				assert.Nil(t, visitor(mw, wrong))
			}
		})
	}
	wg.Wait()
}

// typical is a token with the claims of RFC 9068 section 2.2.
func typical() string {
	return signRSA(`{"alg":"RS256","typ":"at+jwt","kid":"2026-11"}`, `{"iss":"https://id.shop.test","aud":"app",`+
		`"sub":"7d1f0c5e-9b3a-48f6-a2e4-c8d0b6f1a3e5","client_id":"shop-web","exp":4102444800,"iat":1767225600,`+
		`"jti":"0b2a8f6e3c1d4a5b","scope":"openid profile email orders:read orders:write"}`)
}

// inside returns a call that serves a request with token by a Require inside another
// middleware, as a request of a gateway is. It costs nothing beside what is measured.
func inside(tb testing.TB, a auth.Authenticator, token string) func() {
	tb.Helper()
	served := 0
	h := auth.Require(a)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	x, r := exchange.Join(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	for _, name := range strings.Fields("Accept Accept-Encoding Accept-Language Cache-Control Cookie Referer User-Agent X-Request-Id") {
		r.Header.Set(name, "value")
	}
	credentials := []string{"Bearer " + token}
	serve := func() {
		r.Header["Authorization"] = credentials // was removed
		h.ServeHTTP(x, r)
	}
	serve()
	require.Equal(tb, 1, served)
	require.NotContains(tb, r.Header, "Authorization")
	return serve
}

func TestRequireAllocatesNothingForARememberedToken(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(100, inside(t, annJWT, typical())))

	long := signRSA(rs256, ann[:len(ann)-1]+`,"x":"`+strings.Repeat("x", 4<<10)+`"}`)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, inside(t, annJWT, long)), 1.0)
}

// The signature of a remembered token makes no other payload right, nor does the payload
// another signature.
func TestARememberedTokenIsRememberedWhole(t *testing.T) {
	mw := auth.Require(annJWT)
	good, other := signRSA(rs256, ann), signRSA(rs256, strings.Replace(ann, "ann", "bob", 1))
	for _, token := range []string{good, other} {
		assert.Equal(t, 200, answer(mw, withBearer(token)).Code)
	}
	g, o := strings.Split(good, "."), strings.Split(other, ".")
	for _, token := range []string{
		g[0] + "." + o[1] + "." + g[2], g[0] + "." + g[1] + "." + o[2], encode(`{"alg":"none"}`) + "." + g[1] + "." + g[2],
		g[0] + "." + g[1] + "." + g[2][:10], "." + g[2], g[2], g[0] + ".." + g[2],
	} {
		assert.Equal(t, 401, answer(mw, withBearer(token)).Code)
	}
	assert.Equal(t, "hello ann", answer(mw, withBearer(good)).Body.String())
}

func TestAllocationsDoNotGrowWithTheNumberOfKeys(t *testing.T) {
	allocations := func(n int) float64 {
		set := auth.KeySet{"k": &rsaKey().PublicKey}
		for i := range n - 1 {
			set[strconv.Itoa(i)] = &rsaKey().PublicKey
		}
		serve := inside(t, auth.JWT{Keys: set, MaxRemembered: -1}, signRSA(`{"alg":"RS256","kid":"k"}`, ann))
		return testing.AllocsPerRun(100, serve)
	}
	assert.InDelta(t, allocations(1), allocations(10_000), 1)

	holders := func(n int) float64 {
		keys := map[string]*auth.Principal{auth.HashKey(apiKey): {}}
		for i := range n - 1 {
			keys[auth.HashKey(strconv.Itoa(i))] = &auth.Principal{}
		}
		h := auth.Require(auth.APIKey{Keys: keys})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		x, r := exchange.Join(httptest.NewRecorder(), withKeys())
		credentials := []string{apiKey}
		return testing.AllocsPerRun(100, func() {
			r.Header["X-Api-Key"] = credentials
			h.ServeHTTP(x, r)
		})
	}
	assert.InDelta(t, holders(1), holders(100_000), 0)
}

// BenchmarkJWTFirstByGolangJWT is what golang-jwt costs for the same token, checked as
// strictly as it can.
func BenchmarkJWTFirstByGolangJWT(b *testing.B) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithJSONNumber())
	key := func(*jwt.Token) (any, error) { return &rsaKey().PublicKey, nil }
	token := typical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parser.Parse(token, key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJWTFirst(b *testing.B) {
	forgetful := annJWT
	forgetful.MaxRemembered = -1
	serve := inside(b, forgetful, typical())
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

func BenchmarkJWTRemembered(b *testing.B) {
	serve := inside(b, annJWT, typical())
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
