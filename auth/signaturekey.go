package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// SignatureKey is a key that requests are signed with, and who signs with it.
type SignatureKey struct {
	// Key is a []byte of 32 or more for hmac-sha256, an *rsa.PublicKey of 2048 bits or more
	// for rsa-pss-sha512, an *ecdsa.PublicKey for ecdsa-p256-sha256 or ecdsa-p384-sha384, or
	// an ed25519.PublicKey. Required.
	Key any

	// PKCS1 has an RSA key verify rsa-v1_5-sha256. False: rsa-pss-sha512.
	PKCS1 bool

	// Principal is whose key it is. Required.
	Principal *Principal
}

// httpAlgorithms are the names that RFC 9421 section 3.3 has for the algorithms of RFC 7518:
// those are the same but for the name, and so is the encoding of their signatures. Each
// key fits one, save an RSA key, which fits two.
var httpAlgorithms = map[string]string{
	"HS256": "hmac-sha256", "PS512": "rsa-pss-sha512", "RS256": pkcs1,
	"ES256": "ecdsa-p256-sha256", "ES384": "ecdsa-p384-sha384", "EdDSA": "ed25519",
}

const pkcs1 = "rsa-v1_5-sha256"

// signatureKey is a compiled SignatureKey.
type signatureKey struct {
	material  any
	method    jwt.SigningMethod
	alg       string
	principal *Principal
}

func (k SignatureKey) compile(forward bool) (*signatureKey, error) {
	if k.Principal == nil {
		return nil, errors.New("no Principal")
	}
	allowed := []string{"HS256", "PS512", "ES256", "ES384", "EdDSA"}
	if k.PKCS1 {
		allowed = []string{"RS256"}
	}
	found, err := newKey(k.Key, allowed)
	if err != nil {
		return nil, err
	}
	holder := *k.Principal
	holder.kind = otherCredential
	if !forward {
		holder.header = hide(http.Header{signatureInput: nil, signatureValue: nil})
	}
	c := &signatureKey{material: found.material, principal: &holder}
	for name, method := range found.methods {
		c.method, c.alg = method, httpAlgorithms[name]
	}
	return c, nil
}

func compileKeys(keys map[string]SignatureKey, forward bool) (map[string]*signatureKey, error) {
	compiled := make(map[string]*signatureKey, len(keys))
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		k, err := keys[id].compile(forward)
		if err == nil && (id == "" || len(id) > maxKeyID) {
			err = fmt.Errorf("keyid that is not 1 to %d bytes long", maxKeyID)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("key %q: %w", id, err))
		}
		compiled[id] = k
	}
	return compiled, errors.Join(faults...)
}

func (k *signatureKey) verify(base string, value []byte) error {
	if k.method.Verify(base, value, k.material) != nil {
		return invalid("it does not verify")
	}
	return nil
}
