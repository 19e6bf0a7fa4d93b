package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	signatureInput     = "Signature-Input"
	signatureValue     = "Signature"
	signatureChallenge = `Signature realm="gateway"`

	defaultWindow     = time.Minute
	defaultSignedBody = 1 << 20
	defaultReplays    = 1 << 20
)

// Signature authenticates requests that their sender has signed (HTTP Message
// Signatures, RFC 9421) with a key that the field Signature-Input names by its keyid.
//
// A signature needs created, within the Window, and to cover what Components says. The key
// says what the algorithm is: alg, if there, must agree. Whatever two readers could
// read differently is refused: a label, a parameter or a component that is there twice, a
// field of more than 16 KiB, more than 8 signatures or 64 components. Of several
// signatures exactly one may be by a key of ours, unless Label or Tag says which is meant.
// Components are taken as the gateway forwards them, and @request-target in its origin
// form. There is no @status in a request, no parameter req and no tr; sf is for fields
// that are known to be structured.
//
// A request with a body must have a Content-Digest (RFC 9530) by sha-256 or sha-512 that
// the signature covers. All by these two must be right, others count for nothing. To find
// out, Authenticate reads the body once the signature has proved right, and replaces it
// by the same bytes: it is the only one of the package's authenticators that changes the
// request. How long the body may take is the server's to limit. One that is larger than
// MaxBody is answered with 413, one that breaks off with 400, and one that is not what was
// signed with 401, as everything that is wrong with a signature.
//
// What was signed is accepted once by what a Require has compiled: two Requires with the
// same keys, and one that is made anew when a configuration is loaded, have a memory each,
// unless Seen is the same, for instance one of [Replays]. It is what is signed that is remembered and not the
// signature, as some signatures have a second spelling. So who means to send the same
// twice in a second has to add a nonce. A key holder can fill the memory: requests are then
// answered with 503, everyone's.
//
// Authenticate on the literal itself fails unless there is Seen, since a memory would not
// outlive the call.
type Signature struct {
	// Keys are those we know, by their keyid. One of Keys and Find is required.
	Keys map[string]SignatureKey

	// Find is asked for a key that is not in Keys. It returns nil for one that it does
	// not know; an error is answered with 503. It has 2 seconds, and may be asked 8 times
	// in these. The keyid is whatever anybody likes to send, of 256 bytes or less. Nil:
	// Keys are all there are.
	Find func(ctx context.Context, keyid string) (*SignatureKey, error)

	// Components are those that a signature must cover at least, for instance
	// "@method", "content-type" or `@query-param;name="id"`. A component that contains
	// another covers it too: "@target-uri" all that make it up, "@request-target" the
	// path and the query. Empty: none but the digest of a body, which is always needed;
	// nil: @method, @authority, @path and @query.
	Components []string

	// Label is the label of the signature that counts. Empty: any.
	Label string

	// Tag is what the signature's tag must be. Empty: anything, or none.
	Tag string

	// Window is how far created may be from now, either way. Zero: 1 minute.
	Window time.Duration

	// MaxBody is how many bytes a body may have, and so how many are held. Zero: 1 MiB.
	MaxBody int64

	// MaxRemembered is how many requests are remembered, each in 32 bytes or so, until
	// created is a Window ago. Zero: 1,048,576, in 50 MiB at most, which is enough for 14,000
	// a second in a Window of a minute if the clocks agree. It cannot be negative: replays
	// would pass.
	MaxRemembered int

	// Seen remembers id for ttl and reports whether it was remembered before, in one
	// step: for several gateways that have the same keys. An id is 64 hexadecimal digits
	// and tells nothing. It has 2 seconds; an error is answered with 503. [Replays] has one
	// for several Requires of this process. Nil: each Require remembers by itself.
	Seen func(ctx context.Context, id string, ttl time.Duration) (bool, error)

	// Forward leaves Signature and Signature-Input on the request, for backends that
	// check them again. False: they are removed.
	Forward bool
}

// Authenticate is part of [Authenticator]. See [Signature] for what it needs.
func (s Signature) Authenticate(r *http.Request) (*Principal, error) {
	if s.Seen == nil {
		return nil, errors.New("auth: signature: neither Require nor Seen, replays would pass")
	}
	v, err := s.build()
	if err != nil {
		return nil, err
	}
	return v.Authenticate(r)
}

// Challenge is part of [Challenger]. The scheme is not registered, as RFC 9421 defines none;
// but a 401 must name one.
func (s Signature) Challenge() string { return signatureChallenge }

func (s Signature) build() (Authenticator, error) {
	keys, keyFaults := compileKeys(s.Keys, s.Forward)
	cover, coverFaults := parseCover(s.Components)
	if err := errors.Join(keyFaults, coverFaults, s.check()); err != nil {
		return nil, fmt.Errorf("auth: signature: %w", err)
	}
	v := &signatureVerifier{
		keys: keys, find: s.Find, cover: cover, label: s.Label, tag: s.Tag, forward: s.Forward,
		window: cmp.Or(s.Window, defaultWindow), maxBody: cmp.Or(s.MaxBody, defaultSignedBody),
	}
	v.seen = newReplays(cmp.Or(s.MaxRemembered, defaultReplays), v.window).seen
	if s.Seen != nil {
		v.seen = s.seen(v.window)
	}
	return v, nil
}

// seen has Seen remember for a Window more than we would need to, as the clocks of other
// gateways may be behind.
func (s Signature) seen(window time.Duration) seenFunc {
	return func(ctx context.Context, sum [sha256.Size]byte, until time.Time) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, hookTimeout)
		defer cancel()
		return s.Seen(ctx, hex.EncodeToString(sum[:]), time.Until(until)+window)
	}
}

// seenFunc remembers what was signed, by its hash, as long as it would be accepted.
type seenFunc func(ctx context.Context, sum [sha256.Size]byte, until time.Time) (bool, error)

func (s Signature) check() error {
	var faults []error
	add := func(fault bool, what string) {
		if fault {
			faults = append(faults, errors.New(what))
		}
	}
	add(len(s.Keys) == 0 && s.Find == nil, "neither Keys nor Find")
	add(s.Label != "" && !isLabel(s.Label), "impossible Label")
	add(s.Window < 0 || 0 < s.Window && s.Window < time.Second, "less than a second of Window, which is what created counts in")
	add(s.MaxBody < 0, "negative MaxBody")
	add(s.MaxRemembered < 0, "negative MaxRemembered")
	add(s.MaxRemembered > 0 && s.Seen != nil, "both MaxRemembered and Seen")
	return errors.Join(faults...)
}

// signatureVerifier is a compiled Signature.
type signatureVerifier struct {
	keys       map[string]*signatureKey
	find       func(context.Context, string) (*SignatureKey, error)
	cover      []component
	label, tag string
	window     time.Duration
	maxBody    int64
	seen       seenFunc
	forward    bool
}

func (v *signatureVerifier) clean(r *http.Request) {
	if !v.forward {
		removeSent(r, signatureInput)
		removeSent(r, signatureValue)
	}
}

// Authenticate is part of [Authenticator].
func (v *signatureVerifier) Authenticate(r *http.Request) (*Principal, error) {
	if len(r.Header[signatureInput]) == 0 && len(r.Header[signatureValue]) == 0 {
		return nil, nil
	}
	p, err := v.verify(r)
	var invalid *signatureError
	if errors.As(err, &invalid) {
		return nil, refuse(http.StatusUnauthorized, "The signature is not valid.", signatureChallenge, fmt.Errorf("auth: signature: %w", err))
	}
	return p, err
}

// signatureError is what is wrong with a signature; any other error is not its fault.
type signatureError struct{ err error }

func (e *signatureError) Error() string { return e.err.Error() }
func (e *signatureError) Unwrap() error { return e.err }

func invalid(format string, args ...any) error {
	return &signatureError{fmt.Errorf(format, args...)}
}

// verify goes from what is cheap to what is not: the body, that nobody without a key
// should have us hold, comes after the signature, and memory after both. Since a body may
// take longer than the signature is good for, the time is looked at again then.
func (v *signatureVerifier) verify(r *http.Request) (*Principal, error) {
	s, err := v.choose(r)
	if err != nil {
		return nil, err
	}
	until, err := s.until(v.window)
	if err != nil {
		return nil, err
	}
	digested, err := v.covers(s.components, r)
	if err != nil {
		return nil, err
	}
	base, err := received(r).base(s.components, s.params)
	if err != nil {
		return nil, invalid("%w", err)
	}
	if err := s.key.verify(base, s.value); err != nil {
		return nil, err
	}
	if digested {
		if err := v.checkBody(r); err != nil {
			return nil, err
		}
	}
	return s.key.principal, v.first(r.Context(), base, until)
}

// covers checks that the components are all that has to be signed, and returns whether
// the digest of the body is among them.
func (v *signatureVerifier) covers(components []component, r *http.Request) (digested bool, err error) {
	for _, want := range v.cover {
		if !covered(components, want) {
			return false, invalid("%s is not covered", want.id)
		}
	}
	digested = covered(components, contentDigest)
	if !digested && hasBody(r) {
		return false, invalid("%s is not covered, but there is a body", contentDigest.id)
	}
	return digested, nil
}

// first returns an error if what was signed was seen before.
func (v *signatureVerifier) first(ctx context.Context, base string, until time.Time) error {
	if !time.Now().Before(until) {
		return invalid("too old, now that the body is there")
	}
	seen, err := v.seen(ctx, sha256.Sum256([]byte(base)), until)
	switch {
	case err != nil:
		return undecided(ctx, "signature", err)
	case seen:
		return invalid("a replay")
	}
	return nil
}
