// Package oidc logs people in at an OpenID provider and keeps their tokens, so that a page
// in a browser never holds one: the gateway is what RFC 9700 and OAuth 2.0 for
// Browser-Based Applications call a backend for frontend. The page has a cookie that it
// cannot read; the gateway changes it for an access token on the way to a backend.
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"os"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/auth/oidc"
//		"github.com/gatewright/gateway/balancer"
//	)
//
//	func main() {
//		login := oidc.Must(oidc.Config{
//			Issuer: "https://id.shop.test", ClientID: "shop", ClientSecret: os.Getenv("CLIENT_SECRET"),
//			URL:      "https://shop.test/auth",
//			Scopes:   []string{"offline_access"}, // refresh tokens
//			Key:      []byte(os.Getenv("COOKIE_KEY")),
//			Sessions: oidc.Memory(100_000),
//		})
//		gw := gateway.New()
//		gw.Handle("/auth/", login)
//		app := gw.Group("/app", login.Session, auth.Require(login))
//		app.Handle("/orders/", gateway.Proxy(balancer.To("http://orders:8080")))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// The way of a login, and of what follows it:
//
//	browser                         gateway                              provider
//	   │ GET /auth/login?return=/app/  │                                     │
//	   ├──────────────────────────────►│ state, nonce, PKCE verifier         │
//	   │◄── 303, login cookie ─────────┤                                     │
//	   ├───────────────────────────────┼─── authorize ──────────────────────►│
//	   │◄──────────────────────────────┼─── 303 /auth/callback?code&state ───┤
//	   ├── with the login cookie ─────►│ state is the cookie's               │
//	   │                               ├─── code, verifier, secret ─────────►│
//	   │                               │◄── tokens ──────────────────────────┤
//	   │◄── 303 /app/, session cookie ─┤ nonce, signature, audience          │
//	   │                               │                                     │
//	   │ GET /app/orders/              │                                     │
//	   ├── with the session cookie ───►│ access token about to expire?       │
//	   │                               ├─── refresh token ──────────────────►│
//	   │                               │                            backend  │
//	   │                               ├─── access token ──────────────►│
//
// # Where a session lives
//
// With a [Store] the browser holds a random number and the tokens stay here: a logout ends
// all copies of the cookie. Several gateways share one, package redisstore has it.
// Without, the whole session lies in the cookie, encrypted: nothing to run, but a logout
// does not end a copy of the cookie. That lasts until its access token is due, as the
// refresh token is revoked, and if the provider cannot revoke until Idle or Lifetime is
// over. With several gateways, and a provider that rotates refresh tokens, the requests of
// one session must then go to one of them: two would use one refresh token twice.
//
// # What a page does
//
// It sends the user to /auth/login?return=PATH, reads who that is from /auth/session, calls
// the gateway with fetch as if there were no login, takes a 401 as the word to go to
// /auth/login again, and logs out by a form that posts to /auth/logout.
package oidc

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
)

const (
	defaultCookie   = "session"
	defaultIdle     = time.Hour
	defaultLifetime = 24 * time.Hour
	minKey          = 32 // bytes
)

// Config is what [New] makes a Login of.
type Config struct {
	Issuer       string            // the provider, exactly as its ID tokens name it; https, or http on localhost; required
	ClientID     string            // ours at the provider; required
	ClientSecret string            // ours at the provider; empty: we have none, and rely on PKCE alone
	URL          string            // where the Login is mounted, as the browser sees it, by https, or http on localhost; URL/callback is to be registered; required
	Scopes       []string          // asked for besides openid; many providers give refresh tokens for offline_access; nil: none
	Params       map[string]string // further parameters of the authorization request, as prompt or audience; nil: none
	Key          []byte            // encrypts cookies and what is stored, 32 random bytes or more, the same in each gateway; required
	OldKeys      [][]byte          // former Keys, which open only; nil: none
	Sessions     Store             // where sessions are kept; nil: in the cookie
	Cookie       string            // the cookie's name, behind __Host-; two Logins of one host need two; empty: session
	Idle         time.Duration     // how long a session lasts that nobody uses, to a tenth; zero: 1 hour
	Lifetime     time.Duration     // how long a session lasts at most; zero: 24 hours
	Redirect     bool              // Session sends who navigates to a page without a session, by GET, to the login; false: what follows decides, Require by 401
	Roles        string            // the claim that has the Principal's Roles, as in auth.JWT; empty: both "roles" and "groups"
	AfterLogout  string            // the path where a logout leads, on the host of URL, to be registered at the provider too; empty: /
	Transport    http.RoundTripper // calls the provider, as a balancer.Pool may; nil: one of its own
}

// Login is the handler of the login's own pages, below Config.URL:
//
//	GET  /login?return=/path  to the provider, and from there to path, which must be of this host
//	GET  /callback            where the provider sends the browser back to
//	POST /logout              ends the session here and at the provider
//	GET  /session             who is logged in: the claims of the ID token as JSON, or 401
//
// It is an [auth.Authenticator] behind its Session. It may be used concurrently.
type Login struct {
	base     string // the path of URL
	origin   string
	after    string
	cookie   *jar
	life     lifetime
	redirect bool
	roles    string
	params   map[string]string
	provider *provider
	shelf    *shelf  // nil: sessions are in the cookie
	recent   *recent // what became of sessions in cookies
	done     *recent // logins that came back
	renewals singleflight.Group
	origins  http.CrossOriginProtection
	claims   http.Handler
}

// New returns a Login, or all that is wrong with c. It starts nothing and calls nobody: the
// provider is discovered when it is first needed, and until that succeeds again after a
// pause of 1 to 30 seconds, with 503 meanwhile.
func New(c Config) (*Login, error) {
	base, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("auth/oidc: new: %w", err)
	}
	keys := slices.Concat([][]byte{c.Key}, c.OldKeys)
	l := &Login{
		base:     base.Path,
		origin:   base.Scheme + "://" + base.Host,
		after:    or(c.AfterLogout, "/"),
		cookie:   newJar(or(c.Cookie, defaultCookie), keys),
		life:     lifetime{or(c.Idle, defaultIdle), or(c.Lifetime, defaultLifetime)},
		redirect: c.Redirect,
		roles:    c.Roles,
		params:   maps.Clone(c.Params),
		recent:   newRecent(recentTime),
		done:     newRecent(loginTime),
		provider: &provider{
			issuer: c.Issuer, id: c.ClientID, secret: c.ClientSecret,
			redirect: base.String() + "/callback",
			scopes:   append([]string{"openid"}, c.Scopes...),
			client:   newClient(c.Transport),
		},
	}
	if c.Sessions != nil {
		l.shelf = &shelf{c.Sessions, newSealer("stored session", keys), l.life}
	}
	if err := l.origins.AddTrustedOrigin(l.origin); err != nil { // behind a proxy that changes Host
		return nil, fmt.Errorf("auth/oidc: new: %w", err)
	}
	l.claims = l.session(http.HandlerFunc(l.serveClaims), false)
	return l, nil
}

// Must is [New], and panics where that returns an error.
func Must(c Config) *Login {
	l, err := New(c)
	if err != nil {
		panic(err)
	}
	return l
}

// check returns Config.URL, without a slash at its end.
func (c Config) check() (*url.URL, error) {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	issuer, err := url.Parse(c.Issuer)
	fault(err != nil || !secure(issuer) || issuer.RawQuery != "" || issuer.Fragment != "", "Issuer is not an https URL")
	base, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	bad := err != nil || !secure(base) || base.RawQuery != "" || base.Fragment != "" || base.User != nil || base.EscapedPath() != base.Path
	fault(bad || base.Path != "" && !plain(base.Path), "URL is not an https URL with a plain path")
	fault(c.ClientID == "", "no ClientID")
	fault(len(c.Key) < minKey || slices.ContainsFunc(c.OldKeys, func(k []byte) bool { return len(k) < minKey }),
		fmt.Sprintf("a key of less than %d bytes", minKey))
	fault(c.Cookie != "" && !field.IsToken(c.Cookie) || len(c.Cookie) > maxCookie, "Cookie is not a name")
	fault(c.Idle < 0 || c.Lifetime < 0, "negative Idle or Lifetime")
	fault(c.AfterLogout != "" && local(c.AfterLogout, "\x00") != c.AfterLogout, "AfterLogout is not a path")
	fault(slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "" || strings.ContainsFunc(s, notScope) }), "Scopes has what is no scope")
	for _, name := range reserved {
		_, ok := c.Params[name]
		fault(ok, "Params has "+name+", which is ours to set")
	}
	return base, errors.Join(faults...)
}

// notScope reports whether c may not stand in a scope (RFC 6749 section 3.3).
func notScope(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// random returns what nobody guesses, of 256 bits, in characters of URLs and cookies.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, as documented
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ServeHTTP serves the login's own pages. No answer may be cached, and none tells the next
// site the URL, which can have a code in it.
func (l *Login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	page, ok := strings.CutPrefix(r.URL.Path, l.base)
	if !ok {
		page = ""
	}
	switch page {
	case "/login":
		allow(w, r, http.MethodGet, l.serveLogin)
	case "/callback":
		allow(w, r, http.MethodGet, l.serveCallback)
	case "/logout":
		allow(w, r, http.MethodPost, l.serveLogout)
	case "/session":
		allow(w, r, http.MethodGet, l.claims.ServeHTTP)
	default:
		gateway.Fail(w, r, &gateway.Problem{Status: http.StatusNotFound})
	}
}

func allow(w http.ResponseWriter, r *http.Request, method string, h http.HandlerFunc) {
	if r.Method != method {
		w.Header().Set("Allow", method)
		gateway.Fail(w, r, &gateway.Problem{Status: http.StatusMethodNotAllowed})
		return
	}
	h(w, r)
}

// redirect sends the browser on, by GET whatever it came by.
func redirect(w http.ResponseWriter, target string) {
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// navigates reports whether r is a browser's on its way to a page, and not a script's.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// unavailable is for when we cannot tell: the one who asks is not let in.
func unavailable(detail string, err error) error {
	return &gateway.Problem{
		Status: http.StatusServiceUnavailable, Detail: detail, RetryAfter: retryAfter,
		Fault: gateway.UpstreamUnavailable, Err: fmt.Errorf("auth/oidc: %w", err),
	}
}

const retryAfter = 5 * time.Second
