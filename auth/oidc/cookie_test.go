package oidc

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsSealedOpensInItsPlaceOnly(t *testing.T) {
	keys := [][]byte{testKey, bytes.Repeat([]byte("o"), 40)}
	s := newSealer("one", keys)
	sealed := s.seal([]byte("secret"), "here")
	assert.NotContains(t, string(sealed), "secret")
	assert.NotEqual(t, sealed, s.seal([]byte("secret"), "here"), "the nonce is random")

	plain, ok := s.open(sealed, "here")
	assert.True(t, ok)
	assert.Equal(t, "secret", string(plain))
	old := newSealer("one", keys[1:]).seal([]byte("old"), "here")
	plain, ok = s.open(old, "here")
	assert.True(t, ok)
	assert.Equal(t, "old", string(plain))

	for name, open := range map[string]func() ([]byte, bool){
		"elsewhere":       func() ([]byte, bool) { return s.open(sealed, "there") },
		"another purpose": func() ([]byte, bool) { return newSealer("two", keys).open(sealed, "here") },
		"another key":     func() ([]byte, bool) { return newSealer("one", keys[1:]).open(sealed, "here") },
		"version":         func() ([]byte, bool) { return s.open(append([]byte{2}, sealed[1:]...), "here") },
		"nothing":         func() ([]byte, bool) { return s.open(nil, "here") },
	} {
		_, ok := open()
		assert.False(t, ok, name)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x80
		_, ok := s.open(changed, "here")
		assert.False(t, ok, "byte %d", i)
		_, ok = s.open(sealed[:i], "here")
		assert.False(t, ok, "cut at %d", i)
	}
}

// asRequest returns the request header that a browser sends after an answer with header h.
func asRequest(h http.Header) http.Header {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range (&http.Response{Header: h}).Cookies() {
		r.AddCookie(c)
	}
	return r.Header
}

func TestCookiesOfEverySizeComeBack(t *testing.T) {
	j := newJar("session", [][]byte{testKey})
	for _, size := range []int{0, 1, 2799, 2800, 2801, 2805, 2806, 2807, 5000, 10_000, 22_000} {
		plain := bytes.Repeat([]byte{'p'}, size)
		pieces, err := j.seal(plain)
		require.NoError(t, err)
		h := http.Header{}
		j.set(h, pieces, &crumbs{}, time.Hour)
		for _, c := range (&http.Response{Header: h}).Cookies() {
			require.LessOrEqual(t, len(c.Name)+len(c.Value), 4096)
		}
		request := asRequest(h)
		got, ok := j.open(j.take(request))
		require.True(t, ok, size)
		require.Len(t, got, size)
		require.Empty(t, request)
	}
	_, err := j.seal(make([]byte, 23_000))
	require.Error(t, err)
}

func FuzzCookies(f *testing.F) {
	j := newJar("session", [][]byte{testKey})
	pieces, err := j.seal([]byte("secret"))
	require.NoError(f, err)
	f.Add("__Host-session-0="+pieces[0], "a=1; b=2")
	f.Add("a; __Host-session-0=2x;__Host-session-1=y; =;", "__Host-session-login-12345678=z")
	f.Fuzz(func(t *testing.T, one, two string) {
		h := http.Header{"Cookie": {one, two}, "Other": {"x"}}
		c := j.take(h)
		if plain, ok := j.open(c); ok {
			require.Equal(t, "secret", string(plain))
		}
		for state := range c.logins {
			require.Nil(t, j.begun(c, state))
		}
		require.Equal(t, []string{"x"}, h["Other"])
		again := j.take(h)
		require.False(t, again.any(), "one pass takes them all")
		// What is left are the pairs that are not ours, in order.
		var want, got []string
		for _, line := range []string{one, two} {
			want = append(want, slices.DeleteFunc(strings.Split(line, ";"), func(pair string) bool {
				name, _, _ := strings.Cut(pair, "=")
				return j.keep(strings.Trim(name, " \t"), "", &crumbs{})
			})...)
		}
		for _, line := range h["Cookie"] {
			got = append(got, strings.Split(line, ";")...)
		}
		trim := func(pairs []string) (kept []string) {
			for _, p := range pairs {
				if p = strings.TrimLeft(p, " \t"); p != "" {
					kept = append(kept, p)
				}
			}
			return kept
		}
		require.Equal(t, trim(want), trim(got))
	})
}

// FuzzTamper changes a good cookie: only the very same opens.
func FuzzTamper(f *testing.F) {
	j := newJar("session", [][]byte{testKey})
	pieces, err := j.seal([]byte("secret"))
	require.NoError(f, err)
	f.Add(0, "x")
	f.Add(10, "")
	f.Add(len(pieces[0])-1, "A\n")
	f.Fuzz(func(t *testing.T, at int, with string) {
		if at < 0 || at >= len(pieces[0]) {
			return
		}
		changed := pieces[0][:at] + with + pieces[0][at+1:]
		c := &crumbs{}
		c.pieces[0], c.has[0] = changed, true
		_, ok := j.open(c)
		require.Equal(t, changed == pieces[0], ok)
	})
}

// FuzzSession decodes what nobody but we can have sealed; should the key leak, it must not
// be the end of the process.
func FuzzSession(f *testing.F) {
	f.Add([]byte(`{"i":"1","a":"2","t":"e30.eyJzdWIiOiJhIn0.e30"}`))
	f.Add([]byte(`{"i":"1","a":"2","t":"e30.bnVsbA.e30"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, ok := decodeSession(data)
		if !ok {
			return
		}
		if p, err := s.principal(); err == nil {
			require.NotNil(t, p)
		}
		s.due(time.Now())
		s.version()
		lifetime{time.Hour, time.Hour}.until(s, time.Now())
	})
}
