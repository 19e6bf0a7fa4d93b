package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gatewright/gateway"
)

const (
	defaultBasicRemember = time.Minute
	defaultBasicTimeout  = 5 * time.Second
)

// Basic authenticates by a user's name and password (HTTP Basic, RFC 7617), which are as
// secret as the connection: use it over TLS only. One of Users and Find is required.
//
// Hashes are those of [HashPassword], others of Argon2id as "$argon2id$v=19$m=…,t=…,p=…$salt$tag",
// or of bcrypt ("$2a$", "$2b$", "$2y$"). They may take up to 256 MiB, and 1 GiB with all
// passes; a bcrypt cost of up to 15. With bcrypt no password of more than 72 bytes is right.
//
// Names and passwords are UTF-8 without control characters, and compared byte by byte.
// Whether a user is unknown or the password wrong cannot be told from the answer, nor from
// the time it takes: for who is unknown a hash is computed as well, of a known user's kind.
// With Find it is of the kind that Find returned last: so let all its hashes be of one kind,
// with the same parameters. At most MaxConcurrent are computed at a time, as each takes its
// memory; who waits longer than Timeout is answered with 503. Passwords that are remembered
// need not wait; to keep guesses from filling the queue for the others, limit them by the
// client's address, before [Require].
//
// What Require has compiled remembers passwords that were right, 10,000 at most, by a keyed
// hash that is of no use outside of the process. For Authenticate on the literal itself,
// MaxConcurrent is a bound of that call only.
type Basic struct {
	// Realm is what the browser shows when it asks for the password. Empty: "gateway".
	Realm string

	// Users are the hashes of the passwords by the users' names. Nil: use Find.
	Users map[string]string

	// Find is asked for a user who is not in Users, with each request and concurrently. It
	// returns the hash, empty for nobody, and who it is, nil for the name as Subject. Nil:
	// there are no others.
	Find func(ctx context.Context, user string) (hash string, p *Principal, err error)

	// Remember is how long a password that was right is not computed again. Zero: 1 minute;
	// negative: not at all.
	Remember time.Duration

	// Timeout is how long Find may take, and a password may wait to be computed. Zero: 5
	// seconds.
	Timeout time.Duration

	// MaxConcurrent is how many passwords are computed at a time. Zero: one for each core.
	MaxConcurrent int

	// Forward leaves Authorization on the request, for backends that check the password
	// again. False: it is removed.
	Forward bool
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
func (b Basic) Authenticate(r *http.Request) (*Principal, error) {
	b.Remember = -1 // it would be forgotten on return
	v, err := b.build()
	if err != nil {
		return nil, err
	}
	return v.Authenticate(r)
}

// Challenge is part of [Challenger].
func (b Basic) Challenge() string {
	realm := b.Realm
	if realm == "" {
		realm = "gateway"
	}
	return `Basic realm="` + realm + `", charset="UTF-8"` // RFC 7617 section 2.1
}

func (b Basic) build() (Authenticator, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("auth: basic: %w", err)
	}
	v := &passwords{challenge: b.Challenge(), find: b.Find, timeout: b.Timeout, users: make(map[string]account, len(b.Users))}
	if !b.Forward {
		v.secret = authorization
	}
	for _, name := range slices.Sorted(maps.Keys(b.Users)) {
		v.users[name] = account{passwordHash(b.Users[name]), v.own(Principal{Subject: name})}
		v.names = append(v.names, name)
	}
	if v.timeout == 0 {
		v.timeout = defaultBasicTimeout
	}
	if b.MaxConcurrent == 0 {
		b.MaxConcurrent = runtime.GOMAXPROCS(0)
	}
	if b.Remember == 0 {
		b.Remember = defaultBasicRemember
	}
	v.slots = make(chan struct{}, b.MaxConcurrent)
	v.key = newBasicKey()
	v.right = newRightPasswords(b.Remember)
	return v, nil
}

func (b Basic) check() error {
	var faults []error
	if len(b.Users) == 0 && b.Find == nil {
		faults = append(faults, errors.New("neither Users nor Find"))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Users)) {
		if !isBasicText(name) || strings.Contains(name, ":") {
			faults = append(faults, fmt.Errorf("user %q: the name has a colon or control characters, or is not UTF-8", name))
		}
		if _, err := newPasswordHash(b.Users[name]); err != nil {
			faults = append(faults, fmt.Errorf("user %q: %w", name, err))
		}
	}
	if !isBasicText(b.Realm) || strings.ContainsAny(b.Realm, `"\`) {
		faults = append(faults, errors.New("invalid Realm"))
	}
	if b.Timeout < 0 || b.MaxConcurrent < 0 {
		faults = append(faults, errors.New("negative Timeout or MaxConcurrent"))
	}
	return errors.Join(faults...)
}

// account is what a password is checked against, and who it is then.
type account struct {
	hash      passwordHash
	principal *Principal // nil: nobody, whatever the password
}

// passwords is a compiled Basic.
type passwords struct {
	challenge string
	secret    string
	users     map[string]account
	names     []string // of users
	find      func(ctx context.Context, user string) (string, *Principal, error)
	timeout   time.Duration
	slots     chan struct{} // as many as may be computed at a time
	key       basicKey
	right     *rightPasswords
	decoy     decoy
}

func (v *passwords) field() string { return v.secret }

// own returns p as the principal of a password.
func (v *passwords) own(p Principal) *Principal {
	p.field, p.kind, p.header = v.secret, otherCredential, nil
	return &p
}

// Authenticate is part of [Authenticator].
func (v *passwords) Authenticate(r *http.Request) (*Principal, error) {
	encoded, found, err := v.credentials(r)
	if !found || err != nil {
		return nil, err
	}
	user, password, err := userAndPassword(encoded)
	if err != nil {
		return nil, v.refuse(http.StatusUnauthorized, "The name or the password is not right.", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), v.timeout)
	defer cancel()
	a, err := v.account(ctx, user)
	if err != nil {
		return nil, undecided(r.Context(), "basic", &gateway.Problem{RetryAfter: time.Second, Err: err})
	}
	right, err := v.matches(ctx, a, user, password)
	switch {
	case err != nil:
		return nil, undecided(r.Context(), "basic", &gateway.Problem{RetryAfter: time.Second, Err: err})
	case !right:
		return nil, v.refuse(http.StatusUnauthorized, "The name or the password is not right.", errors.New("unknown user, or wrong password"))
	}
	return a.principal, nil
}

// credentials returns those of r in base64, and whether it has any of the scheme.
func (v *passwords) credentials(r *http.Request) (encoded string, found bool, err error) {
	fields := r.Header[authorization]
	switch len(fields) {
	case 0:
		return "", false, nil
	case 1:
	default: // another reader could take the one we did not check
		return "", false, v.refuse(http.StatusBadRequest, "Authorization is given more than once.", errors.New("more than one Authorization"))
	}
	scheme, encoded, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Basic") { // RFC 9110 section 11.1
		return "", false, nil
	}
	return strings.TrimLeft(encoded, " "), true, nil
}

// userAndPassword decodes credentials (RFC 7617 section 2). Its errors do not quote them.
func userAndPassword(encoded string) (user, password string, err error) {
	if len(encoded) > maxCredential {
		return "", "", fmt.Errorf("longer than %d bytes", maxCredential)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
		return "", "", errors.New("not base64")
	}
	user, password, ok := strings.Cut(string(data), ":")
	switch {
	case !ok:
		return "", "", errors.New("no colon")
	case !isBasicText(string(data)):
		return "", "", errors.New("control characters, or not UTF-8")
	}
	return user, password, nil
}

func (v *passwords) refuse(status int, detail string, cause error) error {
	return refuse(status, detail, v.challenge, fmt.Errorf("auth: basic: %w", cause))
}
