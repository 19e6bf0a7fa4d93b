package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWT authenticates by a signed JSON Web Token (RFC 7519) that the client sends as
// a bearer token (RFC 6750). One of Key and Keys is required.
//
// A token needs a signature by a key of ours with an algorithm that fits that key,
// an exp that has not passed, nbf and iat, if there, that have, and the issuer and
// the audience asked for. It must be at most 8 KiB long and mean the same to every
// reader: no member twice, no non-canonical base64, no critical extension (RFC 7515
// section 4.1.11). Keys that the token itself brings or points at are ignored.
//
// [Require] compiles the literal once. What it has compiled remembers the tokens it
// verified, by their SHA-256 and never longer than they are valid, and does not verify
// them again; those it refused it does not remember. Each Require has a memory of its
// own, which takes 1 to 2 KiB for a usual token and 33 KiB at most: one whose claims
// are larger, decoded, is verified each time. To call Authenticate on the literal
// compiles it each time and remembers nothing: right, but slow.
type JWT struct {
	Issuer     string        // what iss must be; empty: not checked, the key alone says whose token it is
	Audience   string        // what aud must be, or have as a member; empty: not checked, so tokens meant for others are taken too
	Key        any           // []byte of 32 or more for HS256 and up, *rsa.PublicKey of 2048 bits or more, *ecdsa.PublicKey, ed25519.PublicKey; whatever the token's kid; nil: use Keys
	Keys       KeySet        // by the token's kid; empty: use Key
	Algorithms []string      // those allowed, as RFC 7518 section 3.1 names them and where they fit the key; nil: all that fit the key
	Leeway     time.Duration // how far the issuer's clock may be from ours, for exp, nbf and iat; zero: not at all
	Remember   int           // how many verified tokens are remembered, at most; zero: 10,000; negative: none
	Forward    bool          // leave Authorization on the request, for backends that check the token again; false: it is removed
}

// Authenticate is part of [Authenticator]. See [JWT] for what it costs.
func (j JWT) Authenticate(r *http.Request) (*Principal, error) {
	j.Remember = -1 // it would be forgotten on return
	v, err := j.build()
	if err != nil {
		return nil, err
	}
	return v.Authenticate(r)
}

// Challenge is part of [Challenger].
func (j JWT) Challenge() string { return bearerChallenge }

func (j JWT) build() (Authenticator, error) {
	keys, err := newKeyring(j.Key, j.Keys, j.Algorithms)
	if j.Leeway < 0 {
		err = errors.Join(err, errors.New("negative Leeway"))
	}
	if err != nil {
		return nil, fmt.Errorf("auth: jwt: %w", err)
	}
	v := &verifier{keys: keys, validator: j.validator(), leeway: j.Leeway, memory: newMemory(j.Remember)}
	if !j.Forward {
		v.secret = authorization
	}
	return v, nil
}

func (j JWT) validator() *jwt.Validator {
	options := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(j.Leeway)}
	if j.Issuer != "" {
		options = append(options, jwt.WithIssuer(j.Issuer))
	}
	if j.Audience != "" {
		options = append(options, jwt.WithAudience(j.Audience))
	}
	return jwt.NewValidator(options...)
}

// verifier is a compiled JWT. It does not use jwt.Parser, which lets the token
// choose the algorithm and reads the claims before it has verified them, but its
// parts: here the key is found first, and brings the algorithms it is good for.
type verifier struct {
	keys      *keyring
	validator *jwt.Validator
	leeway    time.Duration
	memory    *memory
	secret    string
}

func (v *verifier) field() string { return v.secret }

// Authenticate is part of [Authenticator].
func (v *verifier) Authenticate(r *http.Request) (*Principal, error) {
	token, found, err := bearer(r)
	if !found || err != nil {
		return nil, err
	}
	p, err := v.principal(token)
	if err != nil {
		return nil, refuse(http.StatusUnauthorized, "The access token is not valid.", invalidToken, fmt.Errorf("auth: jwt: %w", err))
	}
	return p, nil
}

// principal returns who token speaks for, by memory if it can. What is too long is
// refused before it costs even a hash.
func (v *verifier) principal(token string) (*Principal, error) {
	if len(token) > maxCredential {
		return nil, fmt.Errorf("longer than %d bytes", maxCredential)
	}
	if p := v.memory.recall(token, time.Now()); p != nil {
		return p, nil
	}
	c, err := v.verify(token)
	if err != nil {
		return nil, err
	}
	found := v.conclude(c)
	v.memory.keep(token, found)
	return found.principal, nil
}

// conclude returns what verified claims say. The times are those that the validator
// has just compared, so that a remembered token is good for as long as a new one.
func (v *verifier) conclude(c claims) verified {
	m := jwt.MapClaims(c)
	from, until := date(m.GetNotBefore()), date(m.GetExpirationTime())
	if issued := date(m.GetIssuedAt()); issued.After(from) {
		from = issued
	}
	subject, _ := c["sub"].(string)
	until = until.Add(v.leeway)
	p := &Principal{Subject: subject, Scopes: scopes(c), Claims: c, Expires: until, field: v.secret, kind: bearerToken}
	return verified{p, from.Add(-v.leeway), until}
}

// date returns a date that the validator has found right, or zero for one that is not
// there: always past, which makes it no obstacle as nbf and no use as exp.
func date(d *jwt.NumericDate, err error) time.Time {
	if d == nil || err != nil {
		return time.Time{}
	}
	return d.Time
}

// verify returns the claims of token if it is one of ours and now is its time. Its
// errors have no part of the token in them.
func (v *verifier) verify(token string) (claims, error) {
	header, payload, signature, err := split(token)
	if err != nil {
		return nil, err
	}
	if err := v.verifySignature(header, token[:len(header)+1+len(payload)], signature); err != nil {
		return nil, err
	}
	c, err := object(payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if err := checkClaims(c); err != nil {
		return nil, err
	}
	return c, v.validator.Validate(jwt.MapClaims(c))
}

func (v *verifier) verifySignature(header, signed, signature string) error {
	h, err := object(header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := checkHeader(h); err != nil {
		return err
	}
	k, err := v.keys.find(h)
	if err != nil {
		return err
	}
	alg, _ := h["alg"].(string)
	method := k.methods[alg]
	if method == nil {
		return errors.New("algorithm is not allowed for this key")
	}
	sig, err := segment(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return method.Verify(signed, sig, k.material)
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

// checkHeader refuses what would make another reader understand the token in
// another way. It asks for names in their exact case only, as others do.
func checkHeader(h claims) error {
	for _, name := range []string{"crit", "b64"} { // RFC 7515 section 4.1.11, RFC 7797
		if _, ok := h[name]; ok {
			return fmt.Errorf("header has %s", name)
		}
	}
	typ, ok := h["typ"]
	if !ok {
		return nil
	}
	// A token for another purpose, such as a logout token, is no access token
	// (RFC 8725 section 3.11).
	s, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(s), "application/") {
	case "jwt", "at+jwt":
		return nil
	}
	return errors.New("typ is not that of an access token")
}
