package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/gatewright/gateway/internal/field"
)

const defaultKeyHeader = "X-Api-Key"

// APIKey authenticates by a secret in a header field. Each key is a [Principal],
// which its requests share. Keys must be random, of 128 bits or more.
//
// There is no registered scheme for API keys. As a 401 must name one, the challenge
// is ApiKey header="X-Api-Key", which tells a developer what is missing.
//
// [Require] compiles the literal once. To call Authenticate on it compiles it each
// time: right, but slow.
type APIKey struct {
	Header  string                // the field that holds the key; empty: X-Api-Key
	Keys    map[string]*Principal // who holds which key, by its HashKey, so that no configuration has secrets in it; required
	Forward bool                  // leave the field on the request, for backends that check the key again; false: it is removed
}

// HashKey returns what a key is listed by in [APIKey].Keys: its SHA-256, in lower
// case hexadecimal. There is no salt and no stretching: a random key of 128 bits
// cannot be guessed from its hash, but a password can, so do not use it for those.
func HashKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Authenticate is part of [Authenticator]. See [APIKey] for what it costs.
func (a APIKey) Authenticate(r *http.Request) (*Principal, error) {
	t, err := a.build()
	if err != nil {
		return nil, err
	}
	return t.Authenticate(r)
}

// Challenge is part of [Challenger].
func (a APIKey) Challenge() string { return `ApiKey header="` + a.header() + `"` }

func (a APIKey) header() string {
	if a.Header == "" {
		return defaultKeyHeader
	}
	return http.CanonicalHeaderKey(a.Header)
}

func (a APIKey) build() (Authenticator, error) {
	t := &keyTable{header: a.header(), challenge: a.Challenge(), holders: make(map[[sha256.Size]byte]*Principal, len(a.Keys))}
	if !a.Forward {
		t.secret = t.header
	}
	var faults []error
	if !field.IsToken(t.header) {
		faults = append(faults, errors.New("invalid Header"))
	}
	if len(a.Keys) == 0 {
		faults = append(faults, errors.New("no Keys"))
	}
	for hash, p := range a.Keys {
		faults = append(faults, t.add(hash, p))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: api key: %w", err)
	}
	return t, nil
}

// keyTable is a compiled APIKey.
//
// A key is found by its hash and never compared itself. How long that takes may say
// how much of the hash is right; but to change the hash step by step one would have
// to invert SHA-256, so there is nothing to be learned about a key.
type keyTable struct {
	header    string
	challenge string
	secret    string // header, or empty if it is forwarded
	holders   map[[sha256.Size]byte]*Principal
}

func (t *keyTable) field() string { return t.secret }

// add does not quote the hash in an error: it could be a key, put there by mistake.
func (t *keyTable) add(hash string, p *Principal) error {
	var sum [sha256.Size]byte
	data, err := hex.DecodeString(hash)
	switch {
	case err != nil || copy(sum[:], data) != sha256.Size || hex.EncodeToString(sum[:]) != hash:
		return errors.New("an entry of Keys is not a HashKey")
	case sum == sha256.Sum256(nil):
		return errors.New("an entry of Keys is the hash of nothing")
	case p == nil:
		return errors.New("an entry of Keys has no Principal")
	}
	holder := *p
	holder.field, holder.kind = t.secret, otherCredential
	t.holders[sum] = &holder
	return nil
}

// Authenticate is part of [Authenticator].
func (t *keyTable) Authenticate(r *http.Request) (*Principal, error) {
	fields := r.Header[t.header]
	switch {
	case len(fields) == 0:
		return nil, nil
	case len(fields) > 1: // another reader could take the one we did not check
		return nil, t.refuse(http.StatusBadRequest, "The API key is given more than once.", "more than one")
	case fields[0] == "":
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "empty")
	case len(fields[0]) > maxCredential:
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "too long")
	}
	p := t.holders[sha256.Sum256([]byte(fields[0]))]
	if p == nil {
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "unknown")
	}
	return p, nil
}

func (t *keyTable) refuse(status int, detail, cause string) error {
	return refuse(status, detail, t.challenge, fmt.Errorf("auth: api key: %s", cause))
}
