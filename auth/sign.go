package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"reflect"
)

// signFunc signs a signature base.
type signFunc func(base string) ([]byte, error)

// signWith returns how to sign with key (RFC 7518 section 3, RFC 9421 section 3.3). It goes by crypto.Signer,
// where golang-jwt wants the private key itself, for keys that never leave their store.
func signWith(key any, pkcs1 bool) (signFunc, error) {
	if secret, ok := key.([]byte); ok {
		return hmacWith(secret), checkSecret(secret)
	}
	signer, ok := key.(crypto.Signer)
	if v := reflect.ValueOf(key); !ok || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("neither []byte nor crypto.Signer as Key")
	}
	if k, ok := key.(ed25519.PrivateKey); ok && len(k) != ed25519.PrivateKeySize {
		return nil, errors.New("Ed25519 key that is not as long as one")
	}
	switch public := signer.Public().(type) {
	case *rsa.PublicKey:
		return rsaWith(signer, pkcs1), checkKey(public)
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return ecdsaWith(signer, crypto.SHA256, 32), nil
		case elliptic.P384():
			return ecdsaWith(signer, crypto.SHA384, 48), nil
		case elliptic.P521(): // of JWS only (RFC 7518 section 3.4)
			return ecdsaWith(signer, crypto.SHA512, 66), nil
		}
	case ed25519.PublicKey:
		return func(base string) ([]byte, error) {
			return signer.Sign(rand.Reader, []byte(base), crypto.Hash(0))
		}, checkKey(public)
	}
	return nil, errors.New("no algorithm for this Key")
}

func hmacWith(secret []byte) signFunc {
	return func(base string) ([]byte, error) {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(base))
		return h.Sum(nil), nil
	}
}

func rsaWith(signer crypto.Signer, pkcs1 bool) signFunc {
	hash, options := crypto.SHA512, crypto.SignerOpts(&rsa.PSSOptions{SaltLength: 64, Hash: crypto.SHA512})
	if pkcs1 {
		hash, options = crypto.SHA256, crypto.SHA256
	}
	return func(base string) ([]byte, error) {
		return signer.Sign(rand.Reader, hashed(hash, base), options)
	}
}

// ecdsaWith returns r and s side by side, each of size bytes (RFC 7518 section 3.4, RFC 9421
// section 3.3.4); a crypto.Signer has them in ASN.1.
func ecdsaWith(signer crypto.Signer, hash crypto.Hash, size int) signFunc {
	return func(base string) ([]byte, error) {
		der, err := signer.Sign(rand.Reader, hashed(hash, base), hash)
		if err != nil {
			return nil, err
		}
		return sideBySide(der, size)
	}
}

// sideBySide does not trust der: a device may answer anything.
func sideBySide(der []byte, size int) ([]byte, error) {
	var point struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &point)
	if err != nil || len(rest) > 0 || point.R.Sign() <= 0 || point.S.Sign() <= 0 || max(point.R.BitLen(), point.S.BitLen()) > 8*size {
		return nil, errors.New("not a signature by ECDSA")
	}
	both := make([]byte, 2*size)
	point.R.FillBytes(both[:size])
	point.S.FillBytes(both[size:])
	return both, nil
}

func hashed(hash crypto.Hash, base string) []byte {
	h := hash.New()
	h.Write([]byte(base))
	return h.Sum(nil)
}
