package auth

import (
	"context"
	"errors"
	"time"

	"github.com/gatewright/gateway"
)

// hookTimeout is how long a function of the user's may take that is asked on a request.
const hookTimeout = 2 * time.Second

// Revoked reports whether a credential that is right in itself no longer counts: by its
// jti, its subject, or when it was issued, in Claims. It is asked on every request, so it
// should look at what it has at hand; its context ends after 2 seconds. If it fails nobody
// is let in: 503, or what a [gateway.Problem] says. It must not change the principal, and
// may be called concurrently. A nil Revoked is asked nothing.
type Revoked func(ctx context.Context, p *Principal) (bool, error)

var errRevoked = errors.New("revoked")

// check returns errRevoked, or a Problem if that could not be found out.
func (f Revoked) check(ctx context.Context, who string, p *Principal) error {
	if f == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	revoked, err := f(limited, p)
	placed := (*gateway.Problem)(nil)
	switch {
	case errors.As(err, &placed):
		return err
	case err != nil:
		return undecided(ctx, who+": revoked", err)
	case revoked:
		return errRevoked
	}
	return nil
}
