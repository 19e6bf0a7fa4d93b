package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gatewright/gateway/internal/claim"
	"github.com/gatewright/gateway/internal/exchange"
)

// Principal is who a request speaks for. All that handle the request share it, and
// so do all requests with the same API key or token: neither it nor what is in it may
// be changed. A nil Principal is nobody: it has no claims and no scopes.
type Principal struct {
	Subject string         // who it is, unique at the issuer; empty: not named
	Scopes  []string       // what the credential is good for; nil: nothing in particular
	Roles   []string       // what the subject is, for [Role]; nil: nothing in particular
	Claims  map[string]any // what the issuer says, as decoded from JSON, numbers as json.Number; nil: nothing
	Expires time.Time      // from when on the credential is no longer good, which Require checks; zero: it does not expire

	field   string     // the request's header field that held the credential; empty: it may pass
	kind    kind       // what the credential was
	token   *tokenSum  // of the bearer token that has proved who it is; nil: none has
	header  hidden     // fields that go on with the request, in place of the client's; nil: none
	source  *Principal // whom Map has made it of; nil: nobody
	bound   bool       // its token is bound to something, of which a claim cnf says to what
	unclear bool       // the issuer names roles in a way that not all can be read
}

// hidden is a header with secrets in it: package fmt does not look into a function.
type hidden func() http.Header

func hide(h http.Header) hidden { return func() http.Header { return h } }

// shown returns what is hidden, nil for nothing.
func (h hidden) shown() http.Header {
	if h == nil {
		return nil
	}
	return h()
}

// kind is what a credential was, as far as it matters after authentication.
type kind uint8

const (
	unknown kind = iota // an Authenticator of the user's found it
	bearerToken
	otherCredential // not one that a challenge of RFC 6750 could be about
	nothing         // see Anonymous
)

// Claim returns a claim as text: a string as it is, a number or a boolean as its
// JSON text, 64-bit integers exactly. It reports false for what is not there, and
// for null, objects and arrays, which have no text that could be put into a
// header or a path.
//
// The name of a claim within an object is a path with dots, "realm_access.roles"; a claim
// whose whole name has the dots comes first. "sub" is the Subject, and "roles" the Roles if
// there is no claim of that name.
func (p *Principal) Claim(name string) (string, bool) {
	return text(p.claim(name))
}

// claim returns a claim as it is, or nil.
func (p *Principal) claim(name string) any {
	if p == nil {
		return nil
	}
	if name == "sub" {
		if p.Subject == "" {
			return nil
		}
		return p.Subject
	}
	v := claim.At(p.Claims, name)
	if v == nil && name == "roles" && len(p.Roles) > 0 {
		return p.Roles
	}
	return v
}

func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), v != ""
	case bool, float64, float32, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		b, err := json.Marshal(v) // fails for NaN and the infinities
		return string(b), err == nil
	}
	return "", false
}

// HasScope reports whether the credential is good for scope.
func (p *Principal) HasScope(scope string) bool {
	return p != nil && slices.Contains(p.Scopes, scope)
}

// From returns the principal of the request that ctx belongs to, or nil.
func From(ctx context.Context) *Principal {
	s := exchange.From(ctx)
	if s == nil {
		return nil
	}
	p, _ := s.Principal.(*Principal)
	return p
}

// NewContext returns ctx with p as its principal, nil for nobody: for tests, and
// for handlers that authenticate in a way of their own. What surrounds the handler
// does not see p, an access log for instance; where it should, write an
// [Authenticator] and use [Require].
func NewContext(ctx context.Context, p *Principal) context.Context {
	var s exchange.State
	if outer := exchange.From(ctx); outer != nil {
		s = *outer
	}
	s.Principal = nil
	s.Token = ""  // it is another principal's, and must not be relayed for this one
	if p != nil { // a nil *Principal in the interface would not be nil
		s.Principal = p
	}
	return exchange.With(ctx, &s)
}

// Subject returns the subject of r's principal, and "" if there is nobody or the
// credential names none: a key for limits, among other things.
func Subject(r *http.Request) string {
	if p := From(r.Context()); p != nil {
		return p.Subject
	}
	return ""
}
