package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatewright/gateway/internal/exchange"
)

const (
	maxLookups    = 1000 // at a time, as who guesses must not be able to pile them up; others wait, within their timeout
	rememberWrong = 1024 // what does not hold, at most
)

// denial says why credentials do not hold. Any other error says why that is not known.
type denial string

func (d denial) Error() string { return string(d) }

var errBusy = errors.New("too many look-ups at a time")

// lookups finds out elsewhere who a secret speaks for. It asks once for all who want to
// know the same at the same time, and remembers the answers by the secret's SHA-256.
//
// What does not hold is remembered apart from what does, so that guesses, of which
// anybody can make any number, push out only each other.
type lookups struct {
	ask      func(ctx context.Context, secret string) (verified, error)
	timeout  time.Duration
	right    *memory // nil: none is remembered
	wrong    *memory // nil: none is remembered
	wrongFor time.Duration
	flights  singleflight.Group
	flying   chan struct{} // one for each look-up under way
}

// of returns who the secret of r speaks for.
func (l *lookups) of(r *http.Request, secret string) (*Principal, error) {
	now := time.Now()
	if p := l.right.recall(secret, now); p != nil {
		return p, nil
	}
	if l.wrong.recall(secret, now) != nil {
		return nil, denial("known not to hold")
	}
	// Who asks may leave any time, and nobody waits for one that outstays its deadline.
	ctx, cancel := context.WithTimeout(r.Context(), l.timeout)
	defer cancel()
	detached := detach(r.Context())
	landed := l.flights.DoChan(secret, func() (any, error) { return l.fly(detached, secret) })
	select {
	case result := <-landed:
		p, _ := result.Val.(*Principal)
		return p, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// detach returns a context for what is done for several requests: it ends with none of
// them, and does not share the state of one, which has no lock.
func detach(ctx context.Context) context.Context {
	s := &exchange.State{}
	if first := exchange.From(ctx); first != nil {
		s.RequestID = first.RequestID
	}
	return exchange.With(context.WithoutCancel(ctx), s)
}

// fly looks secret up. It runs on a goroutine of its own, where a panic would end the
// process.
func (l *lookups) fly(ctx context.Context, secret string) (p *Principal, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	// What does not heed its deadline is not to be joined any more.
	defer context.AfterFunc(ctx, func() { l.flights.Forget(secret) })()
	select {
	case l.flying <- struct{}{}:
		defer func() { <-l.flying }()
	case <-ctx.Done():
		return nil, errBusy
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			p, err = nil, panicked(thrown)
		}
	}()
	v, err := l.ask(ctx, secret)
	l.remember(secret, v, err)
	return v.principal, err
}

func (l *lookups) remember(secret string, v verified, err error) {
	var denied denial
	switch {
	case err == nil:
		l.right.keep(secret, v)
	case errors.As(err, &denied):
		l.wrong.keep(secret, verified{principal: nobody, until: time.Now().Add(l.wrongFor)})
	}
}
