package cache_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

var fresh = http.Header{"Cache-Control": {"max-age=60"}}

// readAll reads r's response as far as it goes.
func readAll(t *testing.T, rt http.RoundTripper, r *http.Request) (string, error) {
	t.Helper()
	res, err := rt.RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, res.Body.Close())
	return string(body), err
}

func isHit(t *testing.T, rt http.RoundTripper) bool {
	t.Helper()
	res, err := rt.RoundTrip(request("GET", "/", "Cache-Control: only-if-cached"))
	require.NoError(t, err)
	return strings.Contains(res.Header.Get("Cache-Status"), "hit")
}

func TestOnlyWhatIsWholeIsStored(t *testing.T) {
	text := func(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
	for _, c := range []struct {
		name   string
		base   roundTrip
		stored bool
	}{
		{"whole", raw(fresh, text("abc"), 3), true},
		{"without a length", raw(fresh, text("abc"), -1), true},
		{"shorter than declared", raw(fresh, text("ab"), 3), false},
		{"longer than declared", raw(fresh, text("abcd"), 3), false},
		{"broken off", raw(fresh, breaking("ab"), -1), false},
		{"broken off at the declared end", raw(fresh, breaking("abc"), 3), false},
		{"declared but missing", raw(fresh, http.NoBody, 3), false},
		{"empty", raw(fresh, http.NoBody, 0), true},
		{"no body at all", raw(fresh, nil, 0), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rt := over(c.base)
			_, _ = readAll(t, rt, request("GET", "/"))
			require.Equal(t, c.stored, isHit(t, rt))
		})
	}
}

func TestABodyThatOnlyTheConnectionsEndDelimitsIsNotStored(t *testing.T) { // RFC 9112 section 8
	// A backend that speaks HTTP/1.0, or one that died: from here they look the same.
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhalf")
			_ = conn.Close()
		}
	}))
	defer backend.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	rt := over(base)
	r := httptest.NewRequest("GET", backend.URL+"/", nil)
	body, err := readAll(t, rt, r)
	require.NoError(t, err)
	require.Equal(t, "half", body)
	require.Equal(t, "gateway; fwd=uri-miss", do(t, rt, r).status())
}

func TestTrailersPassAndTheirResponseIsNotStored(t *testing.T) {
	for _, announced := range []bool{true, false} {
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			name := http.TrailerPrefix + "Checksum"
			if announced {
				name = "Checksum"
				w.Header().Set("Trailer", name)
			}
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, strings.Repeat("x", 8<<10))
			w.Header().Set(name, "1")
		}))
		base := &http.Transport{}
		rt := over(base)
		for range 2 {
			res := do(t, rt, httptest.NewRequest("GET", backend.URL+"/", nil))
			require.Equal(t, "gateway; fwd=uri-miss", res.status())
			require.Equal(t, "1", res.Trailer.Get("Checksum"))
		}
		base.CloseIdleConnections()
		backend.Close()
	}
}

func TestAReaderThatLeavesEarlyStoresNothing(t *testing.T) {
	body, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, "abc") }() // all bytes, but not their end
	rt := over(raw(fresh, body, -1))
	res, err := rt.RoundTrip(request("GET", "/"))
	require.NoError(t, err)
	_, err = io.ReadFull(res.Body, make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	_, _ = io.ReadAll(res.Body)
	require.False(t, isHit(t, rt))
}

func TestLargeBodiesPassAndAreNotStored(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		length int64
		max    int64
		stored bool
	}{
		{"as large as may be", 100, 100, 100, true},
		{"one more", 101, 101, 100, false},
		{"as large as may be, undeclared", 100, -1, 100, true},
		{"one more, undeclared", 101, -1, 100, false},
		{"default", 1 << 20, -1, 0, true},
		{"more than the default", 1<<20 + 1, -1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.Repeat("x", c.size)
			rt := &cache.Transport{
				Base:    raw(fresh, io.NopCloser(strings.NewReader(want)), c.length),
				Store:   cache.Memory(4 << 20),
				MaxBody: c.max,
			}
			body, err := readAll(t, rt, request("GET", "/"))
			require.NoError(t, err)
			require.Equal(t, want, body)
			require.Equal(t, c.stored, isHit(t, rt))
		})
	}
}

func TestTheBodyStreamsWhileItIsCopied(t *testing.T) {
	r, w := io.Pipe()
	rt := over(raw(fresh, r, -1))
	res, err := rt.RoundTrip(request("GET", "/"))
	require.NoError(t, err)
	go func() { _, _ = w.Write([]byte("first")) }()
	buf := make([]byte, 5)
	_, err = io.ReadFull(res.Body, buf)
	require.NoError(t, err)
	require.Equal(t, "first", string(buf), "the rest is yet to come")
	require.NoError(t, w.Close())
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "first", get(t, rt, "/").body)
}

func TestWhatIsStoredDoesNotChange(t *testing.T) {
	header := http.Header{"Cache-Control": {"max-age=60"}, "X-A": {"a"}}
	rt := over(raw(header, io.NopCloser(bytes.NewReader([]byte("abc"))), 3))
	get(t, rt, "/")
	header["X-A"][0] = "changed by the origin"
	for range 2 {
		res := get(t, rt, "/")
		require.Equal(t, "a", res.Header.Get("X-A"))
		res.Header["X-A"][0] = "changed by the client"
		require.Equal(t, "abc", res.body)
	}
}
