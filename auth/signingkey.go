package auth

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// signer is a private key, in memory or in a device, and how it is used.
type signer struct {
	sign   signFunc
	method jwt.SigningMethod
	public jwkset.JWKMarshal
}

func newSigners(keys []crypto.Signer) ([]*signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no Keys")
	}
	signers := make([]*signer, len(keys))
	var faults []error
	seen := map[string]bool{}
	for n, k := range keys {
		s, err := newSigner(k)
		if err == nil && seen[s.public.KID] {
			err = errors.New("is there twice")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("key %d: %w", n, err))
			continue
		}
		signers[n], seen[s.public.KID] = s, true
	}
	return signers, errors.Join(faults...)
}

func newSigner(key crypto.Signer) (*signer, error) {
	if v := reflect.ValueOf(key); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("nil")
	}
	public := key.Public()
	alg, err := algorithmOf(public)
	if err != nil {
		return nil, err
	}
	// Of the public key alone: what is not known here cannot be published.
	j, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(alg), USE: jwkset.UseSig},
	})
	if err != nil {
		return nil, err
	}
	sign, err := signWith(key, true) // of the two ways of RSA, RS256
	if err != nil {
		return nil, err
	}
	s := &signer{sign, algorithms[alg].method, j.Marshal()}
	s.public.KID = keyThumbprint(s.public)
	return s, nil
}

// algorithmOf returns what a key signs by: what is most widely understood of what fits it.
func algorithmOf(public crypto.PublicKey) (string, error) {
	k, err := newKey(public, nil)
	if err != nil {
		return "", err
	}
	for _, alg := range []string{"EdDSA", "ES256", "ES384", "ES512", "RS256"} {
		if k.methods[alg] != nil {
			return alg, nil
		}
	}
	return "", fmt.Errorf("no algorithm for a key of type %T", public)
}

// keyThumbprint is a key's name that it has by itself (RFC 7638): the members are those that
// make the key, in their order, and none of them has anything to escape.
func keyThumbprint(m jwkset.JWKMarshal) string {
	var text string
	switch m.KTY {
	case jwkset.KtyRSA:
		text = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, m.E, m.N)
	case jwkset.KtyEC:
		text = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, m.CRV, m.X, m.Y)
	case jwkset.KtyOKP: // RFC 8037 section 2
		text = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, m.CRV, m.X)
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// publish returns the JWK Set of the public keys.
func publish(signers []*signer) ([]byte, error) {
	var set jwkset.JWKSMarshal
	for _, s := range signers {
		set.Keys = append(set.Keys, s.public)
	}
	return json.Marshal(set)
}

// token returns a token with these claims.
func (s *signer) token(c jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(s.method, c)
	t.Header["kid"] = s.public.KID
	signed, err := t.SigningString()
	if err != nil {
		return "", errors.New("the claims cannot be encoded")
	}
	sig, err := s.sign(signed)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed + "." + t.EncodeSegment(sig), nil
}
