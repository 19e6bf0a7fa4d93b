package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatewright/gateway"
)

// redeemTime is how long the exchange of a code and the verification of what comes take.
const redeemTime = 20 * time.Second

// serveCallback ends a login: it makes tokens of the code, and a session of the tokens.
func (l *Login) serveCallback(w http.ResponseWriter, r *http.Request) {
	c := l.cookie.take(r.Header)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || twice(query) {
		l.fail(w, r, notOurs("the query has a parameter twice, or is none"))
		return
	}
	a := l.cookie.returned(w.Header(), c, query.Get("state"))
	if a == nil {
		l.fail(w, r, notOurs("no login of this browser has the state"))
		return
	}
	s, err := l.finish(r.Context(), query, a)
	if err == nil {
		err = l.open(w.Header(), r, c, s)
	}
	if err != nil {
		l.fail(w, r, err)
		return
	}
	redirect(w, a.Return)
}

// twice reports whether a parameter that we read is there more than once (RFC 6749 section
// 3.1): another could read the other one.
func twice(query url.Values) bool {
	return slices.ContainsFunc([]string{"state", "code", "iss", "error"}, func(name string) bool { return len(query[name]) > 1 })
}

func notOurs(cause string) error {
	return &gateway.Problem{
		Status: http.StatusBadRequest, Detail: "This login was not begun here, or too long ago. Begin again.",
		Err: errors.New("auth/oidc: callback: " + cause),
	}
}

// finish returns the session that the provider's answer is good for.
func (l *Login) finish(ctx context.Context, query url.Values, a *attempt) (*session, error) {
	// Not the client's context: a code is good once, and who left may come back for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redeemTime)
	defer cancel()
	e, err := l.provider.endpoints(ctx)
	if err != nil {
		return nil, unavailable("The login is not available at the moment.", err)
	}
	// RFC 9207: the answer of another provider must not bring its code to this one.
	if iss := query.Get("iss"); iss != l.provider.issuer && (query.Has("iss") || e.SendsIssuer) {
		return nil, notOurs("iss is not the provider")
	}
	if query.Has("error") {
		return nil, answered(query.Get("error"))
	}
	if query.Get("code") == "" {
		return nil, notOurs("no code")
	}
	if !l.done.put(sha256.Sum256([]byte(a.State)), nil) {
		return nil, notOurs("the login has come back before")
	}
	s, err := l.provider.redeem(ctx, query.Get("code"), a)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, errEnded): // invalid_grant: the code, not we, and to begin again helps
		return nil, notOurs(err.Error())
	case errors.Is(err, errRefused), errors.Is(err, errUntrusted):
		return nil, failedLogin(err)
	}
	return nil, unavailable("The login is not available at the moment.", err)
}

// answered is for an error response of the provider (RFC 6749 section 4.1.2.1, OpenID
// Connect Core section 3.1.2.6). The browser brought it, so nothing of it is repeated.
func answered(code string) error {
	switch code {
	case "access_denied":
		return &gateway.Problem{
			Status: http.StatusForbidden, Detail: "The login was refused or cancelled.",
			Err: errors.New("auth/oidc: callback: access_denied"),
		}
	case "temporarily_unavailable", "server_error":
		return unavailable("The login is not available at the moment.", errors.New("callback: "+code))
	case "login_required", "interaction_required", "consent_required", "account_selection_required",
		"invalid_request", "unauthorized_client", "invalid_scope", "unsupported_response_type":
		return failedLogin(errors.New("the provider says " + code))
	}
	return failedLogin(errors.New("the provider says an unknown error"))
}

func failedLogin(err error) error {
	return &gateway.Problem{
		Status: http.StatusBadGateway, Detail: "The login could not be completed.",
		Fault: gateway.UpstreamBody, Err: fmt.Errorf("auth/oidc: callback: %w", err),
	}
}

// open begins s in this browser. What session it had is over: with the new id, one that was
// planted there is worth nothing. Its refresh token is not revoked, as many providers
// would take back the new one with it.
func (l *Login) open(h http.Header, r *http.Request, c *crumbs, s *session) error {
	ctx := context.WithoutCancel(r.Context())
	if before, err := l.find(ctx, c); err == nil && before.session != nil {
		err = l.end(ctx, before.session)
		if err != nil {
			return unavailable(storeDown, err)
		}
	}
	if l.shelf != nil {
		if ok, err := l.shelf.save(ctx, s, nil); err != nil || !ok {
			return unavailable(storeDown, fmt.Errorf("begin: %w", errors.Join(err)))
		}
	}
	pieces, err := l.cookie.seal(l.ticket(s))
	if err != nil {
		return fmt.Errorf("auth/oidc: callback: %w", err)
	}
	l.cookie.set(h, pieces, c, l.life.rest(s, time.Now()))
	return nil
}
