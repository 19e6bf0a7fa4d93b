package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/bcrypt"
)

// What a hash may cost. Whoever can write one could otherwise have the gateway spend all
// its memory on a password.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonWork   = 1 << 20   // KiB, all passes together: about a second
	maxBcryptCost  = 15        // about two seconds
)

const maxBcrypt = 72 // bytes of a password: bcrypt looks at no more

const (
	minPassword = 1
	maxPassword = 1024 // bytes: so that it fits into a header field
)

// hashParameters are those that RFC 9106 section 4 recommends where memory is dear:
// three passes over 64 MiB, in four lanes, and 128 bits of salt.
var hashParameters = argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// HashPassword returns what [Basic] lists a user by: an Argon2id hash (RFC 9106) with three
// passes over 64 MiB in four lanes, a random salt of 16 bytes and a tag of 32. It takes
// some tenths of a second. The error says why password cannot be one: it is empty, longer
// than 1,024 bytes, no UTF-8, or has control characters, which no client could send.
func HashPassword(password string) (string, error) {
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		return "", fmt.Errorf("auth: password of less than %d or more than %d bytes", minPassword, maxPassword)
	case !isBasicText(password):
		return "", errors.New("auth: password that has control characters or is not UTF-8")
	}
	hash, err := argon2id.CreateHash(password, &hashParameters)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return hash, nil
}

// isBasicText reports whether s may be a user's name or password, but for the colon (RFC
// 7617 section 2). Controls are those of ASCII (RFC 5234 appendix B.1).
func isBasicText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c == 0x7f })
}

// passwordHash is a hash that has been found to be one, and of bounded cost.
type passwordHash string

var (
	argonFormat = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,8}),t=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
	// bcrypt's own reader takes digits and a version for what they are not.
	bcryptFormat = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)
)

// newPasswordHash does not quote the text in an error: it could be a password, put there
// by mistake, and what is short of one is still good for guessing.
func newPasswordHash(text string) (passwordHash, error) {
	if m := argonFormat.FindStringSubmatch(text); m != nil {
		return passwordHash(text), checkArgon(text, m[1:])
	}
	if !bcryptFormat.MatchString(text) {
		return "", errors.New("the hash is neither one of bcrypt nor one of Argon2id")
	}
	if cost, err := bcrypt.Cost([]byte(text)); err != nil || cost < bcrypt.MinCost || cost > maxBcryptCost {
		return "", fmt.Errorf("the bcrypt hash costs less than %d or more than %d", bcrypt.MinCost, maxBcryptCost)
	}
	return passwordHash(text), nil
}

func checkArgon(text string, parameters []string) error {
	memory, _ := strconv.Atoi(parameters[0])
	passes, _ := strconv.Atoi(parameters[1])
	lanes, _ := strconv.Atoi(parameters[2])
	switch {
	case memory > maxArgonMemory || passes > maxArgonWork/memory:
		return fmt.Errorf("the Argon2id hash takes more than %d KiB, or %d with all its passes", maxArgonMemory, maxArgonWork)
	case lanes > 255 || memory < 8*lanes: // RFC 9106 section 3.1
		return errors.New("the Argon2id hash has too many lanes")
	}
	if _, _, _, err := argon2id.DecodeHash(text); err != nil {
		return errors.New("the Argon2id hash has a salt or a tag that is not base64")
	}
	return nil
}

// matches computes. It takes as long for a wrong password as for a right one.
func (h passwordHash) matches(password string) bool {
	if strings.HasPrefix(string(h), "$argon2id$") {
		ok, err := argon2id.ComparePasswordAndHash(password, string(h))
		return ok && err == nil
	}
	// A longer password would be as good as its beginning.
	seen := password[:min(len(password), maxBcrypt)]
	return bcrypt.CompareHashAndPassword([]byte(h), []byte(seen)) == nil && seen == password
}
