package cache_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func TestWithoutAStoreEverythingIsForwarded(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := &cache.Transport{Base: o}
	get(t, rt, "/")
	require.Equal(t, "answer 2", get(t, rt, "/").body)
}

func TestWithoutABaseEveryRoundTripFails(t *testing.T) {
	body := &closed{Reader: strings.NewReader("x")}
	r := request("POST", "/")
	r.Body = body
	_, err := (&cache.Transport{Store: cache.Memory(1000)}).RoundTrip(r)
	require.Error(t, err)
	require.True(t, body.closed, "a RoundTripper closes the body also when it fails")
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

func TestAnUnsafeMethodInvalidatesItsURL(t *testing.T) { // RFC 9111 section 4.4
	for _, c := range []struct {
		method string
		status int
		gone   bool
	}{
		{"POST", 200, true},
		{"PUT", 204, true},
		{"PATCH", 200, true},
		{"DELETE", 202, true},
		{"POST", 303, true},
		{"FROBNICATE", 200, true}, // unknown, so perhaps unsafe
		{"POST", 400, false},
		{"DELETE", 500, false},
		{"OPTIONS", 200, false},
		{"TRACE", 200, false},
		{"HEAD", 200, false},
	} {
		for _, vary := range []string{"", "Accept"} {
			t.Run(c.method+" "+vary, func(t *testing.T) {
				o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Cache-Control", "max-age=60")
					if vary != "" {
						w.Header().Set("Vary", vary)
					}
					if r.Method != "GET" {
						w.WriteHeader(c.status)
					}
				}}
				rt := over(o)
				get(t, rt, "/?id=1")
				get(t, rt, "/?id=1", "Accept: a")
				get(t, rt, "/?id=2")
				do(t, rt, request(c.method, "/?id=1"))
				require.Equal(t, !c.gone, strings.Contains(get(t, rt, "/?id=1").status(), "hit"))
				if vary != "" {
					require.Equal(t, !c.gone, strings.Contains(get(t, rt, "/?id=1", "Accept: a").status(), "hit"))
				}
				require.Contains(t, get(t, rt, "/?id=2").status(), "hit")
			})
		}
	}
}

func TestTheResponseToAnUnsafeMethodIsNotStored(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60"))
	require.Equal(t, "gateway; fwd=method", do(t, rt, request("POST", "/")).status())
	require.Equal(t, "gateway; fwd=uri-miss", get(t, rt, "/").status())
}

func TestTheRequestIsNotChanged(t *testing.T) {
	v := newVersioned("Cache-Control: no-cache")
	rt := over(v)
	for range 2 {
		r := request("GET", "/a%2Fb?x", `If-None-Match: "client"`)
		before := r.Header.Clone()
		url := *r.URL
		do(t, rt, r)
		require.Equal(t, before, r.Header)
		require.Equal(t, url, *r.URL)
	}
	require.Equal(t, `"1"`, v.last().Header.Get("If-None-Match"))

	bare := request("GET", "/a%2Fb?x")
	bare.Header = nil
	require.Equal(t, "one", do(t, rt, bare).body)
	require.Nil(t, bare.Header)
}

func TestFieldsOfAConnectionAreNotStored(t *testing.T) { // RFC 9111 section 3.1
	rt := over(raw(http.Header{
		"Cache-Control":       {"max-age=60"},
		"Connection":          {"close, X-Listed", "x-second"},
		"Keep-Alive":          {"timeout=5"},
		"Proxy-Authenticate":  {"Basic"},
		"Transfer-Encoding":   {"chunked"},
		"Upgrade":             {"h2c"},
		"X-Listed":            {"1"},
		"X-Second":            {"1"},
		"X-Kept":              {"a", "b"},
		"Cache-Status":        {"origin; hit"},
		"Proxy-Authorization": {"Basic eDp5"},
	}, io.NopCloser(strings.NewReader("abc")), 3))
	get(t, rt, "/")
	hit := get(t, rt, "/")
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Transfer-Encoding", "Upgrade", "X-Listed", "X-Second", "Proxy-Authorization"} {
		require.Empty(t, hit.Header[name], name)
	}
	require.Equal(t, []string{"a", "b"}, hit.Header["X-Kept"])
	require.Equal(t, []string{"origin; hit", "gateway; hit; ttl=60"}, hit.Header["Cache-Status"], "RFC 9211 section 2")
	require.NotEmpty(t, hit.Header.Get("Date"))
}

func TestAStoredStatusWithoutContentHasNoLength(t *testing.T) {
	rt := over(&origin{serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(204)
	}})
	get(t, rt, "/")
	hit := get(t, rt, "/")
	require.Equal(t, 204, hit.StatusCode)
	require.Empty(t, hit.Header["Content-Length"])
}

func TestAnErrorOfTheOriginIsTheCallers(t *testing.T) {
	refused := errors.New("refused")
	rt := over(roundTrip(func(*http.Request) (*http.Response, error) { return nil, refused }))
	for _, r := range []*http.Request{request("GET", "/"), request("POST", "/"), request("GET", "/", "Range: bytes=0-1")} {
		res, err := rt.RoundTrip(r)
		require.ErrorIs(t, err, refused)
		require.Nil(t, res)
	}
}

func TestAnUnsafeMethodWhoseFateIsUnknownInvalidatesNothing(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := over(o)
	get(t, rt, "/")
	rt.Base = roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	_, err := rt.RoundTrip(request("POST", "/"))
	require.Error(t, err)
	require.Contains(t, get(t, rt, "/").status(), "hit")
}
