package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	errRefused   = errors.New("the provider refused")                // it answered, and said no
	errUntrusted = errors.New("the provider's answer does not hold") // it answered, but not what it should
)

// redeem exchanges a code for tokens, and returns the session that these make. Its errors
// have nothing of what was sent or received in them but what is known not to be secret.
func (p *provider) redeem(ctx context.Context, code string, attempt *attempt) (*session, error) {
	e, err := p.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := e.oauth.Exchange(ctx, code, oauth2.VerifierOption(attempt.Verifier))
	if err != nil {
		return nil, tokenError(err)
	}
	raw, verified, err := e.verify(ctx, token)
	switch {
	case err != nil:
		return nil, err
	case raw == "":
		return nil, fmt.Errorf("%w: no ID token", errUntrusted)
	case subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(attempt.Nonce)) != 1:
		return nil, fmt.Errorf("%w: the nonce is not ours", errUntrusted)
	}
	now := time.Now()
	s := &session{ID: random(), IDToken: raw, Scope: strings.Join(p.scopes, " "), Created: stampOf(now), Used: stampOf(now)}
	s.grant(token, now)
	return s, nil
}

// refresh returns what follows s by its refresh token, or errEnded if the provider does
// not take that any more.
func (p *provider) refresh(ctx context.Context, s *session) (*session, error) {
	e, err := p.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := e.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: s.Refresh}).Token()
	if err != nil {
		return nil, tokenError(err)
	}
	raw, verified, err := e.verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEnded, err)
	}
	next := *s
	if raw != "" { // OpenID Connect Core section 12.2
		if before, err := s.principal(); err != nil || verified.Subject != before.Subject {
			return nil, fmt.Errorf("%w: id token of somebody else", errEnded)
		}
		next.IDToken = raw
	}
	now := time.Now()
	next.Used = stampOf(now)
	next.grant(token, now)
	return &next, nil
}

// verify returns the ID token that came with token, if one did and it is what it should be
// (OpenID Connect Core section 3.1.3.7).
func (e *endpoints) verify(ctx context.Context, token *oauth2.Token) (string, *goidc.IDToken, error) {
	if !strings.EqualFold(token.Type(), "Bearer") { // another is of no use to who holds only it
		return "", nil, fmt.Errorf("%w: not a bearer token", errUntrusted)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return "", nil, nil
	}
	verified, err := e.verifier.Verify(ctx, raw)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errUntrusted, err)
	}
	if err := e.checkParty(verified); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errUntrusted, err)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return "", nil, fmt.Errorf("%w: at_hash is not that of the access token", errUntrusted)
		}
	}
	return raw, verified, nil
}

// checkParty reports whether the ID token was issued to somebody else, and only names us.
func (e *endpoints) checkParty(t *goidc.IDToken) error {
	var claims struct {
		Party string `json:"azp"`
	}
	if err := t.Claims(&claims); err != nil {
		return errors.New("azp is not a string")
	}
	switch {
	case t.Subject == "":
		return errors.New("no sub")
	case claims.Party == "" && len(t.Audience) > 1:
		return errors.New("more than one audience and no azp")
	case claims.Party != "" && claims.Party != e.oauth.ClientID:
		return errors.New("azp is another client")
	}
	return nil
}

// revoke has the provider take back the refresh token, and with it all that it was good
// for (RFC 7009).
func (p *provider) revoke(ctx context.Context, refresh string) error {
	e, err := p.endpoints(ctx)
	if err != nil || e.Revocation == "" || refresh == "" {
		return err
	}
	form := url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}}
	basic := e.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInHeader
	if !basic {
		form.Set("client_id", p.id)
		if p.secret != "" {
			form.Set("client_secret", p.secret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		r.SetBasicAuth(url.QueryEscape(p.id), url.QueryEscape(p.secret)) // RFC 6749 section 2.3.1
	}
	res, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("revoke: status %d", res.StatusCode)
	}
	return nil
}

// grantErrors are those a token endpoint may answer with (RFC 6749 section 5.2).
var grantErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// tokenError describes a failure of the token endpoint. What oauth2 says of it may quote
// the answer, and that may hold anything.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return fmt.Errorf("token endpoint: %w", err)
	}
	code := "an unknown error"
	if slices.Contains(grantErrors, refused.ErrorCode) {
		code = refused.ErrorCode
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	switch {
	case code == "invalid_grant":
		return fmt.Errorf("token endpoint: status %d, %s: %w", status, code, errEnded)
	case status < 500 && status != http.StatusTooManyRequests:
		return fmt.Errorf("token endpoint: status %d, %s: %w", status, code, errRefused)
	}
	return fmt.Errorf("token endpoint: status %d, %s", status, code)
}
