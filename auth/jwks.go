package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// maxKeys is how many keys of a set count.
const maxKeys = 100

// parseKeys returns the keys of a JWK set (RFC 7517 section 5) that may verify a signature
// by one of the allowed algorithms. Others are passed over, as section 5 asks: of types
// that we do not know, for encryption, weak or broken ones. So are secrets, which are
// known to all who can read the set, and private keys for the same reason. A set of which
// nothing is left is an error.
func parseKeys(data []byte, allowed []string) (*keyring, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(data, &set) != nil {
		return nil, errors.New("not a JWK set")
	}
	ring := &keyring{byID: make(map[string][]*key)}
	usable := 0
	for _, raw := range set.Keys {
		id, k, err := parseKey(raw, allowed)
		if err != nil {
			continue
		}
		if usable++; usable > maxKeys {
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
		ring.add(id, k)
	}
	if usable == 0 {
		return nil, errors.New("no usable key")
	}
	return ring, nil
}

var errUnusable = errors.New("not a key to verify signatures by")

func parseKey(raw json.RawMessage, allowed []string) (id string, k *key, err error) {
	defer func() {
		if recover() != nil { // the library's parser meets bytes from outside
			err = errUnusable
		}
	}()
	var m jwkset.JWKMarshal
	if json.Unmarshal(raw, &m) != nil || m.D != "" || m.K != "" || m.P != "" {
		return "", nil, errUnusable
	}
	if m.USE != "" && m.USE != jwkset.UseSig || len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return "", nil, errUnusable
	}
	m.X5C, m.X5T, m.X5TS256, m.X5U = nil, "", "", "" // the issuer vouches for the key, and not a certificate
	parsed, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return "", nil, errUnusable
	}
	if k, err = newKey(parsed.Key(), allowed); err != nil {
		return "", nil, err
	}
	return m.KID, k, k.restrict(string(m.ALG))
}

// restrict leaves k the algorithm that its alg names, if there is one (RFC 7517 section 4.4).
func (k *key) restrict(alg string) error {
	if alg == "" {
		return nil
	}
	method := k.methods[alg]
	if method == nil {
		return errUnusable
	}
	k.methods = map[string]jwt.SigningMethod{alg: method}
	return nil
}
