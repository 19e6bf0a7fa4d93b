package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
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
// last of a [Require], for all that are left. Require compiles the literal once. To call
// Authenticate on the literal compiles it each time and remembers nothing: right, but slow.
type Introspection struct {
	URL          string            // where the issuer answers, by https, or http as given; required
	ClientID     string            // who we are for the issuer, by HTTP Basic (RFC 6749 section 2.3.1); empty: the Transport says so
	ClientSecret Secret            // that goes with the ClientID; empty: an empty one
	Transport    http.RoundTripper // what asks the issuer, a balancer.Pool for instance; nil: a transport of its own, without proxies
	Timeout      time.Duration     // for a look-up; zero: 5 seconds
	Issuer       string            // what iss must be; empty: not checked
	Audience     string            // what aud must be, or have as a member; empty: not checked, so tokens meant for others are taken too
	Leeway       time.Duration     // how far the issuer's clock may be from ours, for exp, nbf and iat; zero: not at all
	Remember     time.Duration     // how long an active token is not asked about again, at most; zero: 1 minute; negative: not at all
	Tokens       int               // how many active tokens are remembered, at most; zero: 10,000
	FromProxies  bool              // the certificate that a token is bound to may be one of which a trusted proxy tells, as in Certificate; false: the connection's own only
	Forward      bool              // leave Authorization on the request, for backends that check the token again; false: it is removed
	Revoked      Revoked           // asked of every token, remembered or not; nil: Remember is how long one is good that the issuer has revoked
}

// Authenticate is part of [Authenticator]. See [Introspection] for what it costs.
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
		{i.ClientSecret != "" && i.ClientID == "", "ClientSecret without ClientID"},
		{i.Leeway < 0, "negative Leeway"},
		{i.Tokens < 0, "negative Tokens"},
	} {
		if fault.found {
			faults = append(faults, errors.New(fault.text))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: introspection: %w", err)
	}
	v := &introspector{service: s, revoked: i.Revoked, binding: binding{i.FromProxies}, leeway: i.Leeway, remember: i.Remember, validator: i.validator()}
	if i.ClientID != "" {
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

func (i Introspection) validator() *jwt.Validator {
	options := []jwt.ParserOption{jwt.WithIssuedAt(), jwt.WithLeeway(i.Leeway)}
	if i.Issuer != "" {
		options = append(options, jwt.WithIssuer(i.Issuer))
	}
	if i.Audience != "" {
		options = append(options, jwt.WithAudience(i.Audience))
	}
	return jwt.NewValidator(options...)
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
		l.right = newMemory(i.Tokens)
	}
	return l
}

// String describes i without its secret, and without the query of the URL.
func (i Introspection) String() string {
	where, _, _ := strings.Cut(i.URL, "?")
	if u, err := url.Parse(where); err != nil || u.User != nil {
		where = "redacted"
	}
	return fmt.Sprintf("auth.Introspection{URL: %q, ClientID: %q, secret redacted}", where, i.ClientID)
}

// GoString is String, for %#v.
func (i Introspection) GoString() string { return i.String() }

// LogValue is String, for slog.
func (i Introspection) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalText is String, for encoding/json.
func (i Introspection) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// introspector is a compiled Introspection.
type introspector struct {
	service
	basic     string // Authorization for the issuer; empty: none
	validator *jwt.Validator
	leeway    time.Duration
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
	if err == nil {
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

// isBearerToken reports whether s is a b64token (RFC 6750 section 2.1).
func isBearerToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) < 0:
			return false
		}
	}
	return s != ""
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
	p := &Principal{Subject: subject, Scopes: scopes(c), Claims: c, field: v.secret, kind: bearerToken}
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
