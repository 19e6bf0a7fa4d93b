package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

const defaultKeyHeader = "X-Api-Key"

// APIKey authenticates by a secret in a header field, a query parameter or a cookie.
// Each key is a [Principal], which its requests share: the owner is the Subject, what the
// key is good for the Scopes, its end Expires, and what else there is to know of it the
// Claims, for example Claims["plan"], which limits and rules find by [Principal.Claim].
// Keys must be random, of 128 bits or more.
//
// The key is in one place, of exactly one of Header, Query and Cookie: for two places give
// [Require] two APIKeys. From a query or a cookie field the key alone is removed, by Require
// and in place, and the rest stays as it is, byte for byte. A query is the worst place for a
// key: it is part of the history of browsers, of logs, and of Referer.
//
// Those of Keys are looked for first, then those of Store. If the store fails, or is not
// done in time, the request is answered with 503. Requests with one key at one time cost
// one look-up. What the store has said is remembered for as long as Remember, and so a
// key that it no longer knows is good here for as long: of 10,000 keys at most, and of
// 1,024 that it did not know, in a table of their own. Expires holds all the same. At most
// 1,000 look-ups are made at a time, and others wait within Timeout: to keep guesses from
// filling that queue for everybody, limit them by the client's address, before [Require].
//
// There is no registered scheme for API keys. As a 401 must name one, the challenge
// is ApiKey header="X-Api-Key", which tells a developer what is missing.
type APIKey struct {
	// Header is the field that holds the key. Empty: X-Api-Key, unless Query or Cookie is
	// set.
	Header string

	// Query is the parameter that does instead, by its decoded name. Empty: none.
	Query string

	// Cookie is the cookie that does instead. Empty: none.
	Cookie string

	// Keys are who holds which key, by its HashKey, so that no configuration has secrets in
	// it. Nil: use Store.
	Keys map[string]*Principal

	// Store knows the keys that are not in Keys. Nil: use Keys.
	Store KeyStore

	// Timeout is for Store. Zero: 1 second.
	Timeout time.Duration

	// Remember is how long Store is not asked again about a key, whether it knew it or not.
	// Zero or negative: not at all.
	Remember time.Duration

	// Forward leaves the key on the request, for backends that check it again. False: it is
	// removed.
	Forward bool
}

// HashKey returns what a key is listed by in [APIKey].Keys: its SHA-256, in lower
// case hexadecimal. There is no salt and no stretching: a random key of 128 bits
// cannot be guessed from its hash, but a password can, so do not use it for those.
func HashKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
func (a APIKey) Authenticate(r *http.Request) (*Principal, error) {
	a.Remember = min(a.Remember, 0) // it would be forgotten on return
	t, err := a.build()
	if err != nil {
		return nil, err
	}
	return t.Authenticate(r)
}

// Challenge is part of [Challenger].
func (a APIKey) Challenge() string {
	switch {
	case a.Query != "":
		return `ApiKey query="` + a.Query + `"`
	case a.Cookie != "":
		return `ApiKey cookie="` + a.Cookie + `"`
	}
	return `ApiKey header="` + a.header() + `"`
}

func (a APIKey) header() string {
	if a.Header == "" {
		return defaultKeyHeader
	}
	return http.CanonicalHeaderKey(a.Header)
}

// place returns where the key is, or what is wrong with that.
func (a APIKey) place() (place, error) {
	switch {
	case a.Header != "" && a.Query != "", a.Header != "" && a.Cookie != "", a.Query != "" && a.Cookie != "":
		return nil, errors.New("more than one of Header, Query and Cookie")
	case a.Query != "":
		if !isQuotable(a.Query) {
			return nil, errors.New("invalid Query")
		}
		return queryPlace(a.Query), nil
	case a.Cookie != "":
		if !field.IsToken(a.Cookie) {
			return nil, errors.New("invalid Cookie")
		}
		return cookiePlace(a.Cookie), nil
	case !field.IsToken(a.header()):
		return nil, errors.New("invalid Header")
	}
	return headerPlace(a.header()), nil
}

// isQuotable reports whether s can stand in a challenge, between quotes.
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (a APIKey) build() (Authenticator, error) {
	p, err := a.place()
	faults := []error{err, a.storeFaults()}
	t := &keyTable{place: p, challenge: a.Challenge(), keep: a.Forward, holders: make(map[[sha256.Size]byte]*Principal, len(a.Keys))}
	if len(a.Keys) == 0 && a.Store == nil {
		faults = append(faults, errors.New("no Keys and no Store"))
	}
	for _, hash := range slices.Sorted(maps.Keys(a.Keys)) {
		faults = append(faults, t.add(hash, a.Keys[hash]))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: api key: %w", err)
	}
	t.store = a.storeLookups(t)
	return t, nil
}

// keyTable is a compiled APIKey.
//
// A key is found by its hash and never compared itself, in the table and in what is
// remembered of the store's: to hash takes as long for any key of one length, however
// much of it is right. How long the finding takes may say how much of the hash is right;
// but to change the hash step by step one would have to invert SHA-256, so there is
// nothing to be learned about a key.
type keyTable struct {
	place     place
	challenge string
	keep      bool // the key goes on with the request
	holders   map[[sha256.Size]byte]*Principal
	store     *lookups // nil: none
}

func (t *keyTable) field() string {
	if header, ok := t.place.(headerPlace); ok && !t.keep {
		return string(header)
	}
	return ""
}

func (t *keyTable) clean(r *http.Request) {
	if !t.keep {
		t.place.clean(r)
	}
}

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
	t.holders[sum] = t.holder(p)
	return nil
}

// holder returns p as that of a key found here.
func (t *keyTable) holder(p *Principal) *Principal {
	holder := *p
	holder.field, holder.kind = t.field(), otherCredential
	return &holder
}

// Authenticate is part of [Authenticator].
func (t *keyTable) Authenticate(r *http.Request) (*Principal, error) {
	keys := t.place.find(r)
	switch {
	case len(keys) == 0:
		return nil, nil
	case len(keys) > 1: // another reader could take the one we did not check
		return nil, t.refuse(http.StatusBadRequest, "The API key is given more than once.", "more than one")
	case keys[0] == "":
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "empty")
	case len(keys[0]) > maxCredential:
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "too long")
	}
	p := t.holders[sha256.Sum256([]byte(keys[0]))]
	if p == nil {
		var err error
		if p, err = t.stored(r, keys[0]); err != nil {
			return nil, err
		}
	}
	if p.expired() {
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "key is expired")
	}
	return p, nil
}

// stored returns who holds a key that is not in the table.
func (t *keyTable) stored(r *http.Request, key string) (*Principal, error) {
	if t.store == nil {
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", "unknown")
	}
	p, err := t.store.of(r, key)
	if denied := denial(""); errors.As(err, &denied) {
		return nil, t.refuse(http.StatusUnauthorized, "The API key is not valid.", denied.Error())
	}
	if err == nil {
		return p, nil
	}
	return nil, undecided(r.Context(), "api key", err)
}

func (t *keyTable) refuse(status int, detail, cause string) error {
	return refuse(status, detail, t.challenge, fmt.Errorf("auth: api key: %s", cause))
}
