package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatewright/gateway/auth"
)

// A token is renewed when this much of its life is left, or a quarter of it if that is less.
const renewBefore = time.Minute

// errEnded is for a session that its provider, a logout or its time has ended.
var errEnded = errors.New("the session has ended")

// stamp is a time in milliseconds of the Unix epoch, short in a cookie; zero: none.
type stamp int64

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.UnixMilli())
}

func (s stamp) time() time.Time { return time.UnixMilli(int64(s)) }

// session is what is kept of a login. It is not changed once others can see it.
type session struct {
	ID      string `json:"i"`           // random, of this login alone
	Access  string `json:"a"`           // the access token
	Refresh string `json:"r,omitempty"` // the refresh token; empty: none
	IDToken string `json:"t"`           // as the provider signed it, for what it claims and for the logout
	Scope   string `json:"s,omitempty"` // granted
	Expires stamp  `json:"e,omitempty"` // the access token; zero: it was not said
	Renew   stamp  `json:"n,omitempty"` // when it is time to refresh; zero: never
	Created stamp  `json:"c"`           // the login
	Used    stamp  `json:"u"`           // not to the second, see touch
}

// String keeps tokens from what prints a session.
func (*session) String() string { return "session redacted" }

// GoString is String, for %#v.
func (s *session) GoString() string { return s.String() }

// grant puts what the provider's token endpoint said into s.
func (s *session) grant(t *oauth2.Token, now time.Time) {
	s.Access, s.Refresh = t.AccessToken, t.RefreshToken
	s.Expires, s.Renew = stampOf(t.Expiry), 0
	if !t.Expiry.IsZero() {
		s.Renew = stampOf(t.Expiry.Add(-min(renewBefore, t.Expiry.Sub(now)/4)))
	}
	if scope, ok := t.Extra("scope").(string); ok && scope != "" { // left out: as asked for (RFC 6749 section 5.1)
		s.Scope = scope
	}
}

// due reports whether the access token should be refreshed.
func (s *session) due(now time.Time) bool { return s.Renew != 0 && !now.Before(s.Renew.time()) }

// alive reports whether the access token is good.
func (s *session) alive(now time.Time) bool { return s.Expires == 0 || now.Before(s.Expires.time()) }

// version says which refresh of which session this is, without saying a token.
func (s *session) version() [sha256.Size]byte {
	return sha256.Sum256([]byte(s.ID + "\x00" + s.Access + "\x00" + s.Refresh))
}

func (s *session) encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers
	}
	return data
}

func decodeSession(data []byte) (*session, bool) {
	var s session
	if err := json.Unmarshal(data, &s); err != nil || s.ID == "" || s.Access == "" {
		return nil, false
	}
	return &s, true
}

// principal returns whom the session speaks for: what its ID token claims, which was
// verified when it came and has been ours since.
func (s *session) principal() (*auth.Principal, error) {
	parts := strings.Split(s.IDToken, ".")
	if len(parts) != 3 {
		return nil, errors.New("no ID token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("ID token is not base64url")
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	claims := map[string]any{}
	if err := d.Decode(&claims); err != nil {
		return nil, errors.New("ID token is not JSON")
	}
	subject, _ := claims["sub"].(string)
	return &auth.Principal{Subject: subject, Scopes: strings.Fields(s.Scope), Claims: claims}, nil
}

// lifetime is how long sessions last.
type lifetime struct{ idle, total time.Duration }

// over reports whether s has lasted too long, or nobody used it for too long.
func (l lifetime) over(s *session, now time.Time) bool {
	return !now.Before(s.Created.time().Add(l.total)) || !now.Before(s.Used.time().Add(l.idle))
}

// stale reports whether it is time to write down that s is in use. To do so on each
// request would make each a write.
func (l lifetime) stale(s *session, now time.Time) bool {
	return now.Sub(s.Used.time()) >= l.idle/10
}

// rest is how long the cookie of s is worth keeping.
func (l lifetime) rest(s *session, now time.Time) time.Duration {
	return s.Created.time().Add(l.total).Sub(now)
}

// until is how long s may be kept if it is not used again.
func (l lifetime) until(s *session, now time.Time) time.Duration {
	return min(l.rest(s, now), s.Used.time().Add(l.idle).Sub(now))
}
