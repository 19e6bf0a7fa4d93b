package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gatewright/gateway"
)

// Revoked reports whether a credential that is right in itself no longer counts: by its
// jti, its subject, or when it was issued, in Claims. It is asked on every request, so it
// should look at what it has at hand. If it fails nobody is let in: 503, or what a
// [gateway.Problem] says. It must not change the principal, and may be called
// concurrently. A nil Revoked is asked nothing.
type Revoked func(ctx context.Context, p *Principal) (bool, error)

var errRevoked = errors.New("revoked")

func (f Revoked) check(ctx context.Context, p *Principal) error {
	if f == nil {
		return nil
	}
	revoked, err := f(ctx, p)
	switch {
	case err != nil:
		return undecided(fmt.Errorf("auth: revoked: %w", err))
	case revoked:
		return errRevoked
	}
	return nil
}

// undecided is for an authenticator that cannot tell: as err says if it is a Problem,
// as the context's end if it is that, and otherwise 503.
func undecided(err error) error {
	var p *gateway.Problem
	if errors.As(err, &p) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &gateway.Problem{Status: http.StatusServiceUnavailable, Detail: "The credentials cannot be checked now.", Err: err}
}

// refuseToken returns the Problem for a bearer token that does not hold, or err itself if
// it says that this could not be found out.
func refuseToken(who string, err error) error {
	var p *gateway.Problem
	if errors.As(err, &p) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return refuse(http.StatusUnauthorized, "The access token is not valid.", invalidToken, fmt.Errorf("auth: %s: %w", who, err))
}
