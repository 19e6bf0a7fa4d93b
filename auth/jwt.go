package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway/internal/claim"
)

// JWT authenticates by a signed JSON Web Token (RFC 7519) that the client sends as
// a bearer token (RFC 6750). Its keys are fixed, by Key or Keys, or those that the issuer
// publishes: at the URL in JWKS (RFC 7517), or with neither at the one that the Issuer's
// metadata names (OpenID Connect Discovery 1.0, RFC 8414).
//
// A token needs a signature by a key of ours with an algorithm that fits that key,
// an exp that has not passed, nbf and iat, if there, that have, and the issuer and
// the audience asked for. It must be at most 8 KiB long and mean the same to every
// reader: no member twice, no non-canonical base64, no critical extension (RFC 7515
// section 4.1.11). Keys that the token itself brings or points at are ignored. One that is
// bound to a client certificate (RFC 8705) comes from who holds that, and one that is
// bound to something else (DPoP, for instance) is refused.
//
// Published keys are fetched when the first token comes, once for all that wait, and
// nothing waits for them again while the key it needs is known: a set older than Refresh
// is fetched anew in the background, an unknown kid causes one fetch in 30 seconds at
// most, for which 100 requests wait and others are refused, and the last good set is kept while the issuer is down or answers with anything
// but keys. While there is none, a token is answered with 503, and the issuer is asked
// every 5 seconds at most. Of a set only public keys for signatures count, up to 100.
//
// What [Require] has compiled remembers the tokens it verified, by the SHA-256 of their
// signatures and what those sign, until they expire or their key is withdrawn, and does not
// verify them again; those it refused it does not remember. Each Require has a memory of its own, which takes 1 to 2 KiB for a usual token and 33 KiB at most: one whose claims
// are larger, decoded, is verified each time. A function of your own around Authenticate
// would fetch published keys with each request: to change who a token speaks for, use [Map].
type JWT struct {
	// Issuer is what iss must be. Empty: it is not checked, the key alone says whose token
	// it is.
	Issuer string

	// Audience is what aud must be, or have as a member. Empty: it is not checked, so
	// tokens meant for others are taken too.
	Audience string

	// Key is a []byte of 32 or more for HS256 and up, or an *rsa.PublicKey of 2048 bits or
	// more, *ecdsa.PublicKey or ed25519.PublicKey, whatever the token's kid. Nil: use Keys.
	Key any

	// Keys are by the token's kid. Empty: those that the issuer publishes.
	Keys KeySet

	// JWKS is where the issuer publishes its keys. http is accepted; use it on trusted
	// networks only. Empty: where the Issuer's metadata says.
	JWKS string

	// Algorithms are those allowed, as RFC 7518 section 3.1 names them and where they fit
	// the key. Nil: all that fit the key.
	Algorithms []string

	// Types are what typ may be, without "application/", in any case. Nil: "JWT", "at+jwt",
	// or not there.
	Types []string

	// Required are claims that must be there besides exp, and not be null. Nil: none.
	Required []string

	// Roles is the claim that has the Principal's Roles, a list or a text with spaces
	// between: "cognito:groups", say, or within an object "realm_access.roles", as
	// [Principal.Claim] names it. Empty: both "roles" and "groups".
	Roles string

	// Leeway is how far the issuer's clock may be from ours, for exp, nbf and iat. Zero: not
	// at all.
	Leeway time.Duration

	// MaxRemembered is how many verified tokens are remembered, at most. Zero: 10,000;
	// negative: none.
	MaxRemembered int

	// FromProxies lets the certificate that a token is bound to be one of which a trusted
	// proxy tells, as in [Certificate]. False: it must be the connection's own.
	FromProxies bool

	// Forward leaves Authorization on the request, for backends that check the token again.
	// False: it is removed.
	Forward bool

	// Revoked is asked of every token, remembered or not. Nil: tokens are good until they
	// expire.
	Revoked Revoked

	// Refresh is how old published keys grow before they are fetched anew. Zero: 15 minutes.
	Refresh time.Duration

	// Transport fetches published keys, a balancer.Pool for instance. Nil: one of its own,
	// without proxies.
	Transport http.RoundTripper
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
func (j JWT) Authenticate(r *http.Request) (*Principal, error) {
	j.MaxRemembered = -1 // it would be forgotten on return
	v, err := j.build()
	if err != nil {
		return nil, err
	}
	if j.Transport == nil {
		defer v.(*verifier).close()
	}
	return v.Authenticate(r)
}

// Challenge is part of [Challenger].
func (j JWT) Challenge() string { return bearerChallenge }

func (j JWT) build() (Authenticator, error) {
	keys, err := j.source()
	faults := []error{err}
	if j.Leeway < 0 {
		faults = append(faults, errors.New("negative Leeway"))
	}
	if slices.Contains(j.Types, "") || slices.Contains(j.Required, "") {
		faults = append(faults, errors.New("empty name in Types or Required"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: jwt: %w", err)
	}
	v := &verifier{
		keys: keys, validator: newValidator(j.Issuer, j.Audience, j.Leeway, jwt.WithExpirationRequired()), issuer: j.Issuer, required: slices.Clone(j.Required), roles: j.Roles,
		leeway: j.Leeway, memory: newMemory(j.MaxRemembered), revoked: j.Revoked, binding: binding{j.FromProxies},
	}
	if v.memory != nil {
		v.memory.signed = true
	}
	for _, typ := range j.Types {
		v.types = append(v.types, mediaType(typ))
	}
	if !j.Forward {
		v.secret = authorization
	}
	return v, nil
}

// source returns where the keys come from.
func (j JWT) source() (keySource, error) {
	if j.Key == nil && len(j.Keys) == 0 && (j.JWKS != "" || j.Issuer != "") {
		return newPublished(j)
	}
	var faults []error
	if j.JWKS != "" {
		faults = append(faults, errors.New("both JWKS and fixed keys"))
	}
	if j.Refresh != 0 || j.Transport != nil {
		faults = append(faults, errors.New("fixed keys with Refresh or Transport"))
	}
	ring, err := newKeyring(j.Key, j.Keys, j.Algorithms)
	return ring, errors.Join(append(faults, err)...)
}

// newValidator returns one for the claims of tokens. Empty texts are not compared.
func newValidator(issuer, audience string, leeway time.Duration, more ...jwt.ParserOption) *jwt.Validator {
	options := append([]jwt.ParserOption{jwt.WithIssuedAt(), jwt.WithLeeway(leeway)}, more...)
	if issuer != "" {
		options = append(options, jwt.WithIssuer(issuer))
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	return jwt.NewValidator(options...)
}

// keySource is where a verifier gets its keys from. find returns the one for a token with
// that header, and the method to verify it by.
type keySource interface {
	find(ctx context.Context, header claims) (*key, jwt.SigningMethod, error)
}

// verifier is a compiled JWT. It does not use jwt.Parser, which lets the token
// choose the algorithm and reads the claims before it has verified them, but its
// parts: here the key is found first, and brings the algorithms it is good for.
type verifier struct {
	keys      keySource
	validator *jwt.Validator
	issuer    string
	types     []string
	required  []string
	roles     string
	leeway    time.Duration
	memory    *memory
	headers   headers
	revoked   Revoked
	binding   binding
	secret    string
}

// close lets go of the connections of a transport that nobody else has.
func (v *verifier) close() {
	if p, ok := v.keys.(*published); ok {
		p.close()
	}
}

func (v *verifier) field() string { return v.secret }

// recognises is part of bearerReader. What is not to be read as a token of ours is
// somebody else's to refuse.
func (v *verifier) recognises(token string) bool {
	switch {
	case len(token) > maxCredential || strings.Count(token, ".") != 2:
		return false
	case v.issuer == "" || v.memory.recall(token, time.Now()) != nil:
		return true
	}
	_, payload, _, _ := split(token)
	c, err := object(payload)
	return err == nil && c["iss"] == v.issuer
}

// Authenticate is part of [Authenticator].
func (v *verifier) Authenticate(r *http.Request) (*Principal, error) {
	token, found, err := bearer(r)
	if !found || err != nil {
		return nil, err
	}
	p, err := v.principal(r.Context(), token)
	if err == nil && p.bound {
		err = v.binding.check(r, p.Claims)
	}
	if err == nil {
		err = v.revoked.check(r.Context(), "jwt", p)
	}
	if err != nil {
		return nil, refuseToken(r.Context(), "jwt", err)
	}
	return p, nil
}

// principal returns who token speaks for, by memory if it can. What is too long is
// refused before it costs even a hash.
func (v *verifier) principal(ctx context.Context, token string) (*Principal, error) {
	if len(token) > maxCredential {
		return nil, fmt.Errorf("longer than %d bytes", maxCredential)
	}
	if p := v.memory.recall(token, time.Now()); p != nil {
		return p, nil
	}
	c, k, err := v.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	found := v.conclude(c, k)
	found.principal.token = sumOf(token)
	v.memory.keep(token, found)
	return found.principal, nil
}

// conclude returns what verified claims say. The times are those that the validator
// has just compared, so that a remembered token is good for as long as a new one.
func (v *verifier) conclude(c claims, k *key) verified {
	m := jwt.MapClaims(c)
	from, until := date(m.GetNotBefore()), date(m.GetExpirationTime())
	if issued := date(m.GetIssuedAt()); issued.After(from) {
		from = issued
	}
	subject, _ := c["sub"].(string)
	until = until.Add(v.leeway)
	roles, all := claim.Roles(c, v.roles)
	p := &Principal{Subject: subject, Scopes: scopes(c), Roles: roles, unclear: !all, bound: isBound(c), Claims: c, Expires: until, field: v.secret, kind: bearerToken}
	return verified{principal: p, from: from.Add(-v.leeway), until: until, key: k}
}

// date returns a date that the validator has found right, or zero for one that is not
// there: always past, which makes it no obstacle as nbf and no use as exp.
func date(d *jwt.NumericDate, err error) time.Time {
	if d == nil || err != nil {
		return time.Time{}
	}
	return d.Time
}

// verify returns the claims of token and the key that signed it, if it is one of ours and
// now is its time. Its errors have no part of the token in them.
func (v *verifier) verify(ctx context.Context, token string) (claims, *key, error) {
	header, payload, signature, err := split(token)
	if err != nil {
		return nil, nil, err
	}
	k, err := v.verifySignature(ctx, header, token[:len(header)+1+len(payload)], signature)
	if err != nil {
		return nil, nil, err
	}
	c, err := object(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	if err := checkClaims(c); err != nil {
		return nil, nil, err
	}
	for _, name := range v.required {
		if c[name] == nil {
			return nil, nil, fmt.Errorf("no %s", name)
		}
	}
	return c, k, v.validator.Validate(jwt.MapClaims(c))
}

func (v *verifier) verifySignature(ctx context.Context, header, signed, signature string) (*key, error) {
	h, err := v.header(header)
	if err != nil {
		return nil, err
	}
	sig, err := segment(signature)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	k, method, err := v.keys.find(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := method.Verify(signed, sig, k.material); err != nil {
		return nil, err
	}
	v.headers.keep(header, h)
	return k, nil
}

// split cuts token into its three parts.
func split(token string) (header, payload, signature string, err error) {
	if strings.Count(token, ".") != 2 {
		return "", "", "", errors.New("not three parts")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	return header, payload, signature, nil
}

// segment decodes one part of a token.
func segment(s string) ([]byte, error) {
	// The decoder skips line breaks. One token would have many spellings then, and
	// lists of revoked ones would miss all but one.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("not base64url")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return data, nil
}
