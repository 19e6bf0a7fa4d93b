package auth

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
	"weak"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatewright/gateway"
)

const (
	defaultLifetime = time.Minute
	signTimeout     = 10 * time.Second
	jwksMaxAge      = "300" // seconds that a backend may keep the key set
)

// IssuerConfig says what tokens an [Issuer] makes.
type IssuerConfig struct {
	// Issuer is who issues: iss. Required.
	Issuer string

	// Keys are RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519, in
	// memory or not. The first signs, all are published. Required.
	Keys []crypto.Signer

	// Claims are those of the principal, as [Principal.Claim] names them, to be in the token
	// besides its subject and its scopes. Nil: none.
	Claims []string

	// Lifetime is that of a token. Zero: 1 minute.
	Lifetime time.Duration

	// Header is the field that the token is sent in, as it is. Empty: Authorization, as a
	// bearer token.
	Header string

	// MaxRemembered is how many principals' tokens are remembered, at most. Zero: 10,000;
	// negative: none, and each request costs a signature.
	MaxRemembered int
}

// Issuer tells backends who the caller is by short-lived JSON Web Tokens that the gateway
// signs, and publishes the keys to verify them with. So a backend depends on the gateway
// alone, whatever its callers have authenticated by, and cannot use what it gets at any
// other backend.
//
// A token has iss, aud, sub, iat, exp, jti and the claims asked for that the principal has,
// under the names that they were asked for by. If the principal has scopes, it has scope,
// with spaces between. Its typ is JWT, its alg what fits the key (EdDSA; ES256, ES384 or
// ES512 by the curve; RS256), its kid the key's thumbprint (RFC 7638). A backend of this
// library verifies it by [JWT]. It expires with the [Principal] at the latest.
//
// A token is used for half its lifetime, so a principal costs one signature in that time
// and not one a request. It may be used concurrently.
type Issuer struct {
	config IssuerConfig
	field  string
	prefix string
	ring   atomic.Pointer[signingRing]
}

// signingRing is an Issuer's keys, and the tokens signed by them: those of other keys are
// not verified by who has fetched these.
type signingRing struct {
	signer *signer
	jwks   []byte
	tokens *supplies[tokenKey]
}

// tokenKey is who a token is about and for. A weak pointer does not keep a principal in
// memory that nothing else knows any more, and is never that of another.
type tokenKey struct {
	principal weak.Pointer[Principal]
	audience  string
}

// NewIssuer returns an Issuer, or an error that joins every fault of c.
func NewIssuer(c IssuerConfig) (*Issuer, error) {
	faults := c.check()
	i := &Issuer{config: c, field: authorization, prefix: "Bearer "}
	i.config.Claims = slices.Clone(c.Claims)
	i.config.Lifetime = cmp.Or(c.Lifetime, defaultLifetime)
	if c.Header != "" {
		i.field, i.prefix = http.CanonicalHeaderKey(c.Header), ""
		faults = append(faults, checkField(c.Header))
	}
	faults = append(faults, i.rotate(c.Keys))
	i.config.Keys = nil
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: issuer: %w", err)
	}
	return i, nil
}

func (c IssuerConfig) check() (faults []error) {
	if c.Issuer == "" {
		faults = append(faults, errors.New("no Issuer"))
	}
	if c.Lifetime != 0 && c.Lifetime < 2*time.Second { // exp has no fractions of them
		faults = append(faults, errors.New("a Lifetime of less than 2 seconds"))
	}
	for _, claim := range c.Claims {
		switch claim {
		case "", "iss", "aud", "sub", "exp", "nbf", "iat", "jti", "cnf":
			faults = append(faults, fmt.Errorf("claim %q cannot be carried over", claim))
		}
	}
	return faults
}

// Rotate replaces the keys: the first signs from now on, all are published. Whoever
// verifies may keep the set for 5 minutes, so give a new key a place behind the first for
// that long before it signs, and the old one after it for as long as its tokens live. It
// returns an error that joins every fault, and then nothing has changed.
func (i *Issuer) Rotate(keys ...crypto.Signer) error {
	if err := i.rotate(keys); err != nil {
		return fmt.Errorf("auth: issuer: %w", err)
	}
	return nil
}

func (i *Issuer) rotate(keys []crypto.Signer) error {
	signers, err := newSigners(keys)
	if err != nil {
		return err
	}
	ring := &signingRing{signer: signers[0]}
	if ring.jwks, err = publish(signers); err != nil {
		return err
	}
	sign := func(_ context.Context, a ask) (issued, error) { return i.issue(ring.signer, a) }
	ring.tokens = newSupplies[tokenKey](i.config.MaxRemembered, signTimeout, sign)
	i.ring.Store(ring)
	return nil
}

// Transport returns a [http.RoundTripper] that sends requests by base with a token for the
// audience, which is the name of the backend: one that takes only tokens of its own name
// cannot be shown another's. What the client has sent in the token's field is removed, in
// every spelling; a request of nobody has none. Transport panics if base is nil or
// misconfigured, or the audience empty.
func (i *Issuer) Transport(base http.RoundTripper, audience string) http.RoundTripper {
	if base == nil || audience == "" {
		panic(errors.New("auth: issuer: a transport without a base or an audience"))
	}
	if err := checkTransport(base); err != nil {
		panic(fmt.Errorf("auth: issuer: transport: %w", err))
	}
	return &issuing{i, base, audience}
}

// issuing is the transport of an Issuer.
type issuing struct {
	issuer   *Issuer
	base     http.RoundTripper
	audience string
}

// RoundTrip is part of [http.RoundTripper].
func (t *issuing) RoundTrip(r *http.Request) (*http.Response, error) {
	out := without(r, t.issuer.field)
	p := From(r.Context())
	if p == nil {
		return t.base.RoundTrip(out)
	}
	tokens := t.issuer.ring.Load().tokens
	token, err := tokens.of(tokenKey{weak.Make(p), t.audience}).get(r.Context(), ask{principal: p, audience: t.audience})
	if err != nil {
		return refused(r, err)
	}
	out.Header[t.issuer.field] = []string{t.issuer.prefix + token.value}
	return t.base.RoundTrip(out)
}

// issue makes a token for a's principal and audience.
func (i *Issuer) issue(s *signer, a ask) (issued, error) {
	now := time.Now()
	until := now.Add(i.config.Lifetime)
	if e := a.principal.Expires; !e.IsZero() && e.Before(until) {
		until = e
	}
	if until.Unix() <= now.Unix() {
		return issued{}, unauthorized("issuer: the principal has expired")
	}
	c := i.claims(a.principal)
	c["iss"], c["aud"], c["jti"] = i.config.Issuer, a.audience, rand.Text()
	c["iat"], c["exp"] = now.Unix(), until.Unix()
	token, err := s.token(c)
	if err == nil && len(token) > maxCredential {
		err = errors.New("the token is too long")
	}
	if err != nil {
		return issued{}, &gateway.Problem{Err: fmt.Errorf("auth: issuer: %w", err)}
	}
	return newIssued(token, now, until.Sub(now)/2), nil
}

// claims returns what is carried over from p.
func (i *Issuer) claims(p *Principal) jwt.MapClaims {
	c := make(jwt.MapClaims, len(i.config.Claims)+6)
	if p.Subject != "" {
		c["sub"] = p.Subject
	}
	for _, name := range i.config.Claims {
		if v := p.claim(name); v != nil && name != "scope" {
			c[name] = v
		}
	}
	if scopes := scopesOf(p); scopes != "" {
		c["scope"] = scopes
	}
	return c
}

// ServeHTTP answers GET and HEAD with the public keys as a JWK Set (RFC 7517 section 5),
// which may be kept for 5 minutes, and everything else with 405.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		gateway.Fail(w, r, &gateway.Problem{Status: http.StatusMethodNotAllowed})
		return
	}
	maps.Copy(w.Header(), http.Header{
		"Content-Type":  {"application/jwk-set+json"},
		"Cache-Control": {"public, max-age=" + jwksMaxAge},
	})
	_, _ = w.Write(i.ring.Load().jwks) // net/http leaves the body of an answer to HEAD out
}
