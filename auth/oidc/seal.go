package oidc

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealVersion is the first byte of what is sealed, so that another way of sealing can
// be told apart one day.
const sealVersion = 1

// sealer encrypts for one purpose, by XChaCha20-Poly1305: its nonces are long enough to be
// random however much is sealed, where those of AES-GCM run out at 2^32 (NIST SP 800-38D
// section 8.3).
type sealer struct {
	aeads []cipher.AEAD // the first seals, all open
}

// newSealer derives a key of its own from each of the keys (RFC 5869), so that what is
// sealed for one purpose never opens for another.
func newSealer(purpose string, keys [][]byte) *sealer {
	s := &sealer{}
	for _, key := range keys {
		derived, err := hkdf.Key(sha256.New, key, nil, "gatewright auth/oidc: "+purpose, chacha20poly1305.KeySize)
		if err != nil {
			panic(err) // only for keys longer than HKDF can derive
		}
		aead, err := chacha20poly1305.NewX(derived)
		if err != nil {
			panic(err) // only for keys of another size
		}
		s.aeads = append(s.aeads, aead)
	}
	return s
}

// seal encrypts plain. It only opens again for the same place: the name of a cookie or the
// id of an entry, so that nothing sealed can be moved to where something else belongs.
func (s *sealer) seal(plain []byte, place string) []byte {
	aead := s.aeads[0]
	sealed := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plain)+aead.Overhead())
	sealed[0] = sealVersion
	nonce := sealed[1:]
	_, _ = rand.Read(nonce) // never fails, as documented
	return aead.Seal(sealed, nonce, plain, associated(place))
}

// open returns what was sealed, and false for anything else.
func (s *sealer) open(sealed []byte, place string) ([]byte, bool) {
	for _, aead := range s.aeads {
		head := 1 + aead.NonceSize()
		if len(sealed) < head+aead.Overhead() || sealed[0] != sealVersion {
			return nil, false
		}
		if plain, err := aead.Open(nil, sealed[1:head], sealed[head:], associated(place)); err == nil {
			return plain, true
		}
	}
	return nil, false
}

func associated(place string) []byte { return append([]byte{sealVersion}, place...) }
