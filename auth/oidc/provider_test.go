package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/internal/exchange"
)

const issuer = "https://id.test"

// fakeProvider is a double of an OpenID provider, reached in memory. By itself it is strict: a
// code is good once and for its verifier, a refresh token is good once, and a second use
// of one ends all that came of the login, as reuse detection does (RFC 9700 section
// 4.14.2). The functions make it lie, the flags make it fail.
type fakeProvider struct {
	t   *testing.T
	key *ecdsa.PrivateKey

	claims   func(jwt.MapClaims)        // of ID tokens, before they are signed
	sign     func(jwt.MapClaims) string // signs them in another way
	answer   func(map[string]any)       // of the token endpoint
	document func(map[string]any)       // of the discovery
	ttl      time.Duration              // of access tokens

	mu      sync.Mutex
	down    bool                        // no connection
	broken  map[string]http.HandlerFunc // answers in place of the endpoint
	hang    chan struct{}               // the token endpoint answers when it is closed
	codes   map[string]url.Values       // the authorization request, by its code
	refresh map[string]string           // the login a refresh token is of
	spent   map[string]bool             // refresh tokens
	ended   map[string]bool             // logins
	calls   map[string]int              // by path, token calls by grant type as well
	sent    map[string]http.Header      // with the last call
	nextID  int
}

func newFake(t *testing.T) *fakeProvider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &fakeProvider{
		t: t, key: key, ttl: 5 * time.Minute, broken: map[string]http.HandlerFunc{},
		codes: map[string]url.Values{}, refresh: map[string]string{}, spent: map[string]bool{},
		ended: map[string]bool{}, calls: map[string]int{}, sent: map[string]http.Header{},
	}
}

// RoundTrip serves without a socket.
func (p *fakeProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.calls[r.URL.Path]++
	p.sent[r.URL.Path] = r.Header
	down, broken, hang := p.down, p.broken[r.URL.Path], p.hang
	p.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	if hang != nil && r.URL.Path == "/token" {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	w := httptest.NewRecorder()
	if broken != nil {
		broken(w, r)
	} else {
		p.serve(w, r)
	}
	return w.Result(), nil
}

func (p *fakeProvider) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
			"jwks_uri": issuer + "/jwks", "revocation_endpoint": issuer + "/revoke", "end_session_endpoint": issuer + "/end",
			"id_token_signing_alg_values_supported":          []string{"ES256", "HS256", "none"},
			"authorization_response_iss_parameter_supported": true,
		}
		if p.document != nil {
			p.document(doc)
		}
		writeJSON(w, http.StatusOK, doc)
	case "/jwks":
		point, _ := p.key.PublicKey.Bytes()
		b64 := base64.RawURLEncoding.EncodeToString
		writeJSON(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:]),
		}}})
	case "/token":
		p.serveToken(w, r)
	case "/revoke":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended[p.refresh[r.FormValue("token")]] = true
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (p *fakeProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != "shop" || secret != "s3cret" {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	grant := r.FormValue("grant_type")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[grant]++
	var login, nonce string
	switch grant {
	case "authorization_code":
		request, ok := p.codes[r.FormValue("code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != request.Get("code_challenge") ||
			r.FormValue("redirect_uri") != request.Get("redirect_uri") {
			p.refuse(w)
			return
		}
		delete(p.codes, r.FormValue("code"))
		login, nonce = r.FormValue("code"), request.Get("nonce")
	case "refresh_token":
		token := r.FormValue("refresh_token")
		login = p.refresh[token]
		if login == "" || p.spent[token] || p.ended[login] {
			p.ended[login] = true
			p.refuse(w)
			return
		}
		p.spent[token] = true
	}
	writeJSON(w, http.StatusOK, p.grant(login, nonce))
}

// refuse answers with what must not be repeated anywhere.
func (p *fakeProvider) refuse(w http.ResponseWriter) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "LEAK of a grant"})
}

func (p *fakeProvider) grant(login, nonce string) map[string]any {
	p.nextID++
	n := string(rune('a'+p.nextID/26)) + string(rune('a'+p.nextID%26))
	access, refresh := "access-"+n, "refresh-"+n
	p.refresh[refresh] = login
	sum := sha256.Sum256([]byte(access))
	claims := jwt.MapClaims{
		"iss": issuer, "aud": "shop", "sub": "ann", "email": "ann@shop.test", "n": 9007199254740993,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.claims != nil {
		p.claims(claims)
	}
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(p.ttl.Seconds()),
		"refresh_token": refresh, "id_token": p.signed(claims), "scope": "openid offline_access orders",
	}
	if p.answer != nil {
		p.answer(answer)
	}
	return answer
}

func (p *fakeProvider) signed(claims jwt.MapClaims) string {
	if p.sign != nil {
		return p.sign(claims)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "1"
	s, err := token.SignedString(p.key)
	assert.NoError(p.t, err)
	return s
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// set changes the provider while it may be serving.
func (p *fakeProvider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *fakeProvider) called(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[name]
}

// authorize is what the provider's pages do: it takes the address that the gateway sent the
// browser to, and returns the one that the browser is sent back to.
func (p *fakeProvider) authorize(target string) *url.URL {
	u, err := url.Parse(target)
	require.NoError(p.t, err)
	q := u.Query()
	require.Equal(p.t, issuer+"/authorize", u.Scheme+"://"+u.Host+u.Path)
	require.Equal(p.t, "code", q.Get("response_type"))
	require.Equal(p.t, "shop", q.Get("client_id"))
	require.Equal(p.t, "S256", q.Get("code_challenge_method"))
	require.Equal(p.t, "https://shop.test/auth/callback", q.Get("redirect_uri"))
	require.NotEmpty(p.t, q.Get("nonce"))
	code := "code-" + q.Get("state")[:6]
	p.set(func() { p.codes[code] = q })
	back, err := url.Parse(q.Get("redirect_uri"))
	require.NoError(p.t, err)
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {issuer}}.Encode()
	return back
}

// browser is a double of a browser: it keeps cookies, if they are set as they must be.
type browser struct {
	t       *testing.T
	h       http.Handler
	mu      sync.Mutex
	cookies map[string]string
}

func newBrowser(t *testing.T, h http.Handler) *browser {
	return &browser{t: t, h: h, cookies: map[string]string{}}
}

// clone is a copy of the browser's cookies in other hands.
func (b *browser) clone() *browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &browser{t: b.t, h: b.h, cookies: maps.Clone(b.cookies)}
}

func (b *browser) request(method, target string, fields ...string) *http.Request {
	if strings.HasPrefix(target, "/") {
		target = "https://shop.test" + target
	}
	r := httptest.NewRequest(method, target, nil)
	r = r.WithContext(b.t.Context())
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func (b *browser) do(method, target string, fields ...string) *httptest.ResponseRecorder {
	return b.send(b.request(method, target, fields...))
}

func (b *browser) get(target string, fields ...string) *httptest.ResponseRecorder {
	return b.do(http.MethodGet, target, fields...)
}

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	b.mu.Lock()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	w := httptest.NewRecorder()
	x, r := exchange.Join(w, r)
	b.h.ServeHTTP(x, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	logged := fmt.Sprint(x.Err, x.Notes)
	for _, secret := range []string{"LEAK", "access-", "refresh-", "code-", "eyJ", "s3cret"} {
		assert.NotContains(b.t, logged, secret)
	}
	for _, c := range w.Result().Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") {
			continue
		}
		assert.True(b.t, c.Secure && c.HttpOnly && c.Path == "/" && c.Domain == "" && c.SameSite == http.SameSiteLaxMode, c.Raw)
		assert.LessOrEqual(b.t, len(c.Name)+len(c.Value), 4096)
		assert.Equal(b.t, "no-store", w.Header().Get("Cache-Control"))
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		assert.Positive(b.t, c.MaxAge)
		b.cookies[c.Name] = c.Value
	}
	return w
}

// login goes through a login, and returns the last answer.
func (b *browser) login(p *fakeProvider) *httptest.ResponseRecorder {
	w := b.get("/auth/login?return=/app/home")
	require.Equal(b.t, http.StatusSeeOther, w.Code, w.Body)
	return b.get(p.authorize(w.Header().Get("Location")).String())
}
