package oidctest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/auth/oidc"
)

// tokenTTL is as short as a provider's clock, of whole seconds, lets it be of use.
const tokenTTL = 4 * time.Second

// stepTime is for what a browser does at once, on a machine that does much else.
const stepTime = 20 * time.Second

const homePage = `<!doctype html><title>app</title><p id="home">home</p>
<form method="post" action="/auth/logout"><button id="logout">Log out</button></form>`

// api is a backend: it asks the provider whose token it got, so the token was good.
type api struct {
	issuer string
	posts  atomic.Int32
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		a.posts.Add(1)
	}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, a.issuer+"/me", nil)
	if err != nil {
		panic(err)
	}
	ask.Header.Set("Authorization", r.Header.Get("Authorization"))
	res, err := new(http.Client).Do(ask)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	var user struct{ Sub, Email string }
	if err := json.NewDecoder(res.Body).Decode(&user); err != nil || res.StatusCode != http.StatusOK {
		http.Error(w, fmt.Sprint("the token is not good: ", res.Status, err), http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(answer{
		user.Sub, auth.HashKey(r.Header.Get("Authorization")), strings.Contains(r.Header.Get("Cookie"), "__Host-"),
	})
}

// answer is what the api tells the page; of the token only which it is.
type answer struct {
	Sub, Token string
	Cookie     bool
}

// site is a gateway with a login, and an app behind it.
type site struct {
	url string
	api *api
}

func startSite(t *testing.T, store oidc.Store) *site {
	l, address := listen(t)
	issuer := startProvider(t, address, tokenTTL)
	s := &site{address, &api{issuer: issuer}}
	login := oidc.Must(oidc.Config{
		Issuer: issuer, ClientID: "shop", ClientSecret: "s3cret", URL: address + "/auth",
		Scopes: []string{"offline_access", "email"}, Params: map[string]string{"prompt": "consent"},
		Key: bytes.Repeat([]byte("k"), 32), Sessions: store, Redirect: true,
	})
	gw := gateway.New()
	gw.Handle("/auth/", login)
	gw.Handle("/{$}", page("<p id=out>out</p>"))
	app := gw.Group("/app", login.Session, auth.Require(login))
	app.Handle("/{$}", page(homePage))
	app.Handle("/api/", gateway.Proxy(&auth.Relay{Base: gateway.Local(s.api), Required: true}))
	serveTLS(t, l, gw)
	return s
}

func page(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, text)
	})
}

// script runs an expression in the page, waits for it if it is a promise, and returns what
// it comes to.
func script[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(t, err, expression)
	return result
}

func fetch(t *testing.T, ctx context.Context) answer {
	return script[answer](t, ctx, `fetch('/app/api/me').then(r => r.json())`)
}

func run(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	step, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if err := chromedp.Do(step, steps...); err != nil {
		require.NoError(t, err, "at %s: %s", location(t, ctx), script[string](t, ctx, `document.documentElement.outerHTML`))
	}
}

func location(t *testing.T, ctx context.Context) string {
	return script[string](t, ctx, `location.href`)
}

func TestABrowserLogsInWorksAndLogsOut(t *testing.T) {
	for name, store := range map[string]oidc.Store{"cookie": nil, "memory": oidc.Memory(100)} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, store)
			ctx := startBrowser(t)

			run(t, ctx, chromedp.Navigate(s.url+"/app/"),
				chromedp.WaitVisible("#login"), chromedp.SendKeys("#login", "ann"), chromedp.Click("#go"),
				chromedp.WaitVisible("#home"))
			assert.Equal(t, s.url+"/app/", location(t, ctx))

			first := fetch(t, ctx)
			assert.Equal(t, "ann", first.Sub)
			assert.False(t, first.Cookie, "the backend sees no cookie of ours")
			claims := script[map[string]any](t, ctx, `fetch('/auth/session').then(r => r.json())`)
			assert.Equal(t, "ann@shop.test", claims["email"])

			t.Run("the page has no token", func(t *testing.T) { s.hasNoToken(t, ctx) })
			t.Run("refresh", func(t *testing.T) { s.refreshes(t, ctx, first.Token) })
			t.Run("cross-site", func(t *testing.T) { s.refusesOthers(t, ctx) })
			t.Run("logout", func(t *testing.T) { s.logsOut(t, ctx, store != nil) })
		})
	}
}

func (s *site) hasNoToken(t *testing.T, ctx context.Context) {
	assert.Empty(t, script[string](t, ctx, `document.cookie`))
	assert.Zero(t, script[int](t, ctx, `localStorage.length + sessionStorage.length`))
	assert.NotContains(t, script[string](t, ctx, `performance.getEntries().map(e => e.name).join()`), "code=")
	cookies := s.cookies(t, ctx)
	require.Len(t, cookies, 1)
	c := cookies[0]
	assert.Equal(t, "__Host-session-0", c.Name)
	assert.True(t, c.HTTPOnly && c.Secure)
	assert.Equal(t, network.CookieSameSiteLax, c.SameSite)
	assert.NotContains(t, c.Value, "eyJ")
}

func (s *site) cookies(t *testing.T, ctx context.Context) []*network.Cookie {
	t.Helper()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{s.url}})
	require.NoError(t, err)
	return got.Cookies
}

// refreshes waits until the access token has expired and been refreshed, twice: the first
// time by the refresh token of the login, then by that of the refresh.
func (s *site) refreshes(t *testing.T, ctx context.Context, token string) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range 2 {
		deadline := time.Now().Add(5 * tokenTTL)
		before := token
		for token == before {
			require.True(t, time.Now().Before(deadline), "it was not refreshed")
			<-tick.C
			// Several at once: the provider ends the session if a refresh token is used twice.
			answers := script[[]answer](t, ctx, `Promise.all([1,2,3,4].map(() => fetch('/app/api/me').then(r => r.json())))`)
			for _, a := range answers {
				require.Equal(t, "ann", a.Sub)
				token = a.Token
			}
		}
	}
	assert.Equal(t, s.url+"/app/", location(t, ctx), "without a new login")
}

// refusesOthers has pages of other origins post with the user's cookies: one of another
// site, to which the browser gives none, and one of another port of this host, to which it
// does.
func (s *site) refusesOthers(t *testing.T, ctx context.Context) {
	form := page(`<form method="post" action="` + s.url + `/app/api/orders"><button id="send">win</button></form>`)
	elsewhere := httptest.NewServer(form)
	defer elsewhere.Close()
	crossSite, err := url.Parse(elsewhere.URL)
	require.NoError(t, err)
	l, sibling := listen(t)
	serveTLS(t, l, form)
	for origin, status := range map[string]int{
		"http://localhost:" + crossSite.Port(): http.StatusUnauthorized, // comes without a cookie
		sibling:                                http.StatusForbidden,
	} {
		run(t, ctx, chromedp.Navigate(origin), chromedp.WaitVisible("#send"))
		step, cancel := context.WithTimeout(ctx, stepTime)
		got, err := chromedp.RunResponse(step, chromedp.Click("#send"))
		cancel()
		require.NoError(t, err)
		assert.Equal(t, int64(status), got.Status, origin)
		assert.Equal(t, s.url+"/app/api/orders", got.URL)
	}
	assert.Zero(t, s.api.posts.Load())
	run(t, ctx, chromedp.Navigate(s.url+"/app/"), chromedp.WaitVisible("#home"))
	assert.Equal(t, 200, script[int](t, ctx, `fetch('/app/api/orders', {method: 'POST'}).then(r => r.status)`))
	assert.Equal(t, int32(1), s.api.posts.Load(), "the site's own page may")
}

func (s *site) logsOut(t *testing.T, ctx context.Context, stored bool) {
	// Before: the provider knows the user, and asks for nothing.
	run(t, ctx, chromedp.Navigate(s.url+"/auth/login?return=/app/"), chromedp.WaitVisible("#home"))
	before := s.cookies(t, ctx)

	run(t, ctx, chromedp.Click("#logout"), chromedp.WaitVisible("#yes"), chromedp.Click("#yes"), chromedp.WaitVisible("#out"))
	assert.Equal(t, s.url+"/", location(t, ctx))
	assert.Empty(t, s.cookies(t, ctx))
	assert.Equal(t, 401, script[int](t, ctx, `fetch('/app/api/me').then(r => r.status)`))
	if stored {
		assert.Equal(t, 401, s.replay(t, before), "a copy of the cookie")
	}

	run(t, ctx, chromedp.Navigate(s.url+"/app/"), chromedp.WaitVisible("#login"))
}

// replay sends a request with cookies that somebody has copied.
func (s *site) replay(t *testing.T, cookies []*network.Cookie) int {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/app/api/me", nil)
	require.NoError(t, err)
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r)
	require.NoError(t, err)
	res.Body.Close()
	return res.StatusCode
}
