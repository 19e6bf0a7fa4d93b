package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

const (
	renewTime = 15 * time.Second // of a refresh, with the Store's part in it
	patience  = 2 * time.Second  // that a request with a good access token waits for another
	restTime  = 5 * time.Second  // that a provider that failed is left alone where it can be
)

// refresh makes o's access token good for a while, or o.session nil if the session has
// ended. See [Login.Session] for what it does if the provider fails.
func (l *Login) refresh(x *exchange.Exchange, r *http.Request, o *opened) error {
	s, now := o.session, time.Now()
	alive := s.alive(now)
	switch {
	case !s.due(now), s.Refresh == "" && alive, alive && l.provider.resting(now):
		return nil
	case s.Refresh == "":
		o.session = nil
		return l.end(r.Context(), s)
	}
	next, err := l.await(r.Context(), s, alive)
	switch {
	case err == nil:
		o.session, o.moved = next, o.moved || next != s
		return nil
	case errors.Is(err, errEnded):
		x.Notes = append(x.Notes, slog.String("session", err.Error()))
		o.session = nil
		return nil
	case alive:
		x.Notes = append(x.Notes, slog.String("session", err.Error()))
		return nil
	}
	return unavailable("The session cannot be continued at the moment.", err)
}

// await returns what follows s. One refresh is made for all that wait for it; it goes on
// when they leave, as the refresh token that it uses may be good only once.
func (l *Login) await(ctx context.Context, s *session, alive bool) (*session, error) {
	version := s.version()
	done := l.renewals.DoChan(string(version[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		return l.renew(ctx, s)
	})
	longest := renewTime
	if alive {
		longest = patience
	}
	enough := time.NewTimer(longest)
	defer enough.Stop()
	select {
	case res := <-done:
		next, _ := res.Val.(*session)
		return next, res.Err
	case <-enough.C:
		return nil, errors.New("the refresh takes long")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renew refreshes s where it is kept.
func (l *Login) renew(ctx context.Context, s *session) (next *session, err error) {
	defer recovered(&err)
	if l.shelf != nil {
		next, err = l.renewStored(ctx, s)
	} else {
		next, err = l.renewCookie(ctx, s)
	}
	if err != nil && !errors.Is(err, errEnded) {
		l.provider.tire()
	}
	return next, err
}

func (l *Login) renewCookie(ctx context.Context, s *session) (*session, error) {
	switch latest := l.recent.latest(s); latest {
	case nil:
		return nil, errEnded
	case s:
	default:
		return latest, nil
	}
	next, err := l.provider.refresh(ctx, s)
	switch {
	case errors.Is(err, errEnded):
		l.recent.put(s.version(), nil)
		return nil, err
	case err != nil:
		return nil, err
	case next.version() == s.version(): // the provider gave the same tokens for longer
		return next, nil
	}
	if !l.recent.put(s.version(), next) { // a logout was quicker
		return nil, l.giveBack(ctx, next)
	}
	return next, nil
}

// renewStored asks the Store first: another request, or another gateway, may have been
// quicker.
func (l *Login) renewStored(ctx context.Context, s *session) (*session, error) {
	unlock, err := l.shelf.lock(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	now, stored, err := l.shelf.load(ctx, s.ID)
	switch {
	case err != nil:
		return nil, err
	case now == nil:
		return nil, errEnded
	case !now.due(time.Now()):
		return now, nil
	}
	next, err := l.provider.refresh(ctx, now)
	switch {
	case errors.Is(err, errEnded):
		return l.refused(ctx, now, err)
	case err != nil:
		return nil, err
	}
	err = l.shelf.replace(ctx, next, stored)
	if errors.Is(err, errEnded) {
		return nil, l.giveBack(ctx, next)
	}
	return next, err
}

// refused ends s, unless another gateway has refreshed it, by a Store without a lock, and
// that is why the provider did not take its refresh token.
func (l *Login) refused(ctx context.Context, s *session, cause error) (*session, error) {
	now, _, err := l.shelf.load(ctx, s.ID)
	switch {
	case err != nil:
		return nil, err
	case now != nil && now.version() != s.version():
		return now, nil
	}
	if err := l.shelf.delete(ctx, s.ID); err != nil {
		return nil, err
	}
	return nil, cause
}

// giveBack is for tokens that came when their session had ended.
func (l *Login) giveBack(ctx context.Context, s *session) error {
	if err := l.provider.revoke(ctx, s.Refresh); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	return errEnded
}

// tire has refreshes that are not pressing wait: a provider that is down is not asked once
// a request, nor is each held up by it.
func (p *provider) tire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = time.Now().Add(restTime)
}

func (p *provider) resting(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.rest)
}
