package oidc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewReportsAllFaultsAtOnce(t *testing.T) {
	_, err := New(Config{
		Issuer: "http://id.test", URL: "https://shop.test/a/../b", Key: []byte("SECRET"), Cookie: "a b", Idle: -1,
		AfterLogout: "//evil.test", Scopes: []string{"a b"}, Params: map[string]string{"state": "x"},
	})
	require.Error(t, err)
	for _, want := range []string{"Issuer", "URL", "ClientID", "key", "Cookie", "Idle", "AfterLogout", "Scopes", "Params has state"} {
		assert.Contains(t, err.Error(), want)
	}
	assert.NotContains(t, err.Error(), "SECRET")
	assert.PanicsWithError(t, err.Error(), func() {
		Must(Config{
			Issuer: "http://id.test", URL: "https://shop.test/a/../b", Key: []byte("SECRET"), Cookie: "a b", Idle: -1,
			AfterLogout: "//evil.test", Scopes: []string{"a b"}, Params: map[string]string{"state": "x"},
		})
	})
}

func TestConfigsThatAreRefused(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"issuer with a query":  func(c *Config) { c.Issuer = "https://id.test/?x" },
		"issuer by a host":     func(c *Config) { c.Issuer = "id.test" },
		"http":                 func(c *Config) { c.URL = "http://shop.test/auth" },
		"URL with a query":     func(c *Config) { c.URL = "https://shop.test/auth?x" },
		"URL with a password":  func(c *Config) { c.URL = "https://a:b@shop.test/auth" },
		"URL that is escaped":  func(c *Config) { c.URL = "https://shop.test/a%2Fb" },
		"short old key":        func(c *Config) { c.OldKeys = [][]byte{[]byte("x")} },
		"cookie with a domain": func(c *Config) { c.Cookie = "a;Domain=x" },
		"long cookie":          func(c *Config) { c.Cookie = strings.Repeat("c", maxCookie+1) },
		"negative lifetime":    func(c *Config) { c.Lifetime = -1 },
	} {
		c := config(newFake(t), nil)
		change(&c)
		_, err := New(c)
		assert.Error(t, err, name)
	}
	for name, change := range map[string]func(c *Config){
		"localhost": func(c *Config) { c.URL, c.Issuer = "http://localhost:8080/auth", "http://127.0.0.1:3000" },
		"slash":     func(c *Config) { c.URL = "https://shop.test/auth/" },
		"root":      func(c *Config) { c.URL = "https://shop.test" },
		"after":     func(c *Config) { c.AfterLogout = "/auth/bye" },
	} {
		c := config(newFake(t), nil)
		change(&c)
		_, err := New(c)
		assert.NoError(t, err, name)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	p := newFake(t)
	c := config(p, nil)
	c.Transport = nil
	c.Key = []byte("0123456789abcdef0123456789abcdef")
	l := Must(c)
	s := &session{ID: "i-LEAK", Access: "a-LEAK", Refresh: "r-LEAK"}
	a := &attempt{State: "s-LEAK", Verifier: "v-LEAK"}
	for name, v := range map[string]any{
		"Config": c, "*Config": &c, "within": struct{ C Config }{c}, "Login": l, "session": s, "attempt": a,
		"opened": struct{ S *session }{s}, "slice": []any{c, l, s, a},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if name != "opened" { // which fmt prints as a pointer
				fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v, v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("config", "oidc", v)
			for _, leak := range []string{"s3cret", "01234567", "48 49 50", "0x30, 0x31", "LEAK"} {
				assert.NotContains(t, out.String(), leak)
			}
		})
	}
	assert.Equal(t, `oidc.Config{Issuer: "https://id.test", ClientID: "shop", URL: "https://shop.test/auth", secrets redacted}`, fmt.Sprint(c))
}

func TestMemoryIsBoundedExpiresAndReplacesWhatItShouldOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := Memory(2)
		save := func(id, old, data string) bool {
			var before []byte
			if old != "" {
				before = []byte(old)
			}
			ok, err := m.Save(ctx, id, before, []byte(data), time.Minute)
			require.NoError(t, err)
			return ok
		}
		load := func(id string) string {
			data, err := m.Load(ctx, id)
			require.NoError(t, err)
			return string(data)
		}
		assert.False(t, save("a", "x", "1"), "there is nothing to replace")
		assert.True(t, save("a", "", "1"))
		assert.False(t, save("a", "", "2"), "there is something")
		assert.False(t, save("a", "2", "3"))
		assert.True(t, save("a", "1", "2"))
		assert.Equal(t, "2", load("a"))
		save("b", "", "1")
		save("c", "", "1")
		assert.Empty(t, load("a"), "the one used longest ago")
		assert.Equal(t, "1", load("b"))
		require.NoError(t, m.Delete(ctx, "b"))
		assert.Empty(t, load("b"))
		time.Sleep(time.Minute)
		assert.Empty(t, load("c"))
		assert.True(t, save("c", "", "2"))
	})
	assert.Panics(t, func() { Memory(0) })
}

func TestAStoreSeesNeitherTokenNorId(t *testing.T) {
	store := &spyStore{Store: Memory(10)}
	p := newFake(t)
	b := loggedIn(t, p, store)
	saw(t, b.get("/app/x"))
	require.NotEmpty(t, store.data)
	for _, data := range store.data {
		for _, not := range []string{"access-", "refresh-", "ann", "shop"} {
			assert.NotContains(t, data, not)
		}
	}
	// Whoever has the store's content cannot move one session to where another is.
	other := loggedIn(t, p, store)
	m := store.Store.(*memory)
	ids := m.entries.Keys()
	require.Len(t, ids, 2)
	one, _ := m.entries.Get(ids[0])
	m.entries.Add(ids[1], one)
	assert.Equal(t, 401, other.get("/app/x").Code)
}
