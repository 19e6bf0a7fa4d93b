package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/claim"
)

const (
	rememberActive   = time.Minute
	rememberInactive = 5 * time.Second
)

// Introspection authenticates by a bearer token (RFC 6750) of any form, and asks its
// issuer what it stands for (RFC 7662).
//
// A token is good if the issuer says that it is active, and what else it says holds: an
// exp, if there, that has not passed, nbf and iat that have, and the issuer and the
// audience asked for. All of it is in the Principal's Claims. An answer that is not
// status 200 with one JSON object of 64 KiB at most, no member twice, is no answer; and
// without one nobody gets in: 503, and the log knows why.
//
// Requests with one token at one time cost one look-up. What the issuer has said is
// remembered, by the token's SHA-256: an active token until Remember or its exp is over,
// one that is not for 5 seconds, in a table of its own. So a token that is revoked at the
// issuer is good here for as long as Remember, unless Revoked knows better. At most 1,000
// look-ups are made at a time, and others wait within Timeout: to keep guesses from filling
// that queue for everybody, limit them by the client's address, before [Require]. A token
// that the issuer calls a refresh token is refused.
//
// Beside a [JWT] it is asked for the tokens that are not in the form of one; if it is the
// last of a [Require], for all that are left. A function of your own around Authenticate
// would ask with each request: to change who a token speaks for, use [Map].
type Introspection struct {
	// URL is where the issuer answers. http is accepted; use it on trusted networks only.
	// Required.
	URL string

	// ClientID is who we are for the issuer. Empty: the Transport says so.
	ClientID string

	// ClientSecret goes with the ClientID. Empty: an empty one by HTTP Basic, and with
	// InParams none, as for a Transport that shows a client certificate (RFC 8705 section 2).
	ClientSecret Secret

	// InParams sends id and secret as parameters. False: by HTTP Basic, as RFC 6749 section
	// 2.3.1 prefers.
	InParams bool

	// Transport asks the issuer, a balancer.Pool for instance. Nil: one of its own, without
	// proxies.
	Transport http.RoundTripper

	// Timeout is for a look-up. Zero: 5 seconds.
	Timeout time.Duration

	// Issuer is what iss must be. Empty: it is not checked.
	Issuer string

	// Audience is what aud must be, or have as a member. Empty: it is not checked, so
	// tokens meant for others are taken too.
	Audience string

	// Roles is the claim that has the Principal's Roles, as in [JWT]. Empty: both "roles"
	// and "groups".
	Roles string

	// Leeway is how far the issuer's clock may be from ours, for exp, nbf and iat. Zero: not
	// at all.
	Leeway time.Duration

	// Remember is how long an active token is not asked about again, at most. Zero: 1
	// minute; negative: not at all.
	Remember time.Duration

	// MaxRemembered is how many active tokens are remembered, at most. Zero: 10,000;
	// negative: none.
	MaxRemembered int

	// FromProxies lets the certificate that a token is bound to be one of which a trusted
	// proxy tells, as in [Certificate]. False: it must be the connection's own.
	FromProxies bool

	// Forward leaves Authorization on the request, for backends that check the token again.
	// False: it is removed.
	Forward bool

	// Revoked is asked of every token, remembered or not. Nil: Remember is how long one is
	// good that the issuer has revoked.
	Revoked Revoked
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
func (i Introspection) Authenticate(r *http.Request) (*Principal, error) {
	i.Remember = -1 // it would be forgotten on return
	v, err := i.compile()
	if err != nil {
		return nil, err
	}
	defer v.close(i.Transport)
	return v.Authenticate(r)
}

// Challenge is part of [Challenger].
func (i Introspection) Challenge() string { return bearerChallenge }

func (i Introspection) build() (Authenticator, error) { return i.compile() }

func (i Introspection) compile() (*introspector, error) {
	s, err := newService(i.URL, i.Transport, i.Timeout)
	faults := []error{err}
	for _, fault := range []struct {
		found bool
		text  string
	}{
		{i.ClientID == "" && (i.ClientSecret != "" || i.InParams), "ClientSecret or InParams without ClientID"},
		{i.Leeway < 0, "negative Leeway"},
	} {
		if fault.found {
			faults = append(faults, errors.New(fault.text))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: introspection: %w", err)
	}
	v := &introspector{
		service: s, validator: newValidator(i.Issuer, i.Audience, i.Leeway), leeway: i.Leeway,
		roles: i.Roles, remember: i.Remember, revoked: i.Revoked, binding: binding{i.FromProxies},
	}
	switch {
	case i.ClientID == "":
	case i.InParams:
		v.params = url.Values{"client_id": {i.ClientID}}
		if i.ClientSecret != "" {
			v.params.Set("client_secret", string(i.ClientSecret))
		}
	default:
		v.basic = basicAuth(i.ClientID, string(i.ClientSecret))
	}
	if !i.Forward {
		v.secret = authorization
	}
	v.lookups = i.lookups(v)
	return v, nil
}

// basicAuth encodes both before it joins them, so that a colon in either is not taken
// for the one between (RFC 6749 section 2.3.1).
func basicAuth(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func (i Introspection) lookups(v *introspector) *lookups {
	l := &lookups{
		ask: v.look, timeout: v.timeout,
		wrong: newMemory(rememberWrong), wrongFor: rememberInactive, flying: make(chan struct{}, maxLookups),
	}
	if v.remember == 0 {
		v.remember = rememberActive
	}
	if v.remember > 0 {
		l.right = newMemory(i.MaxRemembered)
	}
	return l
}

// introspector is a compiled Introspection.
type introspector struct {
	service
	basic     string     // Authorization for the issuer; empty: none
	params    url.Values // who we are for the issuer; nil: basic says so
	validator *jwt.Validator
	leeway    time.Duration
	roles     string
	remember  time.Duration // negative: not at all
	lookups   *lookups
	revoked   Revoked
	binding   binding
	secret    string
}

func (v *introspector) field() string { return v.secret }

// close lets go of the connections of a transport that nobody else has.
func (v *introspector) close(given http.RoundTripper) {
	if t, ok := v.transport.(*http.Transport); ok && given == nil {
		t.CloseIdleConnections()
	}
}

// recognises reports whether token is opaque: not in the form of a JWT.
func (v *introspector) recognises(token string) bool { return strings.Count(token, ".") != 2 }

// Authenticate is part of [Authenticator]. What may be otherwise with each request of
// one token is checked last, and each time.
func (v *introspector) Authenticate(r *http.Request) (*Principal, error) {
	token, found, err := bearer(r)
	if !found || err != nil {
		return nil, err
	}
	p, err := v.principal(r, token)
	if err == nil && p.bound {
		err = v.binding.check(r, p.Claims)
	}
	if err == nil {
		err = v.revoked.check(r.Context(), "introspection", p)
	}
	if err != nil {
		return nil, refuseToken(r.Context(), "introspection", err)
	}
	return p, nil
}

// principal returns who token speaks for. What cannot be a token is refused before it
// costs anybody anything.
func (v *introspector) principal(r *http.Request, token string) (*Principal, error) {
	switch {
	case len(token) > maxCredential:
		return nil, denial(fmt.Sprintf("longer than %d bytes", maxCredential))
	case !isBearerToken(token):
		return nil, denial("not in the form of a token")
	}
	p, err := v.lookups.of(r, token)
	if denied := denial(""); err != nil && !errors.As(err, &denied) {
		err = undecided(r.Context(), "introspection", err)
	}
	return p, err
}

// look asks the issuer about token.
func (v *introspector) look(ctx context.Context, token string) (verified, error) {
	c, err := v.introspect(ctx, token)
	switch {
	case err != nil:
		return verified{}, err
	case c == nil:
		return verified{}, denial("not active")
	case isRefresh(c):
		return verified{}, denial("a refresh token")
	}
	if err := v.validator.Validate(jwt.MapClaims(c)); err != nil {
		return verified{}, denial(err.Error())
	}
	found := v.conclude(c)
	found.principal.token = sumOf(token)
	return found, nil
}

func (v *introspector) introspect(ctx context.Context, token string) (claims, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	maps.Copy(form, v.params)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if v.basic != "" {
		r.Header.Set(authorization, v.basic)
	}
	response, err := v.ask(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		drain(response)
		return nil, &gateway.Problem{Fault: gateway.UpstreamStatus, Err: fmt.Errorf("the issuer answers with %d", response.StatusCode)}
	}
	body, err := read(ctx, response, maxReply)
	if err != nil {
		return nil, err
	}
	c, err := parseIntrospection(body)
	if err != nil {
		return nil, garbled(err)
	}
	return c, nil
}

// conclude returns what the claims of an active token say, and for how long that is
// remembered. A date that is not there is zero.
func (v *introspector) conclude(c claims) verified {
	m := jwt.MapClaims(c)
	subject, _ := c["sub"].(string)
	roles, all := claim.Roles(c, v.roles)
	p := &Principal{Subject: subject, Scopes: scopes(c), Roles: roles, unclear: !all, bound: isBound(c), Claims: c, field: v.secret, kind: bearerToken}
	until := time.Now().Add(v.remember)
	if exp := date(m.GetExpirationTime()); !exp.IsZero() {
		p.Expires = exp.Add(v.leeway)
		if p.Expires.Before(until) {
			until = p.Expires
		}
	}
	from := date(m.GetNotBefore())
	if issued := date(m.GetIssuedAt()); issued.After(from) {
		from = issued
	}
	return verified{principal: p, from: from.Add(-v.leeway), until: until}
}
