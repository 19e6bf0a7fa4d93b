package auth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// issuer imitates an issuer that can be any of what follows, as its fields say. It is a
// RoundTripper, so that time may be virtual.
type issuer struct {
	mu     sync.Mutex
	keys   string        // the set it publishes
	down   bool          // refuses connections
	status int           // answers with that; 0: 200
	slow   time.Duration // takes that long for the keys
	paths  []string      // what was asked for
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.paths = append(i.paths, r.URL.Path)
	keys, down, status, slow := i.keys, i.down, i.status, i.slow
	i.mu.Unlock()
	if down {
		return nil, errors.New("dial tcp 10.0.0.7:443: connection refused")
	}
	body := keys
	if strings.Contains(r.URL.Path, "well-known") {
		body = `{"issuer":"https://id.test","jwks_uri":"https://id.test/keys"}`
	} else {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (i *issuer) change(f func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

// fetches returns how often the keys were asked for.
func (i *issuer) fetches() (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.paths {
		if p == "/keys" {
			n++
		}
	}
	return n
}

func (i *issuer) jwt() auth.JWT { return auth.JWT{JWKS: "https://id.test/keys", Transport: i} }

func keySet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func rsaJWK(kid string, k *rsa.PublicKey, more string) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q%s}`, kid,
		base64.RawURLEncoding.EncodeToString(k.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()), more)
}

func edJWK(kid string) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, kid, encode(string(edPublic())))
}

// byEd is a token by the Ed25519 key, for a subject, under a kid.
func byEd(kid, sub string) string {
	return sign(jwt.SigningMethodEdDSA, edKey(), fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, kid),
		fmt.Sprintf(`{"iss":"https://id.test","sub":%q,"exp":4102444800}`, sub))
}

func TestJWTFetchesPublishedKeysOnceForAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a")), slow: 3 * time.Second}
		mw := auth.Require(i.jwt())
		assert.Zero(t, i.fetches(), "nothing is started")
		var wg sync.WaitGroup
		for n := range 1000 {
			wg.Go(func() {
				assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", fmt.Sprint(n)))).Code)
			})
		}
		wg.Wait()
		assert.Equal(t, 1, i.fetches())
	})
}

func TestJWTFindsPublishedKeysByTheIssuersMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a"))}
		mw := auth.Require(auth.JWT{Issuer: "https://id.test", Transport: i})
		assert.Equal(t, "hello ann", answer(mw, withBearer(byEd("a", "ann"))).Body.String())
		assert.Equal(t, []string{"/.well-known/openid-configuration", "/keys"}, i.paths)
	})
}

func TestJWTReadsMetadataOfItsIssuerOnly(t *testing.T) {
	metadata := map[string]struct {
		openid, oauth string // empty: 404
		ok            bool
	}{
		"of OpenID":        {openid: `{"issuer":"%s","jwks_uri":"%s/keys"}`, ok: true},
		"of OAuth":         {oauth: `{"issuer":"%s","jwks_uri":"%s/keys"}`, ok: true},
		"another issuer":   {openid: `{"issuer":"%sx","jwks_uri":"%s/keys"}`},
		"no issuer":        {openid: `{"jwks_uri":"%[2]s/keys"}`},
		"no jwks_uri":      {openid: `{"issuer":"%s"}`},
		"relative":         {openid: `{"issuer":"%s","jwks_uri":"/keys"}`},
		"a file":           {openid: `{"issuer":"%s","jwks_uri":"file:///etc/passwd"}`},
		"with a password":  {openid: `{"issuer":"%s","jwks_uri":"http://u:p@id.test/keys"}`},
		"HTML":             {openid: `<html>%s</html>`},
		"nothing":          {},
		"array":            {openid: `["%s"]`},
		"more behind JSON": {openid: `{"issuer":"%s","jwks_uri":"%s/keys"} x`},
	}
	for name, test := range metadata {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			s := httptest.NewServer(mux)
			defer s.Close()
			for path, document := range map[string]string{
				"/.well-known/openid-configuration": test.openid, "/.well-known/oauth-authorization-server": test.oauth, "/keys": keySet(edJWK("a")),
			} {
				if document == "" {
					continue
				}
				mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
					body := document
					if path != "/keys" {
						body = strings.ReplaceAll(strings.ReplaceAll(document, "%[2]s", "%s"), "%s", s.URL)
					}
					_, _ = io.WriteString(w, body)
				})
			}
			mw := auth.Require(auth.JWT{Issuer: s.URL})
			token := sign(jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA","kid":"a"}`, `{"iss":"`+s.URL+`","sub":"ann","exp":4102444800}`)
			want := http.StatusServiceUnavailable
			if test.ok {
				want = http.StatusOK
			}
			assert.Equal(t, want, answer(mw, withBearer(token)).Code)
		})
	}
}

func TestJWTDoesNotGoFromHTTPSToHTTP(t *testing.T) {
	var asked atomic.Int32
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		body := `{"issuer":"https://id.test","jwks_uri":"http://id.test/keys"}`
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	mw := auth.Require(auth.JWT{Issuer: "https://id.test", Transport: rt})
	assert.Equal(t, http.StatusServiceUnavailable, answer(mw, withBearer(byEd("a", "ann"))).Code)
	assert.EqualValues(t, 1, asked.Load())
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestJWTFetchesOnceAnIntervalForUnknownKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a")), slow: time.Millisecond}
		mw := auth.Require(i.jwt())
		require.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code)
		flood := func() {
			var wg sync.WaitGroup
			for n := range 1000 {
				wg.Go(func() {
					token := byEd(fmt.Sprint("random-", n), "mallory")
					assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(token)).Code)
				})
			}
			wg.Wait()
		}
		flood()
		assert.Equal(t, 1, i.fetches(), "the set is fresh")
		time.Sleep(31 * time.Second)
		flood()
		flood()
		assert.Equal(t, 2, i.fetches())
		time.Sleep(31 * time.Second)
		flood()
		assert.Equal(t, 3, i.fetches())
	})
}

func TestJWTTakesAKeyThatTheIssuerBeginsToUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(rsaJWK("old", &rsaKey().PublicKey, ""))}
		mw := auth.Require(i.jwt())
		old := signRSA(`{"alg":"RS256","kid":"old"}`, ann)
		require.Equal(t, http.StatusOK, answer(mw, withBearer(old)).Code)
		time.Sleep(time.Minute)
		i.change(func(i *issuer) { i.keys = keySet(rsaJWK("old", &rsaKey().PublicKey, ""), edJWK("new")) })
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("new", "ann"))).Code, "at once")
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(old)).Code)
	})
}

func TestJWTForgetsTheTokensOfAKeyThatIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := keySet(rsaJWK("old", &rsaKey().PublicKey, ""), edJWK("new"))
		i := &issuer{keys: both}
		mw := auth.Require(i.jwt())
		old := signRSA(`{"alg":"RS256","kid":"old"}`, ann)
		for _, token := range []string{old, byEd("new", "ann")} {
			require.Equal(t, http.StatusOK, answer(mw, withBearer(token)).Code)
		}
		i.change(func(i *issuer) { i.keys = keySet(edJWK("new")) })
		time.Sleep(15 * time.Minute)
		// The request that finds the set too old does not wait for the new one.
		answer(mw, withBearer(byEd("new", "bob")))
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(old)).Code, "was remembered")
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("new", "ann"))).Code)
	})
}

func TestJWTForgetsTheTokensOfAKeyThatIsReplacedUnderItsKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(rsaJWK("k", &rsaKey().PublicKey, ""))}
		mw := auth.Require(i.jwt())
		old := signRSA(`{"alg":"RS256","kid":"k"}`, ann)
		require.Equal(t, http.StatusOK, answer(mw, withBearer(old)).Code)
		i.change(func(i *issuer) { i.keys = keySet(edJWK("k")) })
		time.Sleep(15 * time.Minute)
		answer(mw, withBearer(signRSA(`{"alg":"RS256","kid":"k"}`, ann[:len(ann)-1]+`,"x":1}`)))
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(old)).Code)
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("k", "ann"))).Code)
	})
}

// troubles are what becomes of an issuer.
var troubles = map[string]func(*issuer){
	"down":            func(i *issuer) { i.down = true },
	"slow":            func(i *issuer) { i.slow = time.Hour },
	"500":             func(i *issuer) { i.status = 500 },
	"404":             func(i *issuer) { i.status = 404 },
	"a redirect":      func(i *issuer) { i.status = 302 },
	"HTML":            func(i *issuer) { i.keys = "<!doctype html><title>Maintenance</title>" },
	"nothing":         func(i *issuer) { i.keys = "" },
	"null":            func(i *issuer) { i.keys = "null" },
	"no keys":         func(i *issuer) { i.keys = keySet() },
	"keys of another": func(i *issuer) { i.keys = keySet(`{"kty":"OKP","crv":"X25519","kid":"a","x":"AAAA"}`) },
	"cut":             func(i *issuer) { i.keys = i.keys[:len(i.keys)-4] },
	"endless":         func(i *issuer) { i.keys = keySet(edJWK("a")) + strings.Repeat(" ", 1<<20) },
	"thousands": func(i *issuer) {
		i.keys = keySet(strings.Split(strings.Repeat(edJWK("a")+"|", 1000)+edJWK("a"), "|")...)
	},
	"deep":             func(i *issuer) { i.keys = `{"keys":` + strings.Repeat("[", 100_000) },
	"secrets":          func(i *issuer) { i.keys = keySet(`{"kty":"oct","kid":"a","k":"` + encode(string(secret)) + `"}`) },
	"for encryption":   func(i *issuer) { i.keys = keySet(strings.Replace(edJWK("a"), `"kty"`, `"use":"enc","kty"`, 1)) },
	"for signing only": func(i *issuer) { i.keys = keySet(strings.Replace(edJWK("a"), `"kty"`, `"key_ops":["sign"],"kty"`, 1)) },
	"a private key": func(i *issuer) {
		i.keys = keySet(strings.Replace(edJWK("a"), `"kty"`, `"d":"`+encode(string(secret[:32]))+`","kty"`, 1))
	},
}

func TestJWTLetsNobodyInWithoutKeys(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{keys: keySet(edJWK("a"))}
				i.change(trouble)
				mw := auth.Require(i.jwt())
				start := time.Now()
				w := answer(mw, withBearer(byEd("a", "ann")))
				assert.Equal(t, http.StatusServiceUnavailable, w.Code)
				assert.LessOrEqual(t, time.Since(start), 10*time.Second)
				assert.Equal(t, "5", w.Header().Get("Retry-After"))
				assert.NotContains(t, w.Body.String(), "id.test")
				assert.NotContains(t, w.Body.String(), "10.0.0.7")
				hmac := sign(jwt.SigningMethodHS256, secret, `{"alg":"HS256","kid":"a"}`, ann)
				assert.Equal(t, http.StatusServiceUnavailable, answer(mw, withBearer(hmac)).Code)
				assert.Equal(t, 1, i.fetches(), "asked no more often than every 5 seconds")

				i.change(func(i *issuer) { i.keys, i.down, i.status, i.slow = keySet(edJWK("a")), false, 0, 0 })
				time.Sleep(5 * time.Second)
				assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code, "it has recovered")
			})
		})
	}
}

// A goroutine's own panic would end the process, and everybody would wait for it before.
func TestJWTSurvivesATransportThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		i := &issuer{keys: keySet(edJWK("a"))}
		mw := auth.Require(auth.JWT{JWKS: "https://id.test/keys", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if broken {
				panic("s3cret")
			}
			return i.RoundTrip(r)
		})})
		x, r := exchange.Join(httptest.NewRecorder(), withBearer(byEd("a", "ann")))
		mw(http.NotFoundHandler()).ServeHTTP(x, r)
		assert.Equal(t, http.StatusServiceUnavailable, x.Status())
		require.ErrorContains(t, x.Err, "panic with a string")
		assert.NotContains(t, x.Err.Error(), "s3cret")
		time.Sleep(5 * time.Second)
		broken = false
		assert.Equal(t, "hello ann", answer(mw, withBearer(byEd("a", "ann"))).Body.String())
	})
}

func TestJWTKeepsTheLastGoodKeysAndWaitsForNobodyWithOne(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{keys: keySet(edJWK("a"))}
				mw := auth.Require(i.jwt())
				require.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code)
				i.change(trouble)
				for n := range 40 {
					time.Sleep(time.Hour)
					start := time.Now()
					assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", fmt.Sprint(n)))).Code)
					assert.Zero(t, time.Since(start))
				}
				assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(byEd("b", "mallory"))).Code)
			})
		})
	}
}

func TestJWTWaitsNoLongerThanTheClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a")), slow: 4 * time.Second}
		mw := auth.Require(i.jwt())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		answer(mw, withBearer(byEd("a", "ann")).WithContext(ctx))
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code)
		assert.Equal(t, 1, i.fetches(), "the fetch is not of the client that left")
	})
}

func TestJWTTakesOfAKeySetWhatItCanUse(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 2048)).PublicKey
	weak.N = new(big.Int).Rsh(weak.N, 1024)
	set := keySet(
		`{"kty":"XYZ"}`, `7`, `null`, `{"kty":"EC","crv":"P-256","kid":"off","x":"AQ","y":"AQ"}`,
		`{"kty":"EC","crv":"secp256k1","kid":"k1","x":"AQ","y":"AQ"}`,
		rsaJWK("weak", &weak, ""), rsaJWK("enc", &rsaKey().PublicKey, `,"use":"enc"`),
		rsaJWK("ps", &rsaKey().PublicKey, `,"alg":"PS256"`), rsaJWK("lie", &rsaKey().PublicKey, `,"alg":"HS256"`),
		rsaJWK("two", &rsaKey().PublicKey, `,"use":"sig"`), edJWK("two"),
		rsaJWK("x5c", &rsaKey().PublicKey, `,"x5c":["garbage"],"x5u":"https://evil.test/"`),
	)
	mw := auth.Require((&issuer{keys: set}).jwt())
	rs := func(kid string) string { return signRSA(`{"alg":"RS256","kid":"`+kid+`"}`, ann) }
	ps := func(kid string) string {
		return sign(jwt.SigningMethodPS256, rsaKey(), `{"alg":"PS256","kid":"`+kid+`"}`, ann)
	}
	for name, test := range map[string]struct {
		token string
		ok    bool
	}{
		"by its alg":                    {ps("ps"), true},
		"by another alg":                {rs("ps"), false},
		"for encryption":                {rs("enc"), false},
		"alg that does not fit":         {rs("lie"), false},
		"off the curve":                 {rs("off"), false},
		"weak":                          {rs("weak"), false},
		"first of two under a kid":      {rs("two"), true},
		"second of two under a kid":     {byEd("two", "ann"), true},
		"with a certificate":            {rs("x5c"), true},
		"without kid, of several":       {signRSA(rs256, ann), false},
		"the modulus as an HMAC secret": {sign(jwt.SigningMethodHS256, rsaKey().N.Bytes(), `{"alg":"HS256","kid":"two"}`, ann), false},
	} {
		t.Run(name, func(t *testing.T) {
			want := http.StatusUnauthorized
			if test.ok {
				want = http.StatusOK
			}
			assert.Equal(t, want, answer(mw, withBearer(test.token)).Code)
		})
	}
}

func TestJWTOverARealConnectionLeavesNoneBehind(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, keySet(edJWK("a")))
	}))
	defer s.Close() // which waits for connections
	mw := auth.Require(auth.JWT{JWKS: s.URL + "/keys"})
	assert.Equal(t, "hello ann", answer(mw, withBearer(byEd("a", "ann"))).Body.String())
}

func TestJWTRefusesBadPublishersAtStartUp(t *testing.T) {
	for name, test := range map[string]struct {
		jwt   auth.JWT
		fault string
	}{
		"no URL":              {auth.JWT{JWKS: "id.test/keys"}, "JWKS: not an absolute"},
		"with a password":     {auth.JWT{JWKS: "https://u:hunter2@id.test/keys"}, "JWKS: not an absolute"},
		"issuer is a name":    {auth.JWT{Issuer: "shop"}, "Issuer: not an absolute"},
		"secrets":             {auth.JWT{JWKS: "https://id.test/", Algorithms: []string{"RS256", "HS256"}}, `"HS256" is unknown, or not`},
		"no algorithm":        {auth.JWT{JWKS: "https://id.test/", Algorithms: []string{}}, "no algorithm"},
		"and fixed":           {auth.JWT{JWKS: "https://id.test/", Key: secret}, "both JWKS and fixed"},
		"refresh of fixed":    {auth.JWT{Key: secret, Refresh: 1}, "fixed keys with Refresh"},
		"negative refresh":    {auth.JWT{JWKS: "https://id.test/", Refresh: -1}, "negative Refresh"},
		"an empty name":       {auth.JWT{Key: secret, Required: []string{""}}, "empty name"},
		"an empty type":       {auth.JWT{Key: secret, Types: []string{""}}, "empty name"},
		"issuer and password": {auth.JWT{Issuer: "https://u:hunter2@id.test/"}, "Issuer: not an absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.jwt) })
			require.ErrorContains(t, err, test.fault)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{
		keySet(edJWK("a")), keySet(rsaJWK("a", &rsaKey().PublicKey, `,"x5c":["AA"]`)), `{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`, `{"keys":{}}`, `{"keys":[{"kty":"RSA","n":"AA","e":"AA"}]}`,
	} {
		f.Add([]byte(seed))
	}
	token := byEd("a", "ann")
	f.Fuzz(func(t *testing.T, data []byte) {
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(data)), Request: r}, nil
		})
		p, err := auth.JWT{JWKS: "https://id.test/keys", Transport: rt}.Authenticate(withBearer(token))
		if err == nil {
			assert.Equal(t, "ann", p.Subject)
			assert.True(t, json.Valid(data))
			return
		}
		assert.GreaterOrEqual(t, gateway.ProblemOf(err).Status, 400)
		assert.Less(t, len(err.Error()), 200)
	})
}

func TestJWTBareLiteralLeavesNothingBehind(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, keySet(edJWK("a"))) }))
	defer s.Close()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent()) // before the server closes the connections
	for range 10 {
		_, err := auth.JWT{JWKS: s.URL}.Authenticate(withBearer(byEd("a", "ann")))
		require.NoError(t, err)
	}
}

// Anybody can make up a kid: the issuer is not asked more often for it while it is down.
func TestJWTFetchesOnceAnIntervalForUnknownKidsAlsoWhenThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a"))}
		mw := auth.Require(i.jwt())
		require.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code)
		time.Sleep(31 * time.Second)
		i.change(func(i *issuer) { i.status = http.StatusInternalServerError })
		for range 29 {
			assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(byEd("made up", "mallory"))).Code)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 2, i.fetches())
		time.Sleep(2 * time.Second)
		assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(byEd("made up", "mallory"))).Code)
		assert.Equal(t, 3, i.fetches())
	})
}

func TestJWTHasFewWaitForUnknownKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a"))}
		mw := auth.Require(i.jwt())
		require.Equal(t, http.StatusOK, answer(mw, withBearer(byEd("a", "ann"))).Code)
		time.Sleep(31 * time.Second)
		i.change(func(i *issuer) { i.slow = time.Minute })
		var waited atomic.Int32
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				start := time.Now()
				assert.Equal(t, http.StatusUnauthorized, answer(mw, withBearer(byEd("made up", "mallory"))).Code)
				if time.Since(start) > 0 {
					waited.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 100, waited.Load())
	})
}
