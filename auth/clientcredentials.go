package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ClientCredentials is a [http.RoundTripper] that sends a backend the gateway's own access
// token, which it gets from an authorization server by the client credentials grant (RFC
// 6749 section 4.4). The token replaces what Authorization the client has sent.
//
// There is one token. It is fetched when the first request needs it, once for all who
// wait, and again in the background when four fifths of its life are over: a request does
// not wait while there is a good one. A fetch that fails leaves the token in use until it
// expires, and is repeated after 1 second at the earliest, doubled each time up to 30, or
// when Retry-After says; without a token requests fail meanwhile, with 503 if the
// authorization server is down, and 502 if it refuses or answers what is no token.
//
// A token is good for as long as expires_in says, but a day at most, and 5 minutes if it
// does not say. It is not used in the last 10 seconds, or in the last tenth of a short
// life. When a backend answers 401, the token is dropped, unless it is younger than 5
// seconds; and a request that has no body, or a GetBody, is sent again with a new one.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type ClientCredentials struct {
	// Base sends the requests. Required.
	Base http.RoundTripper

	// TokenURL is where tokens are had. http is accepted; use it on trusted networks only.
	// Required.
	TokenURL string

	// ClientID is who the gateway is there. Required.
	ClientID string

	// ClientSecret is how it shows that. Empty: it sends its id alone, as for a Transport
	// that shows a client certificate (RFC 8705 section 2).
	ClientSecret Secret

	// Scopes are what the token is to be good for. Nil: what the server thinks fit.
	Scopes []string

	// Audience is the parameter "audience", which many servers ask for. Empty: not sent.
	Audience string

	// Resource is the URI of the backend (RFC 8707). Empty: not sent.
	Resource string

	// Parameters are further ones of the token request. Nil: none.
	Parameters url.Values

	// InParams sends id and secret as parameters. False: by HTTP Basic, as RFC 6749 section
	// 2.3.1 prefers.
	InParams bool

	// Transport sends the token requests, a balancer.Pool for instance. Nil: one of its own,
	// over HTTP/1.1.
	Transport http.RoundTripper

	// Timeout is for a token request. Zero: 10 seconds.
	Timeout time.Duration

	compiled compiled[*supply]
}

// RoundTrip sends r by Base with the gateway's token. The error of a token that could not
// be had is a [gateway.Problem], whose cause holds neither secrets nor what the
// authorization server has written.
func (c *ClientCredentials) RoundTrip(r *http.Request) (*http.Response, error) {
	s, err := c.compiled.get(c.build)
	if err != nil {
		return refused(r, err)
	}
	return s.carry(c.Base, r, ask{})
}

// Check returns what is wrong with c, or with its Base.
func (c *ClientCredentials) Check() error {
	_, err := c.compiled.get(c.build)
	return err
}

func (c *ClientCredentials) build() (*supply, error) {
	params, err := extra(c.Audience, c.Resource, c.Parameters)
	e, faults := newEndpoint(endpoint{
		url: c.TokenURL, id: c.ClientID, secret: c.ClientSecret, scopes: c.Scopes, params: params, timeout: c.Timeout,
	}, c.InParams || c.ClientSecret == "", c.Transport)
	faults = append(faults, err)
	faults = append(faults, checkBase(c.Base))
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: client credentials: %w", err)
	}
	return &supply{fetch: e.own, timeout: e.timeout}, nil
}

// own gets a token for ourselves.
func (e *endpoint) own(ctx context.Context, _ ask) (issued, error) {
	now := time.Now()
	t, err := e.request(ctx, nil)
	if err != nil {
		return issued{}, err
	}
	d, err := life(t, time.Now())
	if err != nil {
		return issued{}, err
	}
	if !strings.EqualFold(t.Type(), "bearer") { // it is also "if the server does not say"
		return issued{}, malformed("the token is not one for bearers")
	}
	return newIssued(t.AccessToken, now, d), nil
}
