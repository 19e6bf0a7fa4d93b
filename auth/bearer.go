package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatewright/gateway"
)

const authorization = "Authorization"

// bearerChallenge asks for a token. The scheme must not stand alone (RFC 6750 section
// 3), and a realm is what says nothing of what was wrong.
const bearerChallenge = `Bearer realm="gateway"`

// invalidToken is for a token that is not right, in whatever way.
var invalidToken = bearerError("invalid_token", "The access token is not valid")

// refuseToken returns the Problem for a bearer token that does not hold, or err itself if
// it says that this could not be found out.
func refuseToken(ctx context.Context, who string, err error) error {
	if p := (*gateway.Problem)(nil); errors.As(err, &p) || ctx.Err() != nil {
		return err
	}
	return refuse(http.StatusUnauthorized, "The access token is not valid.", invalidToken, fmt.Errorf("auth: %s: %w", who, err))
}

// maxCredential is how long a token or an API key may be: more than any real one
// has, and little enough that to check it costs nothing worth attacking.
const maxCredential = 8 << 10

// bearer returns the token of r, and whether the request has one: an empty one
// counts, credentials of another scheme do not.
func bearer(r *http.Request) (token string, found bool, err error) {
	fields := r.Header[authorization]
	if len(fields) > 1 {
		// Another reader could take the one we did not check (RFC 6750 section 3.1).
		return "", false, refuse(http.StatusBadRequest, "Authorization is given more than once.",
			bearerError("invalid_request", "Authorization is given more than once"),
			errors.New("auth: more than one Authorization"))
	}
	if len(fields) == 0 {
		return "", false, nil
	}
	token, usual := strings.CutPrefix(fields[0], "Bearer ")
	if !usual {
		var scheme string
		if scheme, token, _ = strings.Cut(fields[0], " "); !strings.EqualFold(scheme, "Bearer") { // RFC 9110 section 11.1
			return "", false, nil
		}
	}
	return strings.TrimLeft(token, " "), true, nil
}

// isBearerToken reports whether s is a b64token (RFC 6750 section 2.1), as what clients send
// has to be.
func isBearerToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) < 0:
			return false
		}
	}
	return s != ""
}

// isSendable reports whether s has the bytes that a token may have in Authorization. It is
// more than isBearerToken allows, as there are issuers who do not know that.
func isSendable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}

// bearerError returns a challenge as of RFC 6750 section 3. The description must
// not hold a quote or a backslash.
func bearerError(code, description string) string {
	return `Bearer error="` + code + `", error_description="` + description + `"`
}
