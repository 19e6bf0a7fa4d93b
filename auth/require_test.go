package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

var annJWT = auth.JWT{Key: &rsaKey().PublicKey}

// failing imitates an authenticator whose database is down.
func failing(err error) auth.Authenticator {
	return auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return nil, err })
}

// seen returns the header that a handler behind mw gets.
func seen(t *testing.T, mw gateway.Middleware, r *http.Request) http.Header {
	t.Helper()
	var h http.Header
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { h = r.Header })).ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(t, h, "was not let in")
	return h
}

func TestRequireChallengesForEveryKindOfCredential(t *testing.T) {
	w := answer(auth.Require(annJWT, reports, annJWT, failing(nil)), withKeys())
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, []string{`Bearer realm="gateway"`, `ApiKey header="X-Api-Key"`}, w.Header().Values("Www-Authenticate"))
}

func TestRequireLetsTheFirstThatRecognisesDecide(t *testing.T) {
	tests := map[string]struct {
		token, key string
		body       string // empty: 401
	}{
		"token":                {token: signRSA(rs256, ann), body: "hello ann"},
		"key":                  {key: apiKey, body: "hello reports"},
		"both":                 {token: signRSA(rs256, ann), key: apiKey, body: "hello ann"},
		"wrong token, and key": {token: "a.b.c", key: apiKey},
		"token and wrong key":  {token: signRSA(rs256, ann), key: "wrong", body: "hello ann"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := withKeys()
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			if test.key != "" {
				r.Header.Set("X-Api-Key", test.key)
			}
			w := answer(auth.Require(annJWT, reports), r)
			if test.body == "" {
				assert.Equal(t, http.StatusUnauthorized, w.Code)
				assert.Len(t, w.Header().Values("Www-Authenticate"), 1)
				return
			}
			assert.Equal(t, test.body, w.Body.String())
		})
	}
}

func TestRequireKeepsCredentialsFromBackends(t *testing.T) {
	r := withBearer(signRSA(rs256, ann))
	r.Header["authorization"] = []string{"Bearer in-process"}
	for _, name := range []string{"X-Api-Key", "X_api_key", "X-Api_key", "x_API_key"} {
		r.Header[name] = []string{apiKey}
	}
	others := http.Header{"X-Api-Keys": {"longer"}, "X-App-Key": {"as long"}}
	maps.Copy(r.Header, others)
	assert.Equal(t, others, seen(t, auth.Require(annJWT, reports), r))
}

func TestRequireForwardsWhatItIsAskedTo(t *testing.T) {
	j, k := annJWT, reports
	j.Forward, k.Forward = true, true
	r := withBearer(signRSA(rs256, ann))
	assert.NotEmpty(t, seen(t, auth.Require(j), r).Get("Authorization"))
	assert.NotEmpty(t, seen(t, auth.Require(k), withKeys(apiKey)).Get("X-Api-Key"))
	assert.Empty(t, seen(t, auth.Require(j, reports), withKeys(apiKey)))
}

func TestRequireRemovesCredentialsThatAWrapperFound(t *testing.T) {
	wrapped := auth.AuthenticatorFunc(annJWT.Authenticate)
	assert.Empty(t, seen(t, auth.Require(wrapped), withBearer(signRSA(rs256, ann))))
	w := answer(auth.Require(wrapped), withBearer("x"))
	assert.Contains(t, w.Header().Get("Www-Authenticate"), "invalid_token")
}

func TestRequireFailsClosed(t *testing.T) {
	somebody := &auth.Principal{Subject: "somebody"}
	tests := map[string]struct {
		a         auth.Authenticator
		status    int
		challenge string
	}{
		"database down":       {failing(errors.New("dial tcp 10.0.0.1: refused")), 500, ""},
		"says 503":            {failing(&gateway.Problem{Status: 503, Err: errors.New("down")}), 503, ""},
		"says 401":            {failing(&gateway.Problem{Status: 401}), 401, `Bearer realm="gateway"`},
		"says 200":            {failing(&gateway.Problem{Status: 200}), 500, ""},
		"in time no more":     {failing(context.DeadlineExceeded), 504, ""},
		"principal and error": {auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return somebody, errors.New("x") }), 500, ""},
		"custom challenge":    {basic{}, 401, `Basic realm="shop"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), withKeys())
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.challenge, w.Header().Get("Www-Authenticate"))
			assert.NotContains(t, w.Body.String(), "10.0.0.1")
		})
	}
}

// basic is an authenticator of the user's, with a challenge of its own.
type basic struct{}

func (basic) Authenticate(*http.Request) (*auth.Principal, error) {
	return nil, &gateway.Problem{Status: http.StatusUnauthorized}
}
func (basic) Challenge() string { return `Basic realm="shop"` }

func TestRequirePanicsAtStartUpWithAllFaults(t *testing.T) {
	require.ErrorContains(t, panics(t, func() { auth.Require() }), "no authenticator")
	err := panics(t, func() {
		auth.Require(nil, annJWT, auth.AuthenticatorFunc(nil), (*auth.JWT)(nil), auth.JWT{}, auth.APIKey{})
	})
	for _, fault := range []string{
		"authenticator 0: nil", "authenticator 2: nil", "authenticator 3: nil",
		"authenticator 4: auth: jwt: no Key", "authenticator 5: auth: api key: no Keys",
	} {
		require.ErrorContains(t, err, fault)
	}
	assert.NotContains(t, err.Error(), "authenticator 1")
}

func TestRequireCompilesPointersToo(t *testing.T) {
	assert.Equal(t, "hello ann", answer(auth.Require(&annJWT), withBearer(signRSA(rs256, ann))).Body.String())
}

func TestRequireTellsTheOuterMiddlewares(t *testing.T) {
	token := signRSA(rs256, ann)
	for want, r := range map[string]*http.Request{"ann": withBearer(token), "": withBearer("x")} {
		x, r := exchange.Join(httptest.NewRecorder(), r)
		auth.Require(annJWT)(http.NotFoundHandler()).ServeHTTP(x, r)
		if want == "" {
			require.Error(t, x.Err)
			assert.Nil(t, x.Principal)
			continue
		}
		require.NotNil(t, x.Principal)
		sub, _ := x.Principal.Claim("sub")
		assert.Equal(t, want, sub)
	}
}

// own is a type of the user's that is stricter than the literal it embeds.
type own struct{ auth.JWT }

func (own) Authenticate(*http.Request) (*auth.Principal, error) {
	return nil, &gateway.Problem{Status: http.StatusUnauthorized}
}

func TestRequireAsksTheUsersTypeAndNotWhatItEmbeds(t *testing.T) {
	strict := own{annJWT}
	for _, a := range []auth.Authenticator{strict, &strict} {
		assert.Equal(t, http.StatusUnauthorized, answer(auth.Require(a), withBearer(signRSA(rs256, ann))).Code)
	}
}

// relayed returns the Authorization that a Relay sends for a request that mw lets in.
func relayed(t *testing.T, mw gateway.Middleware, r *http.Request) string {
	t.Helper()
	sent := "nothing"
	relay := &auth.Relay{Base: sentBy(func(r *http.Request) (*http.Response, error) {
		sent = r.Header.Get("Authorization")
		return httptest.NewRecorder().Result(), nil
	})}
	mw(gateway.Proxy(relay)).ServeHTTP(httptest.NewRecorder(), r)
	return sent
}

// A token that the user's authenticator took from elsewhere proves nothing of the one in
// Authorization, which anybody may have put there.
func TestOnlyTheTokenThatWasVerifiedIsRelayed(t *testing.T) {
	token := signRSA(rs256, ann)
	fromCookie := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		c, err := r.Cookie("token")
		if err != nil {
			return nil, nil
		}
		return annJWT.Authenticate(withBearer(c.Value))
	})
	r := withBearer("stolen")
	r.AddCookie(&http.Cookie{Name: "token", Value: token})
	assert.Empty(t, relayed(t, auth.Require(fromCookie), r))
	assert.Equal(t, "Bearer "+token, relayed(t, auth.Require(annJWT), withBearer(token)))
	assert.Equal(t, "Bearer "+token, relayed(t, auth.Require(auth.AuthenticatorFunc(annJWT.Authenticate)), withBearer(token)))
}

func TestRequireRefusesAPrincipalThatHasExpiredWhateverItCameBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := signRSA(rs256, fmt.Sprintf(`{"sub":"ann","exp":%d}`, time.Now().Unix()+2))
		p, err := annJWT.Authenticate(withBearer(token))
		require.NoError(t, err)
		remembered := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return p, nil })
		assert.Equal(t, http.StatusOK, answer(auth.Require(remembered), withBearer(token)).Code)
		time.Sleep(2 * time.Second)
		assert.Equal(t, http.StatusUnauthorized, answer(auth.Require(remembered), withBearer(token)).Code)
	})
}

func TestAnonymousAsksForNothing(t *testing.T) {
	mw := func(next http.Handler) http.Handler {
		return auth.Require(reports, auth.Anonymous)(auth.Allow(auth.Authenticated)(next))
	}
	assert.Equal(t, []string{`ApiKey header="X-Api-Key"`}, answer(mw, withKeys()).Header()["Www-Authenticate"])
}

// Some servers read all that is no letter or digit alike, when they make a variable of it.
func TestRequireRemovesEverySpellingThatABackendCouldRead(t *testing.T) {
	r := withKeys(apiKey)
	for _, name := range []string{"X.Api.Key", "X!api-key", "x_API~key"} {
		r.Header[name] = []string{"other"}
	}
	assert.Empty(t, seen(t, auth.Require(reports), r))
}

// What is announced by such a name would be the same to a backend that reads trailers as
// if they were fields of the header.
func TestRequireRemovesCredentialsBehindTheBodyToo(t *testing.T) {
	asking := auth.ForwardAuth{URL: "http://service.test/", Copy: []string{"X-User"}, Transport: sentBy(func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("X-User", "ann")
		return w.Result(), nil
	})}
	for name, mw := range map[string]gateway.Middleware{"forward": auth.Require(asking), "key": auth.Require(reports)} {
		r := withKeys(apiKey)
		r.Trailer = http.Header{"X-User": nil, "X.user": nil, "X-Api-Key": nil, "X-Sum": nil}
		seen(t, mw, r)
		want := http.Header{"X-Api-Key": nil, "X-Sum": nil}
		if name == "key" {
			want = http.Header{"X-User": nil, "X.user": nil, "X-Sum": nil}
		}
		assert.Equal(t, want, r.Trailer, name)
	}
}

func TestRequestsThatWereMadeByHandDoNotPanic(t *testing.T) {
	asking := auth.ForwardAuth{URL: "http://service.test/", Copy: []string{"X-User"}, Transport: sentBy(func(*http.Request) (*http.Response, error) {
		return httptest.NewRecorder().Result(), nil
	})}
	for name, a := range map[string]auth.Authenticator{
		"forward": asking, "query": auth.APIKey{Query: "key", Keys: reports.Keys}, "jwt": annJWT,
	} {
		assert.NotPanics(t, func() { answer(auth.Require(a), &http.Request{}) }, name)
	}
	assert.NotPanics(t, func() { answer(auth.Allow(auth.If(gateway.Path("/"))), &http.Request{}) })
	headers := &auth.ClaimHeaders{Headers: map[string]string{"X-User": "sub"}, Base: sentBy(func(*http.Request) (*http.Response, error) {
		return httptest.NewRecorder().Result(), nil
	})}
	ctx := auth.NewContext(t.Context(), &auth.Principal{Subject: "ann"})
	assert.NotPanics(t, func() { _, _ = headers.RoundTrip((&http.Request{}).WithContext(ctx)) })
}
