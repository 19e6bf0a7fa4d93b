package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoginEndsWithASessionWhoseTokenOnlyTheBackendSees(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		p := newFake(t)
		b := start(t, p, store)
		assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code)
		w := b.login(p)
		require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
		assert.Equal(t, "/app/home", w.Header().Get("Location"))
		assert.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		assert.NotContains(t, w.Header(), "access-")

		got := saw(t, b.get("/app/x", "Cookie", "theme=dark"))
		assert.Equal(t, seen{
			Subject: "ann", Token: "access-ab", Cookie: "theme=dark", Number: "9007199254740993",
			Scopes: []string{"openid", "offline_access", "orders"},
		}, got)
		assert.Len(t, b.cookies, 1, "the login's cookie is gone")
	})
}

func TestSessionPageHasClaimsAndNoToken(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		p := newFake(t)
		b := start(t, p, store)
		w := b.get("/auth/session")
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Equal(t, `Session login="https://shop.test/auth/login"`, w.Header().Get("WWW-Authenticate"))
		b.login(p)
		w = b.get("/auth/session")
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Contains(t, w.Body.String(), `"email":"ann@shop.test"`)
		assert.Contains(t, w.Body.String(), `"n":9007199254740993`)
		for _, not := range []string{"access-", "refresh-", "eyJ", "nonce", "at_hash"} {
			assert.NotContains(t, w.Body.String(), not)
		}
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	})
}

func TestCallbackRefusesWhatTheProviderMustNotSay(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for name, lie := range map[string]func(p *fakeProvider){
		"wrong nonce":    func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["nonce"] = "LEAK" } },
		"no nonce":       func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { delete(c, "nonce") } },
		"wrong audience": func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["aud"] = "other" } },
		"two audiences":  func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["aud"] = []string{"shop", "other"} } },
		"another's azp":  func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["azp"] = "other" } },
		"wrong issuer":   func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["iss"] = "https://evil.test" } },
		"expired": func(p *fakeProvider) {
			p.claims = func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }
		},
		"no expiry":        func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { delete(c, "exp") } },
		"no subject":       func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { delete(c, "sub") } },
		"wrong at_hash":    func(p *fakeProvider) { p.claims = func(c jwt.MapClaims) { c["at_hash"] = "LEAK" } },
		"no ID token":      func(p *fakeProvider) { p.answer = func(a map[string]any) { delete(a, "id_token") } },
		"garbage ID token": func(p *fakeProvider) { p.answer = func(a map[string]any) { a["id_token"] = "LEAK.LEAK.LEAK" } },
		"not a bearer":     func(p *fakeProvider) { p.answer = func(a map[string]any) { a["token_type"] = "DPoP" } },
		"alg none": func(p *fakeProvider) {
			p.sign = func(c jwt.MapClaims) string {
				s, _ := jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
				return s
			}
		},
		"HMAC by the client secret": func(p *fakeProvider) {
			p.sign = func(c jwt.MapClaims) string {
				s, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("s3cret"))
				return s
			}
		},
		"another's key": func(p *fakeProvider) {
			p.sign = func(c jwt.MapClaims) string {
				token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
				token.Header["kid"] = "1"
				s, _ := token.SignedString(other)
				return s
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake(t)
			lie(p)
			b := start(t, p, nil)
			w := b.login(p)
			assert.Equal(t, http.StatusBadGateway, w.Code)
			assert.NotContains(t, w.Body.String(), "LEAK")
			assert.Empty(t, b.cookies)
			assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code)
		})
	}
}

func TestCallbackRefusesWhatIsNotOfThisBrowsersLogin(t *testing.T) {
	for name, c := range map[string]struct {
		change func(q url.Values)
		status int
	}{
		"swapped state":     {func(q url.Values) { q.Set("state", strings.Repeat("x", 43)) }, 400},
		"same begin":        {func(q url.Values) { q.Set("state", q.Get("state")[:42]+"~") }, 400},
		"short state":       {func(q url.Values) { q.Set("state", q.Get("state")[:7]) }, 400},
		"no state":          {func(q url.Values) { q.Del("state") }, 400},
		"two states":        {func(q url.Values) { q.Add("state", "x") }, 400},
		"two codes":         {func(q url.Values) { q.Add("code", "x") }, 400},
		"mixed up":          {func(q url.Values) { q.Set("iss", "https://evil.test") }, 400},
		"announced, no iss": {func(q url.Values) { q.Del("iss") }, 400},
		"no code":           {func(q url.Values) { q.Del("code") }, 400},
		"unknown code":      {func(q url.Values) { q.Set("code", "guess") }, 400},
		"denied":            {func(q url.Values) { q.Set("error", "access_denied") }, 403},
		"busy":              {func(q url.Values) { q.Set("error", "temporarily_unavailable") }, 503},
		"other error":       {func(q url.Values) { q.Set("error", "<script>LEAK"); q.Set("error_description", "LEAK") }, 502},
		"misconfigured":     {func(q url.Values) { q.Set("error", "invalid_scope") }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake(t)
			b := start(t, p, nil)
			back := p.authorize(b.get("/auth/login").Header().Get("Location"))
			q := back.Query()
			c.change(q)
			back.RawQuery = q.Encode()
			w := b.get(back.String())
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
			assert.NotContains(t, w.Body.String(), "LEAK")
			assert.NotContains(t, b.cookies, "__Host-session-0")
		})
	}
}

// An attacker begins a login, and has the victim's browser end it: the victim would work in
// the attacker's account.
func TestALoginEndsOnlyInTheBrowserThatBeganIt(t *testing.T) {
	p := newFake(t)
	attacker := start(t, p, nil)
	victim := newBrowser(t, attacker.h)
	back := p.authorize(attacker.get("/auth/login").Header().Get("Location"))
	victim.get("/auth/login") // has a login of its own under way
	assert.Equal(t, http.StatusBadRequest, victim.get(back.String()).Code)
	assert.Zero(t, p.called("/token"))
	assert.NotContains(t, victim.cookies, "__Host-session-0")
}

func TestACodeIsExchangedOnce(t *testing.T) {
	p := newFake(t)
	b := start(t, p, nil)
	back := p.authorize(b.get("/auth/login").Header().Get("Location"))
	again := b.clone()
	assert.Equal(t, http.StatusSeeOther, b.get(back.String()).Code)
	assert.Equal(t, http.StatusBadRequest, again.get(back.String()).Code)
	assert.Equal(t, http.StatusBadRequest, b.get(back.String()).Code)
	assert.Equal(t, 1, p.called("/token"))
	assert.Equal(t, "ann", saw(t, b.get("/app/x")).Subject, "the first one stands")
}

func TestAFailedExchangeIsNotTriedInAnotherWay(t *testing.T) {
	p := newFake(t)
	p.broken["/token"] = func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "LEAK", "error_description": "LEAK"})
	}
	w := start(t, p, nil).login(p)
	assert.Equal(t, http.StatusBadGateway, w.Code)
	assert.NotContains(t, w.Body.String(), "LEAK")
	assert.Equal(t, 1, p.called("/token"))
}

// Several tabs are restored at once, each is sent to the provider, and the user logs in in
// each, in any order.
func TestSeveralTabsLogInAtTheSameTime(t *testing.T) {
	p := newFake(t)
	b := start(t, p, Memory(10))
	var backs []*url.URL
	for _, page := range []string{"/app/1", "/app/2", "/app/3"} {
		backs = append(backs, p.authorize(b.get("/auth/login?return="+page).Header().Get("Location")))
	}
	for _, i := range []int{1, 2, 0} {
		w := b.get(backs[i].String())
		require.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, "/app/"+string(rune('1'+i)), w.Header().Get("Location"))
	}
}

func TestLoginsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		b := start(t, p, nil)
		first := p.authorize(b.get("/auth/login").Header().Get("Location"))
		for range 20 {
			time.Sleep(time.Second)
			b.get("/auth/login")
		}
		last := p.authorize(b.get("/auth/login").Header().Get("Location"))
		assert.Len(t, b.cookies, maxPending)
		assert.Equal(t, http.StatusBadRequest, b.get(first.String()).Code)
		assert.Equal(t, http.StatusSeeOther, b.get(last.String()).Code)

		back := p.authorize(b.get("/auth/login").Header().Get("Location"))
		time.Sleep(loginTime)
		assert.Equal(t, http.StatusBadRequest, b.get(back.String()).Code, "too late")
	})
}

func TestALoginCookieIsNoSessionAndGoodForOneStateOnly(t *testing.T) {
	p := newFake(t)
	b := start(t, p, nil)
	back := p.authorize(b.get("/auth/login").Header().Get("Location"))
	for name, value := range b.cookies {
		moved := newBrowser(t, b.h)
		moved.cookies["__Host-session-0"] = "1" + value
		assert.Equal(t, http.StatusUnauthorized, moved.get("/app/x").Code)
		assert.Empty(t, moved.cookies, "cleared")
		moved.cookies[name[:len(name)-1]+"~"] = value
		assert.Equal(t, http.StatusBadRequest, moved.get(back.String()).Code)
	}
}

// Session fixation: what session a browser has before the login, planted or not, is not the
// one it has after, and is over.
func TestALoginBeginsANewSessionAndEndsTheOld(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		p := newFake(t)
		attacker := loggedIn(t, p, store)
		victim := attacker.clone() // the attacker has planted his cookie
		before := victim.cookies["__Host-session-0"]
		require.Equal(t, http.StatusSeeOther, victim.login(p).Code)
		assert.NotEqual(t, before, victim.cookies["__Host-session-0"])
		assert.Equal(t, "access-ac", saw(t, victim.get("/app/x")).Token)
		assert.Equal(t, http.StatusUnauthorized, attacker.get("/app/x").Code)
	})
}

func TestReturnOnlyToThisHost(t *testing.T) {
	p := newFake(t)
	b := start(t, p, nil)
	w := b.get("/auth/login?return=" + url.QueryEscape("https://evil.test/"))
	w = b.get(p.authorize(w.Header().Get("Location")).String())
	assert.Equal(t, "/", w.Header().Get("Location"))
}

func TestMethodsOfThePages(t *testing.T) {
	p := newFake(t)
	b := start(t, p, nil)
	for _, c := range [][2]string{
		{"POST", "/auth/login"}, {"HEAD", "/auth/login"}, {"POST", "/auth/callback"}, {"HEAD", "/auth/callback"},
		{"GET", "/auth/logout"}, {"POST", "/auth/session"},
	} {
		w := b.do(c[0], c[1])
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, c)
		assert.NotEmpty(t, w.Header().Get("Allow"))
	}
	for _, path := range []string{"/auth/", "/auth/x", "/auth/login/", "/auth/x/login"} {
		assert.Equal(t, http.StatusNotFound, b.get(path).Code, path)
	}
	assert.Zero(t, p.called("/.well-known/openid-configuration"), "nothing was needed")
}

func TestDiscoveryIsMadeOnceForAllAndWithPausesIfItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		p.down = true
		b := start(t, p, nil)
		asked := func() int { return p.called("/.well-known/openid-configuration") }
		for range 10 {
			w := b.get("/auth/login")
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.NotEmpty(t, w.Header().Get("Retry-After"))
			assert.NotContains(t, w.Body.String(), "refused")
		}
		assert.Equal(t, 1, asked())
		time.Sleep(minPause)
		b.get("/auth/login")
		b.get("/auth/login")
		assert.Equal(t, 2, asked())
		p.set(func() { p.down = false })
		time.Sleep(2 * minPause)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { assert.Equal(t, http.StatusSeeOther, b.get("/auth/login").Code) })
		}
		group.Wait()
		assert.Equal(t, 3, asked())
	})
}

func TestDiscoveryRefusesADocumentThatIsNotTheIssuers(t *testing.T) {
	for name, lie := range map[string]func(p *fakeProvider){
		"another issuer": func(p *fakeProvider) { p.document = func(d map[string]any) { d["issuer"] = "https://evil.test" } },
		"a slash more":   func(p *fakeProvider) { p.document = func(d map[string]any) { d["issuer"] = issuer + "/" } },
		"no token":       func(p *fakeProvider) { p.document = func(d map[string]any) { delete(d, "token_endpoint") } },
		"clear text": func(p *fakeProvider) {
			p.document = func(d map[string]any) { d["token_endpoint"] = "http://id.test/token" }
		},
		"clear revocation": func(p *fakeProvider) {
			p.document = func(d map[string]any) { d["revocation_endpoint"] = "ftp://id.test/" }
		},
		"a redirect": func(p *fakeProvider) {
			p.broken["/.well-known/openid-configuration"] = http.RedirectHandler("https://id.test/other", http.StatusFound).ServeHTTP
		},
		"endless": func(p *fakeProvider) {
			p.document = func(d map[string]any) { d["x"] = strings.Repeat("x", maxBody) }
		},
		"no JSON": func(p *fakeProvider) {
			p.broken["/.well-known/openid-configuration"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake(t)
			lie(p)
			assert.Equal(t, http.StatusServiceUnavailable, start(t, p, nil).get("/auth/login").Code)
			assert.Zero(t, p.called("/other"))
		})
	}
}

func TestThePanicOfATransportIsAFailure(t *testing.T) {
	p := newFake(t)
	p.broken["/.well-known/openid-configuration"] = func(http.ResponseWriter, *http.Request) { panic("boom") }
	assert.Equal(t, http.StatusServiceUnavailable, start(t, p, nil).get("/auth/login").Code)
}

func TestParamsGoWithTheRequest(t *testing.T) {
	p := newFake(t)
	c := config(p, nil)
	c.Params = map[string]string{"prompt": "consent"}
	w := newBrowser(t, newGateway(Must(c))).get("/auth/login")
	u, err := url.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, "consent", u.Query().Get("prompt"))
	assert.Equal(t, "openid offline_access", u.Query().Get("scope"))
}
