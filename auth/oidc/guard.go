package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/claim"
	"github.com/gatewright/gateway/internal/exchange"
)

const storeDown = "The session cannot be checked at the moment."

// opened is the session that a request came with.
type opened struct {
	session   *session        // nil: none
	stored    []byte          // as the Store has it; nil: it is in the cookie
	moved     bool            // it is no longer what the cookie says
	tells     bool            // the browser is told what became of it
	principal *auth.Principal // nil: nobody
}

// openedKey is what an opened travels by in a context: each Login has its own.
type openedKey struct{ login *Login }

// Session is a middleware that opens the session of a request, for [auth.Require] with the
// Login behind it. It lets requests without one pass as they are, and what is no session,
// or one no longer, it has the browser forget. It removes the Login's cookies from the
// request, so that no backend sees them: a route that is proxied without it passes on what
// opens the session.
//
// If the access token is about to expire, which is in a minute or when a quarter of its
// life is left, Session refreshes it: once for all requests of the session that wait for
// it, and also if they leave. A provider that takes the refresh token no longer, by
// invalid_grant, has ended the session. One that fails otherwise, or takes longer than 2
// seconds, is not waited for as long as the access token is good; after that the answer is
// 503. Without a refresh token the session ends with the access token.
//
// With a session, methods other than GET, HEAD and OPTIONS, and WebSockets, are for pages
// of the same origin only, as [http.CrossOriginProtection] tells; others get 403.
func (l *Login) Session(next http.Handler) http.Handler { return l.session(next, l.redirect) }

func (l *Login) session(next http.Handler, toLogin bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, r := exchange.Join(w, r)
		if l.opened(r) != nil { // by a Session further out, which has the cookie
			next.ServeHTTP(x, r)
			return
		}
		o, err := l.use(x, r)
		switch {
		case err != nil:
			l.fail(x, r, err)
			return
		case o.session == nil && toLogin && r.Method == http.MethodGet && navigates(r):
			x.Header().Set("Cache-Control", "no-store")
			redirect(x, l.base+"/login?return="+url.QueryEscape(r.URL.RequestURI()))
			return
		case o.session != nil:
			x.Token = exchange.Secret(o.session.Access)
			x.Session = &exchange.Session{Principal: o.principal, Token: x.Token}
		}
		next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), openedKey{l}, o)))
		if o.tells && x.Status() == 0 { // next leaves it to net/http, which does not know of OnHeader
			x.WriteHeader(http.StatusOK)
		}
	})
}

func (l *Login) opened(r *http.Request) *opened {
	o, _ := r.Context().Value(openedKey{l}).(*opened)
	return o
}

// Authenticate is part of [auth.Authenticator]: the principal is whom the ID token names,
// with all that it claims and the scopes that were granted. Without the Login's Session
// further out it is an error.
func (l *Login) Authenticate(r *http.Request) (*auth.Principal, error) {
	o := l.opened(r)
	if o == nil {
		return nil, errors.New("auth/oidc: no Session of this Login is before Require")
	}
	return o.principal, nil
}

// Challenge is part of [auth.Challenger]. No scheme is registered for cookies; this one
// tells a script where to send the user.
func (l *Login) Challenge() string { return `Session login="` + l.origin + l.base + `/login"` }

// fail answers with err, unless the client has left, which is nobody's failure.
func (l *Login) fail(w http.ResponseWriter, r *http.Request, err error) {
	if left := r.Context().Err(); left != nil {
		err = left
	}
	gateway.Fail(w, r, err)
}

// use opens the session of r, refreshes it if it is time, and has the browser told what
// became of it.
func (l *Login) use(x *exchange.Exchange, r *http.Request) (*opened, error) {
	c := l.cookie.take(r.Header)
	if !c.any() {
		return &opened{}, nil
	}
	if err := l.sameOrigin(r); err != nil {
		return nil, err
	}
	o, err := l.find(r.Context(), c)
	if err != nil {
		return nil, unavailable(storeDown, err)
	}
	if o.session != nil {
		if err := l.refresh(x, r, o); err != nil {
			return nil, err
		}
	}
	if o.session == nil {
		x.OnHeader(func(h http.Header) { l.cookie.set(h, nil, c, 0) })
		return &opened{tells: true}, nil
	}
	l.keep(x, r, c, o)
	if o.principal, err = o.session.principal(); err != nil {
		return nil, err
	}
	var all bool
	if o.principal.Roles, all = claim.Roles(o.principal.Claims, l.roles); !all {
		return nil, errors.New("auth: oidc: roles that are neither a text nor a list of texts") // a rule against one of them could not see it
	}
	return o, nil
}

// sameOrigin refuses what a page of another origin may have sent. The handshake of a
// WebSocket is a GET that opens a way for more.
func (l *Login) sameOrigin(r *http.Request) error {
	if r.Header.Get("Upgrade") != "" {
		unsafe := *r
		unsafe.Method = http.MethodPost
		r = &unsafe
	}
	if err := l.origins.Check(r); err != nil {
		return &gateway.Problem{Status: http.StatusForbidden, Detail: "Requests from other origins are not allowed.", Err: err}
	}
	return nil
}

// find returns the session that the cookies stand for.
func (l *Login) find(ctx context.Context, c *crumbs) (*opened, error) {
	ticket, ok := l.cookie.open(c)
	if !ok {
		return &opened{}, nil
	}
	if l.shelf != nil {
		id, ok := bytes.CutPrefix(ticket, []byte(ticketID))
		if !ok {
			return &opened{}, nil
		}
		s, stored, err := l.shelf.load(ctx, string(id))
		return &opened{session: s, stored: stored}, err
	}
	data, _ := bytes.CutPrefix(ticket, []byte(ticketSession))
	s, ok := decodeSession(data)
	if !ok || l.life.over(s, time.Now()) {
		return &opened{}, nil
	}
	latest := l.recent.latest(s)
	return &opened{session: latest, moved: latest != s}, nil
}

// What a cookie holds begins with one of these.
const (
	ticketID      = "i"
	ticketSession = "s"
)

// ticket is what the cookie holds of s.
func (l *Login) ticket(s *session) []byte {
	if l.shelf != nil {
		return []byte(ticketID + s.ID)
	}
	return append([]byte(ticketSession), s.encode()...)
}

// keep writes down that the session is in use, or what it has become.
func (l *Login) keep(x *exchange.Exchange, r *http.Request, c *crumbs, o *opened) {
	now := time.Now()
	stale := l.life.stale(o.session, now)
	switch {
	case l.shelf == nil && (o.moved || stale):
		used := *o.session
		used.Used = stampOf(now)
		x.OnHeader(func(h http.Header) { l.reissue(x, h, c, &used) })
		o.tells = true
	case l.shelf != nil && stale && !o.moved:
		l.shelf.touch(r.Context(), o.session, o.stored, now)
	}
}

// reissue sets the cookie of s, just before the answer begins. That can be long after s was
// read: if it was refreshed or ended since, the browser must not be set back.
func (l *Login) reissue(x *exchange.Exchange, h http.Header, c *crumbs, s *session) {
	latest := l.recent.latest(s)
	if latest == nil {
		l.cookie.set(h, nil, c, 0)
		return
	}
	pieces, err := l.cookie.seal(l.ticket(latest))
	if err != nil {
		x.Notes = append(x.Notes, slog.String("session", err.Error()))
	}
	l.cookie.set(h, pieces, c, l.life.rest(latest, time.Now()))
}

// end ends s, and in a cookie all that it has become: what is still on its way with it finds
// it ended.
func (l *Login) end(ctx context.Context, s *session) error {
	if l.shelf != nil {
		return l.shelf.delete(ctx, s.ID)
	}
	for s != nil && !l.recent.put(s.version(), nil) {
		s = l.recent.latest(s)
	}
	return nil
}

// ownClaims are those of an ID token that are about the token, and of no use to a page.
var ownClaims = []string{"nonce", "at_hash", "c_hash", "s_hash"}

// serveClaims tells a page who is logged in.
func (l *Login) serveClaims(w http.ResponseWriter, r *http.Request) {
	p, err := l.Authenticate(r)
	if err == nil && p == nil {
		w.Header().Set("WWW-Authenticate", l.Challenge())
		err = &gateway.Problem{Status: http.StatusUnauthorized, Detail: "Nobody is logged in."}
	}
	if err != nil {
		l.fail(w, r, err)
		return
	}
	claims := make(map[string]any, len(p.Claims))
	for name, value := range p.Claims {
		claims[name] = value
	}
	for _, name := range ownClaims {
		delete(claims, name)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_ = json.NewEncoder(w).Encode(claims) // a client that does not read it is not worth an error
}
