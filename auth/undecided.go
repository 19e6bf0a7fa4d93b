package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/gatewright/gateway"
)

// undecided is for an authenticator that cannot tell whether credentials hold: nobody is
// let in. It returns the end of the request's context if that has come.
func undecided(ctx context.Context, who string, err error) error {
	if gone := ctx.Err(); gone != nil {
		return fmt.Errorf("auth: %s: %w", who, gone)
	}
	return unavailable(who, err)
}

// unavailable answers without naming whom we asked. The cause and the fault are for the log.
func unavailable(who string, err error) *gateway.Problem {
	p := &gateway.Problem{
		Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamUnavailable,
		Detail: "The credentials cannot be checked at the moment.",
	}
	placed := (*gateway.Problem)(nil)
	switch {
	case errors.As(err, &placed):
		if strings.HasPrefix(string(placed.Fault), "upstream_") {
			p.Fault = placed.Fault
		}
		p.RetryAfter = placed.RetryAfter
		if placed.Err != nil {
			err = placed.Err
		}
	case errors.Is(err, context.DeadlineExceeded):
		p.Fault = gateway.UpstreamTimeout
	}
	p.Err = fmt.Errorf("auth: %s: %w", who, err)
	return p
}

// panicked returns what code of the user's has thrown as an error. It is not quoted, but
// for the runtime's own: it could be anything.
func panicked(thrown any) error {
	if err, ok := thrown.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic with a %T", thrown)
}
