package oidc

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
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

func TestCrossOriginRequestsAreRefused(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		b := loggedIn(t, newFake(t), store)
		for name, c := range map[string]struct {
			method string
			fields []string
			status int
		}{
			"post cross-site":          {"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			"post from a subdomain":    {"POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
			"delete cross-site":        {"DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			"post, old browser":        {"POST", []string{"Origin", "https://evil.test"}, 403},
			"post, opaque origin":      {"POST", []string{"Origin", "null"}, 403},
			"post same-origin":         {"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
			"post same origin, old":    {"POST", []string{"Origin", "https://shop.test"}, 200},
			"post, Host was changed":   {"POST", []string{"Origin", "https://shop.test", "Test-Host", "internal"}, 200},
			"get cross-site":           {"GET", []string{"Sec-Fetch-Site", "cross-site"}, 200},
			"websocket cross-site":     {"GET", []string{"Sec-Fetch-Site", "cross-site", "Upgrade", "websocket", "Connection", "upgrade"}, 403},
			"websocket from a sibling": {"GET", []string{"Origin", "https://x.shop.test", "Upgrade", "websocket", "Connection", "upgrade"}, 403},
			"websocket same-origin":    {"GET", []string{"Origin", "https://shop.test", "Upgrade", "websocket", "Connection", "upgrade"}, 200},
		} {
			t.Run(name, func(t *testing.T) {
				r := b.request(c.method, "/app/x", c.fields...)
				if host := r.Header.Get("Test-Host"); host != "" {
					r.Host = host
				}
				assert.Equal(t, c.status, b.send(r).Code)
			})
		}
		assert.Equal(t, http.StatusForbidden, b.do("POST", "/auth/logout", "Sec-Fetch-Site", "cross-site").Code)
		saw(t, b.get("/app/x"))
	})
}

func TestOnlyOurCookiesAreRemoved(t *testing.T) {
	b := loggedIn(t, newFake(t), nil)
	ours := "__Host-session-0=" + b.cookies["__Host-session-0"]
	b.cookies = nil
	for name, c := range map[string][2]string{
		"alone":         {ours, ""},
		"first":         {ours + "; a=1", "a=1"},
		"last":          {"a=1; " + ours, "a=1"},
		"middle":        {"a=1;  b = \"x y\";" + ours + ";c", "a=1;  b = \"x y\";c"},
		"near names":    {"__Host-session=1; " + ours + "; __Host-session-=2; __Host-session-8=3; __Host-session-00=4; __host-session-0=5; x__Host-session-0=6", "__Host-session=1; __Host-session-=2; __Host-session-8=3; __Host-session-00=4; __host-session-0=5; x__Host-session-0=6"},
		"stale and new": {"__Host-session-3=x; __Host-session-login-12345678=y; " + ours, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c[1], saw(t, b.get("/app/x", "Cookie", c[0])).Cookie)
		})
	}
	w := b.get("/open/x", "Cookie", "odd;; =x; a", "Cookie", "__Host-session-login-12345678=y")
	assert.Equal(t, "odd;; =x; a", saw(t, w).Cookie)
}

func TestACookieThatIsNoSessionIsCleared(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		b := loggedIn(t, newFake(t), store)
		good := b.cookies["__Host-session-0"]
		other := loggedIn(t, newFake(t), store) // of another user of the same gateways
		foreign := config(newFake(t), store)
		foreign.Key = []byte(strings.Repeat("f", 32))
		elsewhere := newBrowser(t, newGateway(Must(foreign)))
		flipped := []byte(good)
		flipped[len(good)/2] ^= 1
		for name, value := range map[string]string{
			"flipped": string(flipped), "cut": good[:len(good)-4], "longer": good + "AAAA", "count": "2" + good[1:],
			"no count": good[1:], "zero": "0", "nine": "9" + good[1:], "empty": "",
			"huge": "1" + strings.Repeat("A", 40<<10), "mixed": good[:60] + other.cookies["__Host-session-0"][60:],
		} {
			t.Run(name, func(t *testing.T) {
				one := b.clone()
				one.cookies["__Host-session-0"] = value
				one.cookies["__Host-session-5"] = "stale"
				assert.Equal(t, http.StatusUnauthorized, one.get("/app/x").Code)
				assert.Empty(t, one.cookies)
			})
		}
		elsewhere.cookies = b.clone().cookies
		assert.Equal(t, http.StatusUnauthorized, elsewhere.get("/app/x").Code, "another key")
		w := b.clone().get("/app/x", "Cookie", "__Host-session-0="+good)
		assert.Equal(t, http.StatusUnauthorized, w.Code, "twice: which of them is it")
		saw(t, b.get("/app/x"))
	})
}

func TestOldKeysOpenAndTheNewOneSeals(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake(t)
			b := loggedIn(t, p, store)
			c := config(p, store)
			c.Key, c.OldKeys = []byte(strings.Repeat("n", 32)), [][]byte{testKey}
			b.h = newGateway(Must(c))
			saw(t, b.get("/app/x"))
			time.Sleep(10 * time.Minute) // it is refreshed, and so sealed anew
			saw(t, b.get("/app/x"))
			if store == nil {
				c.OldKeys = nil
				b.h = newGateway(Must(c))
				saw(t, b.get("/app/x"))
			}
		})
	})
}

func TestALargeSessionIsSplitOverCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		size := 6000
		p.claims = func(c jwt.MapClaims) { c["groups"] = strings.Repeat("g", size) }
		b := loggedIn(t, p, nil)
		assert.Len(t, b.cookies, 4)
		got := saw(t, b.get("/app/x", "Cookie", "a=1"))
		assert.Equal(t, "ann", got.Subject)
		assert.Equal(t, "a=1", got.Cookie)
		missing := b.clone()
		delete(missing.cookies, "__Host-session-1")
		assert.Equal(t, http.StatusUnauthorized, missing.get("/app/x").Code)
		assert.Empty(t, missing.cookies)

		size = 10
		time.Sleep(10 * time.Minute)
		saw(t, b.get("/app/x"))
		assert.Len(t, b.cookies, 1, "the pieces that are left over are deleted")
		saw(t, b.get("/app/x"))

		size = 20_000
		assert.Equal(t, http.StatusInternalServerError, b.login(p).Code)
	})
}

func TestASessionEndsWhenIdleOrOld(t *testing.T) {
	inBothModes(t, func(t *testing.T, store Store) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake(t)
			c := config(p, store)
			c.Idle, c.Lifetime = 30*time.Minute, 2*time.Hour
			p.ttl = 24 * time.Hour // so that no refresh is in the way
			b := newBrowser(t, newGateway(Must(c)))
			b.login(p)
			time.Sleep(30 * time.Minute)
			assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code, "idle")
			assert.Empty(t, b.cookies)

			b.login(p)
			old := b.clone()
			for range 5 {
				time.Sleep(20 * time.Minute)
				saw(t, b.get("/app/x"))
			}
			if store == nil {
				assert.Equal(t, http.StatusUnauthorized, old.get("/app/x").Code, "the cookie that was not renewed")
			}
			time.Sleep(20 * time.Minute)
			assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code, "2 hours")
			assert.Empty(t, b.cookies)
		})
	})
}

func TestUseIsWrittenDownSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		p.ttl = 24 * time.Hour
		b := loggedIn(t, p, nil)
		for range 9 {
			time.Sleep(30 * time.Second)
			assert.Empty(t, b.get("/app/x").Header().Values("Set-Cookie"))
		}
		time.Sleep(2 * time.Minute)
		assert.Len(t, b.get("/app/x").Header().Values("Set-Cookie"), 1)
	})
}

// The answer of a slow request comes when its session is over, or has been refreshed: it
// must not set the browser back.
func TestASlowAnswerDoesNotBringAnEndedSessionBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		p.ttl = 24 * time.Hour
		l := Must(config(p, nil))
		gw := newGateway(l)
		slow := make(chan struct{})
		gw.Handle("/slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-slow }), l.Session, auth.Require(l))
		b := newBrowser(t, gw)
		b.login(p)
		time.Sleep(10 * time.Minute)
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- b.clone().get("/slow") }()
		synctest.Wait()
		b.do("POST", "/auth/logout")
		close(slow)
		cookies := (<-done).Result().Cookies()
		require.Len(t, cookies, 1)
		assert.Negative(t, cookies[0].MaxAge)
	})
}

func TestNavigationsGoToTheLoginWhereTheyShould(t *testing.T) {
	p := newFake(t)
	c := config(p, nil)
	c.Redirect = true
	b := newBrowser(t, newGateway(Must(c)))
	w := b.get("/app/a%2Fb?q=1&r=/x", "Sec-Fetch-Mode", "navigate")
	require.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, "/auth/login?return="+url.QueryEscape("/app/a%2Fb?q=1&r=/x"), w.Header().Get("Location"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	w = b.get(w.Header().Get("Location"))
	w = b.get(p.authorize(w.Header().Get("Location")).String())
	assert.Equal(t, "/app/a%2Fb?q=1&r=/x", w.Header().Get("Location"))

	b = newBrowser(t, b.h)
	assert.Equal(t, http.StatusSeeOther, b.get("/app/x", "Accept", "text/html,*/*").Code, "an old browser")
	assert.Equal(t, http.StatusUnauthorized, b.get("/app/x", "Sec-Fetch-Mode", "cors", "Accept", "text/html").Code)
	assert.Equal(t, http.StatusUnauthorized, b.get("/app/x").Code)
	assert.Equal(t, http.StatusUnauthorized, b.do("POST", "/app/x", "Sec-Fetch-Mode", "navigate").Code)
	assert.Equal(t, http.StatusUnauthorized, b.get("/auth/session", "Sec-Fetch-Mode", "navigate").Code)
}

func TestAStoreThatFailsLetsNobodyIn(t *testing.T) {
	for name, broken := range map[string]func(s *brokenStore){
		"error": func(s *brokenStore) { s.err = errors.New("no route to redis:6379") },
		"hangs": func(s *brokenStore) { s.hang = make(chan struct{}); _ = s.hang },
		"panic": func(s *brokenStore) { s.panic = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &brokenStore{Store: Memory(10)}
				b := loggedIn(t, newFake(t), store)
				broken(store)
				if store.hang != nil {
					defer close(store.hang)
				}
				before := time.Now()
				for _, path := range []string{"/app/x", "/open/x"} {
					w := b.get(path)
					assert.Equal(t, http.StatusServiceUnavailable, w.Code)
					assert.NotContains(t, w.Body.String(), "redis")
				}
				assert.LessOrEqual(t, time.Since(before), 2*storeTime)
				assert.NotEmpty(t, b.cookies, "the session is not lost")
				assert.Equal(t, http.StatusServiceUnavailable, b.do("POST", "/auth/logout").Code)
				assert.NotEmpty(t, b.cookies, "nor is the logout done")
			})
		})
	}
}

func TestALoginNeedsTheStore(t *testing.T) {
	p := newFake(t)
	b := start(t, p, &brokenStore{Store: Memory(10), err: errors.New("down")})
	assert.Equal(t, http.StatusServiceUnavailable, b.login(p).Code)
	assert.Empty(t, b.cookies)
}

func TestRequireWithoutSessionIsAMistakeThatLetsNobodyIn(t *testing.T) {
	l := Must(config(newFake(t), nil))
	w := httptest.NewRecorder()
	auth.Require(l)(http.HandlerFunc(backend)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
}

// Two Logins of one host, for staff and customers: each knows its own sessions.
func TestTwoLoginsSideBySide(t *testing.T) {
	p := newFake(t)
	one := Must(config(p, nil))
	c := config(p, nil)
	c.Cookie = "staff"
	two := Must(c)
	gw := newGateway(one)
	gw.Group("/both", one.Session, two.Session, auth.Require(two, one)).Handle("/", http.HandlerFunc(backend))
	gw.Group("/staff", one.Session, two.Session, auth.Require(two)).Handle("/", http.HandlerFunc(backend))
	b := newBrowser(t, gw)
	b.login(p)
	assert.Equal(t, "access-ab", saw(t, b.get("/both/x")).Token)
	assert.Equal(t, http.StatusUnauthorized, b.get("/staff/x").Code)
}

// Who comes by another credential does not bring the session's token.
func TestTheTokenGoesWithTheSessionsPrincipalOnly(t *testing.T) {
	p := newFake(t)
	l := Must(config(p, nil))
	gw := newGateway(l)
	keys := auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey("k"): {Subject: "robot"}}}
	gw.Group("/keys", l.Session, l.Session, auth.Require(keys, l)).Handle("/", http.HandlerFunc(backend))
	b := newBrowser(t, gw)
	b.login(p)
	assert.Equal(t, seen{Subject: "robot"}, saw(t, b.get("/keys/x", "X-Api-Key", "k")))
	assert.Equal(t, "access-ab", saw(t, b.get("/keys/x")).Token)
}

func TestRolesAreThoseOfTheClaimThatIsNamed(t *testing.T) {
	for path, want := range map[string]int{"realm_access.roles": 200, "": 403} {
		p := newFake(t)
		p.claims = func(c jwt.MapClaims) {
			c["realm_access"], c["roles"] = map[string]any{"roles": []string{"clerk"}}, []string{"buyer"}
		}
		c := config(p, nil)
		c.Roles = path
		l := Must(c)
		gw := newGateway(l)
		gw.Group("/clerks", l.Session, auth.Require(l), auth.Allow(auth.Role("clerk"))).Handle("/", http.HandlerFunc(backend))
		b := newBrowser(t, gw)
		b.login(p)
		assert.Equal(t, want, b.get("/clerks/x").Code, path)
	}
}

func TestSetCookieIsNotSeenByACacheFurtherIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t)
		l := Must(config(p, nil))
		gw := gateway.New()
		gw.Handle("/auth/", l)
		gw.Handle("/app/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			assert.Empty(t, w.Header())
			w.Header().Set("Cache-Control", "public, max-age=60")
		}), l.Session, auth.Require(l))
		b := newBrowser(t, gw)
		b.login(p)
		assert.Equal(t, "public, max-age=60", b.get("/app/x").Header().Get("Cache-Control"))
		time.Sleep(10 * time.Minute)
		w := b.get("/app/x")
		assert.NotEmpty(t, w.Header().Values("Set-Cookie"))
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	})
}
