package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// KeySet is keys by their id, the kid of a token's header. The keys are of the
// types that [JWT].Key takes, which may differ. A token without kid is taken only
// if the set has one key.
type KeySet map[string]any

// key is a key and what it may verify. That the algorithms hang on the key, and are
// not the token's to choose, is what makes it impossible to have a public key taken
// for the secret of an HMAC.
type key struct {
	material any
	methods  map[string]jwt.SigningMethod
	gone     atomic.Bool // the issuer has withdrawn it: what it verified holds no longer
}

// same reports whether k verifies just what other does.
func (k *key) same(other *key) bool {
	m, ok := k.material.(interface{ Equal(crypto.PublicKey) bool })
	return ok && m.Equal(other.material) && maps.Equal(k.methods, other.methods)
}

// algorithms are those we know (RFC 7518 section 3.1, RFC 8037), each with the keys
// that fit. "none" is none of them.
var algorithms = map[string]struct {
	method jwt.SigningMethod
	fits   func(key any) bool
}{
	"HS256": {jwt.SigningMethodHS256, isSecret(32)},
	"HS384": {jwt.SigningMethodHS384, isSecret(48)},
	"HS512": {jwt.SigningMethodHS512, isSecret(64)},
	"RS256": {jwt.SigningMethodRS256, isRSA},
	"RS384": {jwt.SigningMethodRS384, isRSA},
	"RS512": {jwt.SigningMethodRS512, isRSA},
	"PS256": {pss(jwt.SigningMethodPS256), isRSA},
	"PS384": {pss(jwt.SigningMethodPS384), isRSA},
	"PS512": {pss(jwt.SigningMethodPS512), isRSA},
	"ES256": {jwt.SigningMethodES256, isOn(elliptic.P256())},
	"ES384": {jwt.SigningMethodES384, isOn(elliptic.P384())},
	"ES512": {jwt.SigningMethodES512, isOn(elliptic.P521())},
	"EdDSA": {jwt.SigningMethodEdDSA, func(key any) bool { _, ok := key.(ed25519.PublicKey); return ok }},
}

// pss returns m with a salt as long as the hash, which RFC 7518 section 3.5 demands
// and the library's own does not.
func pss(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options}
}

// isSecret is for HMAC, whose key must be as long as the hash (RFC 7518 section 3.2).
func isSecret(size int) func(any) bool {
	return func(key any) bool {
		k, ok := key.([]byte)
		return ok && len(k) >= size
	}
}

func isRSA(key any) bool {
	_, ok := key.(*rsa.PublicKey)
	return ok
}

func isOn(curve elliptic.Curve) func(any) bool {
	return func(key any) bool {
		k, ok := key.(*ecdsa.PublicKey)
		return ok && k.Curve == curve
	}
}

// newKey returns the key with those of the allowed algorithms that fit it; nil
// allows all. Its errors do not show the key.
func newKey(material any, allowed []string) (*key, error) {
	if err := checkKey(material); err != nil {
		return nil, err
	}
	if secret, ok := material.([]byte); ok {
		material = bytes.Clone(secret)
	}
	k := &key{material: material, methods: make(map[string]jwt.SigningMethod)}
	for name, a := range algorithms {
		if a.fits(material) && (allowed == nil || slices.Contains(allowed, name)) {
			k.methods[name] = a.method
		}
	}
	if len(k.methods) == 0 {
		return nil, fmt.Errorf("no algorithm allowed fits this %T", material)
	}
	return k, nil
}

const (
	minSecret  = 32   // bytes, the output of the smallest hash
	minModulus = 2048 // bits (RFC 7518 section 3.3)
)

func checkKey(material any) error {
	switch k := material.(type) {
	case []byte:
		return checkSecret(k)
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < minModulus || k.E < 3 {
			return fmt.Errorf("RSA key of less than %d bits", minModulus)
		}
	case *ecdsa.PublicKey:
		return checkPoint(k)
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key that is not %d bytes long", ed25519.PublicKeySize)
		}
	default:
		return fmt.Errorf("key of type %T, want []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", material)
	}
	return nil
}

func checkPoint(k *ecdsa.PublicKey) error {
	//nolint:staticcheck // X and Y are only asked whether they are there, as Bytes panics if they are not
	if k == nil || k.Curve == nil || k.X == nil || k.Y == nil {
		return errors.New("ECDSA key without a point")
	}
	if _, err := k.Bytes(); err != nil {
		return errors.New("ECDSA key that is no point of its curve")
	}
	return nil
}

func checkSecret(k []byte) error {
	if len(k) < minSecret {
		return fmt.Errorf("HMAC key of less than %d bytes", minSecret)
	}
	// A public key that was read but not parsed is a secret that everyone knows.
	if bytes.Contains(k, []byte("-----BEGIN ")) {
		return errors.New("HMAC key that is a PEM file, parse it to use what is in it")
	}
	return nil
}

// keyring is the keys of a JWT.
type keyring struct {
	byID map[string][]*key // nil: tokens need not say which
	only *key              // nil: tokens must say which
}

func newKeyring(single any, set KeySet, allowed []string) (*keyring, error) {
	switch {
	case single != nil && len(set) > 0:
		return nil, errors.New("both Key and Keys")
	case single != nil:
		k, err := newKey(single, allowed)
		return &keyring{only: k}, errors.Join(err, checkAlgorithms(allowed, k))
	case len(set) == 0:
		return nil, errors.New("no Key, Keys, JWKS or Issuer")
	}
	ring := &keyring{byID: make(map[string][]*key, len(set))}
	var faults []error
	var keys []*key
	for _, id := range slices.Sorted(maps.Keys(set)) {
		k, err := newKey(set[id], allowed)
		if err != nil {
			faults = append(faults, fmt.Errorf("key %q: %w", id, err))
		}
		ring.add(id, k)
		keys = append(keys, k)
	}
	faults = append(faults, checkAlgorithms(allowed, keys...))
	return ring, errors.Join(faults...)
}

// checkAlgorithms reports what stands in the list in vain. A key is nil if it has a
// fault of its own.
func checkAlgorithms(allowed []string, keys ...*key) error {
	var faults []error
	for _, name := range allowed {
		if _, ok := algorithms[name]; !ok {
			faults = append(faults, fmt.Errorf("unknown algorithm %q", name))
			continue
		}
		if !slices.ContainsFunc(keys, func(k *key) bool { return k == nil || k.methods[name] != nil }) {
			faults = append(faults, fmt.Errorf("algorithm %q fits no key", name))
		}
	}
	return errors.Join(faults...)
}

// add puts k under its id. Issuers may have more than one key under an id, of different
// types (RFC 7517 section 4.5).
func (r *keyring) add(id string, k *key) {
	if r.only = k; len(r.byID) > 0 {
		r.only = nil
	}
	r.byID[id] = append(r.byID[id], k)
}

var (
	errNoKey       = errors.New("no key for this kid")
	errKidType     = errors.New("kid is not a string")
	errNotAllowed  = errors.New("algorithm is not allowed for this key")
	errNoAlgorithm = errors.New("no alg")
)

// find returns the key that a token is to be verified with, and the method. The kid is a
// name in a table, and nothing else: never a path, a URL or a query.
func (r *keyring) find(_ context.Context, header claims) (*key, jwt.SigningMethod, error) {
	alg, ok := header["alg"].(string)
	if !ok {
		return nil, nil, errNoAlgorithm
	}
	candidates, err := r.candidates(header)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range candidates {
		if method := k.methods[alg]; method != nil {
			return k, method, nil
		}
	}
	return nil, nil, errNotAllowed
}

func (r *keyring) candidates(header claims) ([]*key, error) {
	if kid, ok := header["kid"]; ok && r.byID != nil {
		id, ok := kid.(string)
		if !ok {
			return nil, errKidType
		}
		if keys := r.byID[id]; keys != nil {
			return keys, nil
		}
		return nil, errNoKey
	}
	if r.only == nil {
		return nil, errNoKey
	}
	return []*key{r.only}, nil
}
