package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatewright/gateway"
)

const (
	tokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// TokenExchange is a [http.RoundTripper] that sends a backend, in place of the caller's
// token, one that was issued for this backend in exchange (RFC 8693). So a backend cannot
// use what it gets anywhere else. The token replaces what Authorization the client has sent.
//
// The caller's token is the bearer token that [Require] has verified. A request of
// somebody who came in by something else, or of nobody, is refused with 401.
//
// A token got is used again for the same caller's token, which is remembered by its
// SHA-256, and renewed, dropped and repeated as [ClientCredentials] does; but it is never
// used after the [Principal] expires. One exchange at a time is made for a caller's token.
// One that the authorization server no longer takes (invalid_grant, invalid_token) is
// answered with 401, as the client should get a new one.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type TokenExchange struct {
	// Base sends the requests. Required.
	Base http.RoundTripper

	// TokenURL is where tokens are exchanged. http is accepted; use it on trusted networks
	// only. Required.
	TokenURL string

	// ClientID is who the gateway is there. Required.
	ClientID string

	// ClientSecret is how it shows that. Empty: it sends its id alone, as for a Transport
	// that shows a client certificate (RFC 8705 section 2).
	ClientSecret Secret

	// Scopes are what the token is to be good for. Nil: what the server thinks fit.
	Scopes []string

	// Audience is the name of the backend at the server. Empty: not sent.
	Audience string

	// Resource is the URI of the backend (RFC 8707). Empty: not sent.
	Resource string

	// Parameters are further ones of the token request. Nil: none.
	Parameters url.Values

	// RequestedTokenType is what kind of token the backend wants, as RFC 8693 section 3
	// names it. Empty: what the server thinks fit.
	RequestedTokenType string

	// SubjectTokenType is what kind the caller's token is. Empty: an access token.
	SubjectTokenType string

	// ActorToken says who acts for the caller (RFC 8693 section 1.1). Empty: nobody is named.
	ActorToken Secret

	// ActorTokenType is what kind that token is. Empty: an access token.
	ActorTokenType string

	// InParams sends id and secret as parameters. False: by HTTP Basic.
	InParams bool

	// Transport sends the token requests, a balancer.Pool for instance. Nil: one of its own,
	// over HTTP/1.1.
	Transport http.RoundTripper

	// Timeout is for a token request. Zero: 10 seconds.
	Timeout time.Duration

	// MaxRemembered is how many callers' tokens are remembered, at most. Zero: 10,000;
	// negative: none, and each request makes an exchange.
	MaxRemembered int

	compiled compiled[*supplies[[sha256.Size]byte]]
}

// RoundTrip sends r by Base with a token got for the caller's. The error of one that could
// not be had is a [gateway.Problem], whose cause holds neither secrets nor what the
// authorization server has written.
func (x *TokenExchange) RoundTrip(r *http.Request) (*http.Response, error) {
	subjects, err := x.compiled.get(x.build)
	if err != nil {
		return refused(r, err)
	}
	p, token := caller(r)
	if token == "" {
		return refused(r, unauthorized("token exchange: no bearer token to exchange"))
	}
	return subjects.of(sha256.Sum256([]byte(token))).carry(x.Base, r, ask{subject: token, principal: p})
}

// Check returns what is wrong with x, or with its Base.
func (x *TokenExchange) Check() error {
	_, err := x.compiled.get(x.build)
	return err
}

func (x *TokenExchange) build() (*supplies[[sha256.Size]byte], error) {
	params, err := extra(x.Audience, x.Resource, x.Parameters)
	params.Set("grant_type", tokenExchange)
	params.Set("subject_token_type", cmp.Or(x.SubjectTokenType, accessTokenType))
	if x.RequestedTokenType != "" {
		params.Set("requested_token_type", x.RequestedTokenType)
	}
	if x.ActorToken != "" {
		params.Set("actor_token", string(x.ActorToken))
		params.Set("actor_token_type", cmp.Or(x.ActorTokenType, accessTokenType))
	}
	e, faults := newEndpoint(endpoint{
		url: x.TokenURL, id: x.ClientID, secret: x.ClientSecret, scopes: x.Scopes, params: params, timeout: x.Timeout,
	}, x.InParams || x.ClientSecret == "", x.Transport)
	faults = append(faults, err)
	faults = append(faults, checkBase(x.Base))
	if x.ActorToken == "" && x.ActorTokenType != "" {
		faults = append(faults, errors.New("ActorTokenType without an ActorToken"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: token exchange: %w", err)
	}
	return newSupplies[[sha256.Size]byte](x.MaxRemembered, e.timeout, e.exchanged), nil
}

// exchanged gets a token for the caller's.
func (e *endpoint) exchanged(ctx context.Context, a ask) (issued, error) {
	now := time.Now()
	ends := a.principal.Expires
	if !ends.IsZero() && !now.Before(ends) {
		return issued{}, unauthorized("token exchange: the caller's token has expired")
	}
	t, err := e.request(ctx, url.Values{"subject_token": {string(a.subject)}})
	if err != nil {
		return issued{}, blameSubject(err)
	}
	d, err := life(t, time.Now())
	if err == nil {
		err = e.checkType(t)
	}
	if err != nil {
		return issued{}, err
	}
	got := newIssued(t.AccessToken, now, d)
	if !ends.IsZero() && ends.Before(got.until) {
		got.until, got.renew = ends, ends // a new one would be good for no longer
	}
	return got, nil
}

// blameSubject has the client answer for a token that is no longer taken.
func blameSubject(err error) error {
	var e *tokenError
	if errors.As(err, &e) && (e.code == "invalid_grant" || e.code == "invalid_token") {
		return &gateway.Problem{Status: http.StatusUnauthorized, Detail: "The access token is not valid.", Err: e}
	}
	return err
}

// checkType refuses a token that is not what was asked for. One that is not an access
// token has the type N_A (RFC 8693 section 2.2.1), but the backend wants it all the same.
func (e *endpoint) checkType(t *oauth2.Token) error {
	wanted := e.params.Get("requested_token_type")
	if is, _ := t.Extra("issued_token_type").(string); wanted != "" && is != wanted {
		return malformed("the token is of another type than was asked for")
	}
	if strings.EqualFold(t.Type(), "bearer") || wanted != "" && wanted != accessTokenType && strings.EqualFold(t.Type(), "N_A") {
		return nil
	}
	return malformed("the token is not one for bearers")
}
