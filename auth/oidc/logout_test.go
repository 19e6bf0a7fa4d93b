package oidc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogoutEndsTheSessionHereAndAtTheProvider(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		p := newFake(t)
		b := loggedIn(t, p, store)
		copied := b.clone()
		w := b.do("POST", "/auth/logout", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin")
		require.Equal(t, http.StatusSeeOther, w.Code)
		u, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		assert.Equal(t, issuer+"/end", u.Scheme+"://"+u.Host+u.Path)
		q := u.Query()
		assert.Equal(t, "https://shop.test/", q.Get("post_logout_redirect_uri"))
		assert.Equal(t, "shop", q.Get("client_id"))
		assert.NotEmpty(t, q.Get("id_token_hint"))
		assert.Empty(t, b.cookies)
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		assert.Equal(t, 1, p.called("/revoke"))
		assert.True(t, p.ended[p.refresh["refresh-ab"]])
		assert.Equal(t, http.StatusUnauthorized, copied.get("/app/x").Code, "every copy of the cookie")
	})
}

func TestAScriptThatLogsOutIsToldWhereToGoWithoutAToken(t *testing.T) {
	p := newFake(t)
	b := loggedIn(t, p, Memory(1))
	w := b.do("POST", "/auth/logout", "Sec-Fetch-Mode", "cors")
	require.Equal(t, http.StatusOK, w.Code)
	var body map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	assert.Equal(t, issuer+"/end?client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fshop.test%2F", body["location"])
	assert.Empty(t, b.cookies)
}

func TestLogoutWithoutMuchOfAProvider(t *testing.T) {
	for name, lie := range map[string]func(p *fakeProvider){
		"no end_session_endpoint": func(p *fakeProvider) {
			p.document = func(d map[string]any) { delete(d, "end_session_endpoint"); delete(d, "revocation_endpoint") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake(t)
			lie(p)
			c := config(p, nil)
			c.AfterLogout = "/bye"
			b := newBrowser(t, newGateway(Must(c)))
			b.login(p)
			w := b.do("POST", "/auth/logout", "Sec-Fetch-Mode", "navigate")
			assert.Equal(t, http.StatusSeeOther, w.Code)
			assert.Equal(t, "/bye", w.Header().Get("Location"))
			assert.Empty(t, b.cookies)
			assert.Equal(t, "/bye", b.do("POST", "/auth/logout", "Sec-Fetch-Mode", "navigate").Header().Get("Location"), "again")
			assert.Zero(t, p.called("/revoke"))
		})
	}
}

func TestLogoutDoesNotNeedTheProvider(t *testing.T) {
	inBubbles(t, time.Hour, func(t *testing.T, p *fakeProvider, b *browser) {
		p.set(func() { p.down = true })
		copied := b.clone()
		assert.Equal(t, http.StatusSeeOther, b.do("POST", "/auth/logout", "Sec-Fetch-Mode", "navigate").Code)
		assert.Empty(t, b.cookies)
		assert.Equal(t, http.StatusUnauthorized, copied.get("/app/x").Code)
	})
}

// What a cookie cannot do: without a store its copies live on, until their access token
// needs the refresh token that the logout revoked.
func TestACopiedCookieEndsWithItsAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		b := loggedIn(t, p, nil)
		copied := b.clone()
		b.do("POST", "/auth/logout")
		time.Sleep(4 * time.Minute)
		assert.Equal(t, http.StatusUnauthorized, copied.get("/app/x").Code)
	})
}

func TestTheClientSecretGoesTheWayTheProviderTakesIt(t *testing.T) {
	p := newFake(t)
	p.document = func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} }
	p.broken["/token"] = func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "s3cret", r.FormValue("client_secret"))
		assert.Empty(t, r.Header.Get("Authorization"))
		r.SetBasicAuth("shop", "s3cret")
		p.serve(w, r)
	}
	p.broken["/revoke"] = func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "s3cret", r.FormValue("client_secret"))
		assert.Equal(t, "refresh_token", r.FormValue("token_type_hint"))
	}
	b := loggedIn(t, p, nil)
	b.do("POST", "/auth/logout")
	assert.Equal(t, 1, p.called("/revoke"))
}
