package auth

import (
	"errors"
	"fmt"
	"net/http"
)

// Map returns an [Authenticator] that takes from a who a request speaks for, and gives out
// what f makes of it: with the roles that a database knows, say. Unlike a function of your own
// around a's Authenticate, it has [Require] compile a once, remove a's credentials, and have
// the token for a [Relay] and a [TokenExchange].
//
// f returns the principal that it was given, or another: it must not change that one, which
// other requests share. One that expires later than the credential, or never, expires with it.
// Nil refuses the request with 401, and an error is as one of an authenticator's. f is asked
// with each request, concurrently, and should remember what costs something. An [Issuer]
// signs a token for each principal that f makes anew.
//
// For nobody, where a is [Anonymous] or finds nothing of its kind, f is not asked.
func Map(a Authenticator, f func(r *http.Request, p *Principal) (*Principal, error)) Authenticator {
	m := mapping{a, f, defaultChallenge}
	if c, ok := a.(Challenger); ok && !isNil(a) && c.Challenge() != "" {
		m.challenge = c.Challenge()
	}
	return m
}

// mapping is what Map returns, and what that is compiled into.
type mapping struct {
	Authenticator
	f         func(*http.Request, *Principal) (*Principal, error)
	challenge string
}

// bearerMapping is a compiled mapping of an authenticator of bearer tokens.
type bearerMapping struct {
	mapping
	bearerReader
}

// Challenge is part of [Challenger].
func (m mapping) Challenge() string { return m.challenge }

func (m mapping) build() (Authenticator, error) {
	var faults []error
	if m.f == nil {
		faults = append(faults, errors.New("nil function"))
	}
	built, err := compile(m.Authenticator)
	if err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: map: %w", err)
	}
	compiled := mapping{built, m.f, m.challenge}
	if b, ok := built.(bearerReader); ok {
		return bearerMapping{compiled, b}, nil
	}
	return compiled, nil
}

func (m mapping) field() string {
	if v, ok := m.Authenticator.(reader); ok {
		return v.field()
	}
	return ""
}

func (m mapping) clean(r *http.Request) {
	if v, ok := m.Authenticator.(cleaner); ok {
		v.clean(r)
	}
}

// Authenticate is part of [Authenticator].
func (m mapping) Authenticate(r *http.Request) (*Principal, error) {
	p, err := m.Authenticator.Authenticate(r)
	if err != nil || p == nil || p.kind == nothing || p.expired() {
		return p, err
	}
	mapped, err := m.f(r, p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("auth: map: %w", err)
	case mapped == nil:
		return nil, m.refuse(p)
	case mapped == p:
		return p, nil
	}
	return mapped.after(p), nil
}

func (m mapping) refuse(p *Principal) error {
	cause := errors.New("auth: map: refused")
	if p.kind == bearerToken {
		return refuse(http.StatusUnauthorized, "The access token is not valid.", invalidToken, cause)
	}
	return refuse(http.StatusUnauthorized, "The credentials are not valid.", m.challenge, cause)
}

// after returns p as one that has come by source's credential.
func (p *Principal) after(source *Principal) *Principal {
	mapped := *p
	mapped.field, mapped.kind, mapped.token, mapped.header, mapped.source = source.field, source.kind, source.token, source.header, source
	if end := source.Expires; !end.IsZero() && (mapped.Expires.IsZero() || end.Before(mapped.Expires)) {
		mapped.Expires = end
	}
	return &mapped
}

// first returns whom p was made of, p itself if nobody.
func (p *Principal) first() *Principal {
	for p.source != nil {
		p = p.source
	}
	return p
}
