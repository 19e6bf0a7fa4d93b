package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// renamed gives the subject another name, as a principal of its own.
func renamed(_ *http.Request, p *auth.Principal) (*auth.Principal, error) {
	return &auth.Principal{Subject: "the " + p.Subject, Roles: []string{"clerk"}}, nil
}

func same(_ *http.Request, p *auth.Principal) (*auth.Principal, error) { return p, nil }

func TestMapChangesWhoItIsAndNothingElse(t *testing.T) {
	for name, f := range map[string]func(*http.Request, *auth.Principal) (*auth.Principal, error){"anew": renamed, "the same": same} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{"anew": "the ann", "the same": "ann"}[name]
			r := withBearer(signRSA(rs256, ann))
			left := leftOf(t, r, auth.Map(annJWT, f))
			assert.Equal(t, want, auth.Subject(left))
			assert.Empty(t, left.Header, "the token is removed")
			assert.NotEmpty(t, exchange.From(left.Context()).Token, "and known to who relays it")
			want = map[string]string{"anew": "the reports", "the same": "reports"}[name]
			left = leftOf(t, withKeys(apiKey), auth.Map(reports, f))
			assert.Equal(t, want, auth.Subject(left))
			assert.Empty(t, left.Header)
			assert.Empty(t, exchange.From(left.Context()).Token)
		})
	}
}

func TestMappedTokensAreRelayed(t *testing.T) {
	backend := &backendSeen{}
	token := signRSA(rs256, ann)
	h := auth.Require(auth.Map(auth.Map(annJWT, renamed), renamed))(gateway.Proxy(&auth.Relay{Base: backend, Required: true}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, withBearer(token))
	assert.Equal(t, "Bearer "+token, backend.header.Get("Authorization"))
}

// A session's token goes with whom the session speaks for, mapped or not.
func TestMapKeepsTheTokenOfASession(t *testing.T) {
	member := &auth.Principal{Subject: "ann"}
	session := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return member, nil })
	for name, whose := range map[string]*auth.Principal{"hers": member, "another's": {Subject: "ann"}} {
		x, r := exchange.Join(httptest.NewRecorder(), withKeys())
		x.Session = &exchange.Session{Principal: whose, Token: "t"}
		auth.Require(auth.Map(session, renamed))(http.NotFoundHandler()).ServeHTTP(x, r)
		assert.Equal(t, map[string]exchange.Secret{"hers": "t", "another's": ""}[name], x.Token, name)
	}
}

func TestMapLeavesEachTokenToWhoItIsFor(t *testing.T) {
	other := auth.JWT{Issuer: "b", Key: &rsaKey().PublicKey}
	mw := auth.Require(auth.Map(annJWT, renamed), auth.Map(reports, renamed), auth.Map(other, renamed))
	assert.Equal(t, "hello the ann", answer(mw, withBearer(signRSA(rs256, ann))).Body.String())
	assert.Equal(t, "hello the bob", answer(mw, withBearer(signRSA(rs256, `{"iss":"b","sub":"bob","exp":4102444800}`))).Body.String())
	w := answer(mw, withKeys())
	assert.Equal(t, []string{`Bearer realm="gateway"`, `ApiKey header="X-Api-Key"`}, w.Header()["Www-Authenticate"])
	never := func(*http.Request, *auth.Principal) (*auth.Principal, error) { panic("asked") }
	assert.Equal(t, 401, answer(auth.Require(auth.Map(annJWT, never)), withBearer("a.b.c")).Code)
	assert.Equal(t, 200, answer(auth.Require(auth.Map(annJWT, never), auth.Map(auth.Anonymous, never)), withKeys()).Code)
}

func TestMapRefuses(t *testing.T) {
	to := func(p *auth.Principal, err error) func(*http.Request, *auth.Principal) (*auth.Principal, error) {
		return func(*http.Request, *auth.Principal) (*auth.Principal, error) { return p, err }
	}
	const invalid = `Bearer error="invalid_token", error_description="The access token is not valid"`
	for name, test := range map[string]struct {
		a         auth.Authenticator
		r         *http.Request
		status    int
		challenge string
	}{
		"nobody, by token":    {auth.Map(annJWT, to(nil, nil)), withBearer(signRSA(rs256, ann)), 401, invalid},
		"nobody, by key":      {auth.Map(reports, to(nil, nil)), withKeys(apiKey), 401, `ApiKey header="X-Api-Key"`},
		"nobody, by function": {auth.Map(auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return &auth.Principal{}, nil }), to(nil, nil)), withKeys(), 401, `Bearer realm="gateway"`},
		"cannot tell":         {auth.Map(reports, to(nil, errors.New("database is down"))), withKeys(apiKey), 500, ""},
		"says how":            {auth.Map(reports, to(nil, &gateway.Problem{Status: 403})), withKeys(apiKey), 403, ""},
		"says 401":            {auth.Map(reports, to(nil, &gateway.Problem{Status: 401})), withKeys(apiKey), 401, `ApiKey header="X-Api-Key"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), test.r)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.challenge, w.Header().Get("Www-Authenticate"))
			assert.NotContains(t, w.Body.String(), "database")
		})
	}
}

func TestMappedPrincipalsExpireWithTheirCredentials(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct{ mapped, want time.Time }{
		"never": {time.Time{}, now.Add(time.Hour)}, "later": {now.Add(2 * time.Hour), now.Add(time.Hour)}, "sooner": {now.Add(time.Minute), now.Add(time.Minute)},
	} {
		credential := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return &auth.Principal{Expires: now.Add(time.Hour)}, nil })
		left := leftOf(t, withKeys(), auth.Map(credential, func(*http.Request, *auth.Principal) (*auth.Principal, error) {
			return &auth.Principal{Expires: test.mapped}, nil
		}))
		assert.True(t, test.want.Equal(auth.From(left.Context()).Expires), name)
	}
}

func TestMapCompilesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: keySet(edJWK("a"))}
		mw := auth.Require(auth.Map(i.jwt(), renamed))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { assert.Equal(t, "hello the ann", answer(mw, withBearer(byEd("a", "ann"))).Body.String()) })
		}
		all.Wait()
		assert.Equal(t, 1, i.fetches())
	})
}

func TestMapRefusesBadLiteralsAtStartUp(t *testing.T) {
	err := panics(t, func() { auth.Require(auth.Map(nil, same), auth.Map(auth.JWT{}, nil)) })
	require.ErrorContains(t, err, "authenticator 0: auth: map: nil")
	require.ErrorContains(t, err, "nil function")
	require.ErrorContains(t, err, "no Key, Keys")
}

func TestMapByItselfIsRight(t *testing.T) {
	p, err := auth.Map(annJWT, renamed).Authenticate(withBearer(signRSA(rs256, ann)))
	require.NoError(t, err)
	assert.Equal(t, "the ann", p.Subject)
	_, err = auth.Map(auth.JWT{}, renamed).Authenticate(withBearer("x"))
	require.Error(t, err)
}
