package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = bytes.Repeat([]byte("k"), 32)

// modes are where sessions live.
var modes = map[string]func() Store{
	"cookie": func() Store { return nil },
	"memory": func() Store { return Memory(100) },
}

func inBothModes(t *testing.T, test func(t *testing.T, store Store)) {
	for name, store := range modes {
		t.Run(name, func(t *testing.T) { test(t, store()) })
	}
}

func config(p *fakeProvider, store Store) Config {
	return Config{
		Issuer: issuer, ClientID: "shop", ClientSecret: "s3cret", URL: "https://shop.test/auth",
		Scopes: []string{"offline_access"}, Key: testKey, Sessions: store, Transport: p,
	}
}

// seen is what a backend sees of a request.
type seen struct {
	Subject, Token, Cookie string
	Scopes                 []string
	Number                 string
}

func backend(w http.ResponseWriter, r *http.Request) {
	p := auth.From(r.Context())
	s := seen{Cookie: r.Header.Get("Cookie")}
	if p != nil {
		s.Subject, s.Scopes = p.Subject, p.Scopes
		s.Number, _ = p.Claim("n")
	}
	if x := exchange.From(r.Context()); x != nil {
		s.Token = string(x.Token)
	}
	_ = json.NewEncoder(w).Encode(s)
}

// newGateway is a gateway as the package comment has it.
func newGateway(l *Login) *gateway.Gateway {
	gw := gateway.New()
	gw.Handle("/auth/", l)
	app := gw.Group("/app", l.Session, auth.Require(l))
	app.Handle("/", http.HandlerFunc(backend))
	gw.Group("/open", l.Session, auth.Require(l, auth.Anonymous)).Handle("/", http.HandlerFunc(backend))
	return gw
}

// start returns a browser at a gateway with a login at p.
func start(t *testing.T, p *fakeProvider, store Store) *browser {
	return newBrowser(t, newGateway(Must(config(p, store))))
}

// loggedIn is start and a login.
func loggedIn(t *testing.T, p *fakeProvider, store Store) *browser {
	b := start(t, p, store)
	w := b.login(p)
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	require.Equal(t, "/app/home", w.Header().Get("Location"))
	return b
}

func saw(t *testing.T, w *httptest.ResponseRecorder) (s seen) {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
	return s
}

// brokenStore is a store that fails, or hangs without heeding its context, or panics.
type brokenStore struct {
	Store
	err   error
	hang  chan struct{}
	panic bool
}

func (b *brokenStore) Load(ctx context.Context, id string) ([]byte, error) {
	if b.hang != nil {
		<-b.hang
	}
	if b.panic {
		panic("boom")
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.Store.Load(ctx, id)
}

func (b *brokenStore) Save(ctx context.Context, id string, old, data []byte, ttl time.Duration) (bool, error) {
	if b.err != nil {
		return false, b.err
	}
	return b.Store.Save(ctx, id, old, data, ttl)
}

func (b *brokenStore) Delete(ctx context.Context, id string) error {
	if b.err != nil {
		return b.err
	}
	return b.Store.Delete(ctx, id)
}

// spyStore remembers what it was given.
type spyStore struct {
	Store
	data []string
}

func (s *spyStore) Save(ctx context.Context, id string, old, data []byte, ttl time.Duration) (bool, error) {
	s.data = append(s.data, id, string(data))
	return s.Store.Save(ctx, id, old, data, ttl)
}
