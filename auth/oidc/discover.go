package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// metadata is what we use of a provider's discovery document (OpenID Connect Discovery
// section 3, RFC 8414).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Keys          string   `json:"jwks_uri"`
	EndSession    string   `json:"end_session_endpoint"`
	Revocation    string   `json:"revocation_endpoint"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	SendsIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
}

// endpoints is what a provider's discovery has found.
type endpoints struct {
	metadata
	oauth    *oauth2.Config
	verifier *goidc.IDTokenVerifier
}

// Discovery that fails is tried again when it is needed, not sooner than after a pause,
// which grows.
const (
	minPause = time.Second
	maxPause = 30 * time.Second
)

// provider is the OpenID provider: all calls go through it.
type provider struct {
	issuer, id, secret, redirect string
	scopes                       []string
	client                       *http.Client

	flight singleflight.Group
	mu     sync.Mutex // guards the following
	found  *endpoints
	failed error
	pause  time.Duration
	again  time.Time // no discovery before
	rest   time.Time // no refresh before that is not pressing: the last one failed
}

// endpoints discovers the provider on first use. However many wait for it, one asks, and
// goes on if those that wait leave.
func (p *provider) endpoints(ctx context.Context) (*endpoints, error) {
	if e, err := p.known(); e != nil || err != nil {
		return e, err
	}
	done := p.flight.DoChan("", func() (any, error) {
		if e, err := p.known(); e != nil || err != nil {
			return e, err
		}
		return p.learn(p.discover(context.WithoutCancel(ctx)))
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case res := <-done:
		e, _ := res.Val.(*endpoints)
		return e, res.Err
	}
}

func (p *provider) known() (*endpoints, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil && time.Now().Before(p.again) {
		return nil, p.failed
	}
	return p.found, nil
}

func (p *provider) learn(e *endpoints, err error) (*endpoints, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.pause = min(max(2*p.pause, minPause), maxPause)
		p.again = time.Now().Add(p.pause)
		p.failed = fmt.Errorf("discover the provider: %w", err)
		return nil, p.failed
	}
	p.found = e
	return e, nil
}

func (p *provider) discover(ctx context.Context) (*endpoints, error) {
	m, err := p.fetch(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.check(p.issuer); err != nil {
		return nil, err
	}
	ctx = goidc.ClientContext(context.Background(), p.client)
	found := (&goidc.ProviderConfig{IssuerURL: p.issuer, JWKSURL: m.Keys, Algorithms: m.algorithms()}).NewProvider(ctx)
	return &endpoints{
		metadata: *m,
		verifier: found.Verifier(&goidc.Config{ClientID: p.id}),
		oauth: &oauth2.Config{
			ClientID: p.id, ClientSecret: p.secret, RedirectURL: p.redirect, Scopes: p.scopes,
			Endpoint: oauth2.Endpoint{AuthURL: m.Authorization, TokenURL: m.Token, AuthStyle: p.authStyle(m)},
		},
	}, nil
}

func (p *provider) fetch(ctx context.Context) (*metadata, error) {
	target := strings.TrimSuffix(p.issuer, "/") + "/.well-known/openid-configuration"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	res, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	m := &metadata{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return m, nil
}

// check reports what keeps the metadata from being used. That the issuer is the one we
// asked is what keeps a provider from standing in for another (RFC 8414 section 3.3).
func (m *metadata) check(issuer string) error {
	if m.Issuer != issuer {
		return fmt.Errorf("it calls itself %q", m.Issuer)
	}
	for name, e := range map[string]string{"authorization": m.Authorization, "token": m.Token, "keys": m.Keys} {
		if e == "" {
			return fmt.Errorf("it has no %s endpoint", name)
		}
	}
	for _, e := range []string{m.Authorization, m.Token, m.Keys, m.EndSession, m.Revocation} {
		if e == "" {
			continue
		}
		if u, err := url.Parse(e); err != nil || !secure(u) {
			return errors.New("an endpoint is not https")
		}
	}
	return nil
}

// secure reports whether what is sent to u stays between us and it.
func secure(u *url.URL) bool {
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http": // for development; browsers treat it as secure (W3C Secure Contexts section 3.1)
		return u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	}
	return false
}

// signatures are the algorithms an ID token may be signed with: those by a key pair.
var signatures = []string{
	goidc.RS256, goidc.RS384, goidc.RS512, goidc.ES256, goidc.ES384, goidc.ES512,
	goidc.PS256, goidc.PS384, goidc.PS512, goidc.EdDSA,
}

// algorithms returns those of the provider that are signatures, and RS256 if it names none
// (OpenID Connect Core section 15.1).
func (m *metadata) algorithms() []string {
	var algorithms []string
	for _, a := range m.Algorithms {
		if slices.Contains(signatures, a) {
			algorithms = append(algorithms, a)
		}
	}
	if len(algorithms) == 0 {
		return []string{goidc.RS256}
	}
	return algorithms
}

// authStyle says how we authenticate at the token endpoint. To try one way and then the
// other, as oauth2 would, is to present a code twice, which may cost the grant (RFC 6749
// section 4.1.2).
func (p *provider) authStyle(m *metadata) oauth2.AuthStyle {
	basic := len(m.AuthMethods) == 0 || slices.Contains(m.AuthMethods, "client_secret_basic")
	if p.secret == "" || !basic {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// recovered makes an error of a panic of the user's Transport or Store, on a goroutine
// where it would end the process.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %T", v)
	}
}
