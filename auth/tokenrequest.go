package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/http1"
)

const (
	defaultTokenTimeout = 10 * time.Second
	defaultTokenLife    = 5 * time.Minute
	maxTokenLife        = 24 * time.Hour
	maxTokenResponse    = 64 << 10
)

// endpoint is a token endpoint (RFC 6749 section 3.2), and who we are to it.
type endpoint struct {
	url, id string
	secret  Secret
	style   oauth2.AuthStyle
	scopes  []string
	params  url.Values // besides
	timeout time.Duration

	transport http.RoundTripper
}

// newEndpoint returns the faults of what it is given beside the endpoint.
func newEndpoint(e endpoint, inParams bool, transport http.RoundTripper) (*endpoint, []error) {
	var faults []error
	if err := checkURL(e.url); err != nil {
		faults = append(faults, fmt.Errorf("TokenURL: %w", err))
	}
	if e.id == "" {
		faults = append(faults, errors.New("no ClientID"))
	}
	if slices.ContainsFunc(e.scopes, func(s string) bool { return !isScope(s) }) {
		faults = append(faults, errors.New("invalid Scopes"))
	}
	if e.timeout < 0 {
		faults = append(faults, errors.New("negative Timeout"))
	}
	e.timeout = cmp.Or(e.timeout, defaultTokenTimeout)
	e.scopes = slices.Clone(e.scopes)
	// To find out which of the two an endpoint takes would be to show it the secret twice.
	e.style = oauth2.AuthStyleInHeader
	if inParams {
		e.style = oauth2.AuthStyleInParams
	}
	if transport == nil {
		transport = &http1.Transport{IdleTimeout: 30 * time.Second, MaxIdle: 2, MaxHeaderBytes: maxTokenResponse}
	} else if err := checkTransport(transport); err != nil {
		faults = append(faults, fmt.Errorf("Transport: %w", err))
	}
	e.transport = transport
	return &e, faults
}

// owned are the parameters that are not the user's to set: they have fields, or are what
// makes the request one of its kind.
var owned = []string{"grant_type", "client_id", "client_secret", "scope", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type"}

// extra returns the parameters that a literal adds to the token request.
func extra(audience, resource string, more url.Values) (url.Values, error) {
	params := url.Values{}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if slices.Contains(owned, name) {
			faults = append(faults, fmt.Errorf("%q among the Parameters", name))
		}
		params[name] = slices.Clone(more[name])
	}
	if audience != "" {
		params.Add("audience", audience)
	}
	if resource != "" { // RFC 8707 section 2
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || strings.Contains(resource, "#") {
			faults = append(faults, errors.New("the Resource is not an absolute URI without a fragment"))
		}
		params.Add("resource", resource)
	}
	return params, errors.Join(faults...)
}

// request gets a token. The params are those of this request alone.
func (e *endpoint) request(ctx context.Context, params url.Values) (*oauth2.Token, error) {
	all := url.Values{}
	for _, from := range []url.Values{e.params, params} {
		for name, values := range from {
			all[name] = values
		}
	}
	config := clientcredentials.Config{
		ClientID: e.id, ClientSecret: string(e.secret), TokenURL: e.url,
		Scopes: e.scopes, EndpointParams: all, AuthStyle: e.style,
	}
	seen := &frugal{base: e.transport}
	t, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport: seen,
		// Where a redirect leads, the secret is not to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return nil, tokenProblem(ctx, err, seen.media)
	}
	return t, nil
}

// life returns how long t is good for, and an error if it is not.
func life(t *oauth2.Token, now time.Time) (time.Duration, error) {
	if len(t.AccessToken) > maxCredential || !isSendable(t.AccessToken) {
		return 0, malformed("the token cannot stand in a header field")
	}
	if t.Expiry.IsZero() {
		return defaultTokenLife, nil
	}
	d := t.Expiry.Sub(now)
	if d <= 0 {
		return 0, malformed("the token has expired before it came")
	}
	return min(d, maxTokenLife), nil
}

func malformed(why string) error {
	return &gateway.Problem{Status: http.StatusBadGateway, Fault: gateway.UpstreamBody, Err: errors.New("auth: token endpoint: " + why)}
}

// tokenProblem returns what err comes to, without what the endpoint has written: it may
// have quoted the secret, and an error of x/oauth2 has all of the body in it.
func tokenProblem(ctx context.Context, err error, media string) error {
	var answered *oauth2.RetrieveError
	var broken *url.Error
	switch {
	case ctx.Err() != nil:
		return noTokenInTime()
	case errors.As(err, &answered):
		return answeredProblem(answered)
	case errors.As(err, &broken):
		return &gateway.Problem{
			Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamUnavailable,
			Err: fmt.Errorf("auth: token endpoint: %w", broken.Err), // without the URL
		}
	}
	return malformed("the response, of type " + media + ", is not a token's")
}

// tokenErrors are the codes that are repeated in logs (RFC 6749 section 5.2, RFC 8693
// section 2.2.2). Any other text could be anything.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "invalid_target", "invalid_token", "access_denied", "server_error", "temporarily_unavailable",
}

func answeredProblem(e *oauth2.RetrieveError) *gateway.Problem {
	code := "no known error code"
	if slices.Contains(tokenErrors, e.ErrorCode) {
		code = e.ErrorCode
	}
	p := &gateway.Problem{
		Status: http.StatusBadGateway, Fault: gateway.UpstreamStatus,
		Err: &tokenError{e.Response.StatusCode, code},
	}
	if status := e.Response.StatusCode; status >= 500 || status == http.StatusTooManyRequests {
		p.Status = http.StatusServiceUnavailable
		p.RetryAfter, _ = field.RetryAfter(e.Response.Header)
	}
	return p
}

// tokenError is a token endpoint's refusal.
type tokenError struct {
	status int
	code   string
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("auth: token endpoint: status %d, %s", e.status, e.code)
}

// frugal reads no more than a token response can need, and sees of what type it is.
type frugal struct {
	base  http.RoundTripper
	media string
}

// RoundTrip is part of [http.RoundTripper].
func (f *frugal) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f.base.RoundTrip(r)
	if err == nil && res != nil && res.Body != nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxTokenResponse)
		f.media = mediaOf(res.Header.Get("Content-Type"))
	}
	return res, err
}

// mediaOf returns a content type as a log may have it.
func mediaOf(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || len(media) > 100 {
		return "unknown"
	}
	return media
}
