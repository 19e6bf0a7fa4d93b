package oidc

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// revokeTime is how long a logout waits for the provider to take the refresh token back.
const revokeTime = 5 * time.Second

// serveLogout ends the session: here, by revoking the refresh token, and by sending the
// browser to the provider to end the one it has there. A form's post is sent on at once. A
// script, which cannot follow to another origin, is told where to go, as {"location": URL};
// that URL has no id_token_hint, as pages get no token, so the provider may ask whether the
// user means it (RP-Initiated Logout 1.0 section 2).
//
// There is no state parameter: nothing depends on the way back from a logout.
func (l *Login) serveLogout(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	if err := l.sameOrigin(r); err != nil {
		l.fail(x, r, err)
		return
	}
	ctx := context.WithoutCancel(r.Context()) // who clicks and leaves wants it done all the same
	c := l.cookie.take(r.Header)
	o, err := l.find(ctx, c)
	if err == nil && o.session != nil {
		err = l.end(ctx, o.session)
	}
	if err != nil { // the cookie stays, to try again with
		l.fail(x, r, unavailable("The logout is not possible at the moment.", err))
		return
	}
	l.cookie.set(x.Header(), nil, c, 0)
	l.sendOut(ctx, x, o.session, navigates(r))
}

// sendOut tells the provider, and the browser to go there.
func (l *Login) sendOut(ctx context.Context, x *exchange.Exchange, s *session, follows bool) {
	target := l.after
	if s != nil {
		ctx, cancel := context.WithTimeout(ctx, revokeTime)
		defer cancel()
		if err := l.provider.revoke(ctx, s.Refresh); err != nil {
			x.Notes = append(x.Notes, slog.String("logout", err.Error()))
		}
		if e, err := l.provider.endpoints(ctx); err == nil && e.EndSession != "" {
			target = l.farewell(e, s, follows)
		}
	}
	if follows {
		redirect(x, target)
		return
	}
	x.Header().Set("Content-Type", "application/json")
	x.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(x).Encode(map[string]string{"location": target})
}

// farewell is the provider's page that ends its own session.
func (l *Login) farewell(e *endpoints, s *session, hint bool) string {
	query := url.Values{"client_id": {l.provider.id}, "post_logout_redirect_uri": {l.origin + l.after}}
	if hint {
		query.Set("id_token_hint", s.IDToken)
	}
	separator := "?"
	if strings.Contains(e.EndSession, "?") {
		separator = "&"
	}
	return e.EndSession + separator + query.Encode()
}
