package conformance

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var requestProbes = []probe{
	{"leaves the request as it was", Features{}, requestIsNotChanged},
	{"shares nothing with the handler", Features{}, nothingIsShared},
	{"passes redirects, cookies and codings on as they are", Features{}, nothingIsInterpreted},
	{"sends the path and the query byte for byte", Features{}, targetIsKept},
}

// requestIsNotChanged: a pool sends one request several times, and middlewares look at
// it afterwards. The contract of http.RoundTripper says so too.
func requestIsNotChanged(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	body := io.NopCloser(strings.NewReader("hello"))
	r := request(t.Context(), t, http.MethodPost, body)
	r.ContentLength = 5
	r.Host = "other.test"
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/a/b", "/a%2Fb", "q=%20&r"
	r.Header = http.Header{"X-A": {"1", "2"}, "Te": {"trailers"}, "Connection": {"X-B"}, "X-B": {"3"}}
	header, target := r.Header.Clone(), *r.URL
	address := r.URL
	assert.Equal(t, "hello", read(t, response(t, send(rt, r)).Body))

	assert.Equal(t, header, r.Header)
	assert.Same(t, address, r.URL)
	assert.Equal(t, target, *r.URL)
	assert.Equal(t, body, r.Body)
	assert.EqualValues(t, 5, r.ContentLength)
	assert.Equal(t, []any{http.MethodPost, "other.test", "", false}, []any{r.Method, r.Host, r.RequestURI, r.Close})
	assert.Nil(t, r.TransferEncoding)
	assert.Nil(t, r.Trailer)
}

// nothingIsShared matters to what runs in process: a handler may change its request,
// and a caller the response.
func nothingIsShared(t *testing.T, subject Subject) {
	kept := []string{"1"}
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-A", "changed")
		r.Header["X-B"][0] = "changed"
		r.URL.Path = "/changed"
		r.Method = "CHANGED"
		w.Header()["X-Kept"] = kept
	}))
	r := request(t.Context(), t, http.MethodGet, nil)
	r.Header = http.Header{"X-A": {"1"}, "X-B": {"1"}}
	res := response(t, send(rt, r))
	res.Header["X-Kept"][0] = "changed"
	assert.Equal(t, http.Header{"X-A": {"1"}, "X-B": {"1"}}, r.Header)
	assert.Equal(t, "/path", r.URL.Path)
	assert.Equal(t, http.MethodGet, r.Method)
	_ = read(t, res.Body)

	res = response(t, send(rt, r))
	assert.Equal(t, []string{"1"}, res.Header["X-Kept"])
	assert.Empty(t, read(t, res.Body))
}

// nothingIsInterpreted: what a browser does with a response is the browser's to do.
func nothingIsInterpreted(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("X-Accepted", r.Header.Get("Accept-Encoding"))
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, "not gzip at all")
	}))
	res := response(t, send(rt, request(t.Context(), t, http.MethodGet, nil)))
	assert.Equal(t, http.StatusFound, res.StatusCode)
	assert.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
	assert.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	assert.Empty(t, res.Header.Get("X-Accepted"), "who asks for a coding must undo it")
	assert.Equal(t, "not gzip at all", read(t, res.Body))
}

// targetIsKept: ten threads of one gateway and eight of another are about %2F.
func targetIsKept(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	for _, target := range targets {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		r := request(t.Context(), t, http.MethodGet, nil)
		u.Scheme, u.Host = r.URL.Scheme, r.URL.Host
		r.URL = u
		assert.Equal(t, target, read(t, response(t, send(rt, r)).Body))
	}
}

// targets are paths and queries that were re-encoded by somebody.
var targets = []string{
	"/a/x%2Fy", "/a/%25", "/a/b%3Fc=1", "/a/%23", "/a/%252F", "/a;x/b", "/?q=a%20b&u=/x", "/x?a;b", "/x?%zz", "/x?", "/x?a=b?c",
	"/a%7eb~c/(d)'!*", "/%C3%A9", "/a+b", "/x?a=%2e%2e/",
}
