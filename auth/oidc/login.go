package oidc

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// loginTime is how long a login may take: to find the password, and the second factor.
const loginTime = 15 * time.Minute

// reserved are the parameters of an authorization request that a login depends on.
var reserved = []string{
	"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "request",
	"request_uri", "response_mode", "response_type", "scope", "state",
}

// attempt is a login that was begun: what the browser that began it holds, encrypted, in
// a cookie of its own.
type attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // RFC 7636
	Return   string `json:"r"`
	Begun    stamp  `json:"b"`
}

// String keeps the secrets from what prints an attempt.
func (*attempt) String() string { return "attempt redacted" }

// GoString is String, for %#v.
func (a *attempt) GoString() string { return a.String() }

// serveLogin sends the browser to the provider. Each tab that does so has a cookie of its
// own; when there are too many, the oldest goes.
func (l *Login) serveLogin(w http.ResponseWriter, r *http.Request) {
	e, err := l.provider.endpoints(r.Context())
	if err != nil {
		l.fail(w, r, unavailable("The login is not available at the moment.", err))
		return
	}
	a := &attempt{
		State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(),
		Return: local(r.URL.Query().Get("return"), l.base), Begun: stampOf(time.Now()),
	}
	l.cookie.prune(w.Header(), l.cookie.take(r.Header))
	l.cookie.begin(w.Header(), a)
	options := []oauth2.AuthCodeOption{goidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	for name, value := range l.params {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	redirect(w, e.oauth.AuthCodeURL(a.State, options...))
}

func (j *jar) login(state string) string { return j.name + "-login-" + state }

func (j *jar) begin(h http.Header, a *attempt) {
	data, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings and a number
	}
	name := j.login(a.State[:loginName])
	addCookie(h, name, base64.RawURLEncoding.EncodeToString(j.logins.seal(data, name)), loginTime)
}

// begun returns the login that a cookie holds, or nil if it holds none that is still good.
func (j *jar) begun(c *crumbs, state string) *attempt {
	text := c.logins[state]
	if text == "" || len(text) > pieceSize {
		return nil
	}
	data, ok := unseal(j.logins, text, j.login(state))
	if !ok {
		return nil
	}
	var a attempt
	if err := json.Unmarshal(data, &a); err != nil || time.Since(a.Begun.time()) >= loginTime {
		return nil
	}
	return &a
}

// prune removes the cookies of logins that are over, or too many, and leaves room for one.
func (j *jar) prune(h http.Header, c *crumbs) {
	type pending struct {
		state string
		begun stamp
	}
	var all []pending
	for state := range c.logins {
		if a := j.begun(c, state); a != nil {
			all = append(all, pending{state, a.Begun})
			continue
		}
		addCookie(h, j.login(state), "", -1)
	}
	slices.SortFunc(all, func(a, b pending) int { return int(a.begun - b.begun) })
	for len(all) >= maxPending {
		addCookie(h, j.login(all[0].state), "", -1)
		all = all[1:]
	}
}

// returned returns the login that state belongs to, begun by this very browser, or nil: a
// login that an attacker began must not end in the browser of another (RFC 6749 section
// 10.12). Its cookie has done its service.
func (j *jar) returned(h http.Header, c *crumbs, state string) *attempt {
	if len(state) < loginName {
		return nil
	}
	name := state[:loginName]
	if _, ok := c.logins[name]; !ok {
		return nil
	}
	a := j.begun(c, name)
	if a == nil || subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) != 1 {
		return nil
	}
	addCookie(h, j.login(name), "", -1)
	return a
}
