package conformance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var messageProbes = []probe{
	{"gives a body that is not nil where there is none", Features{}, emptyBodies},
	{"passes a response's trailers", Features{}, responseTrailers},
	{"passes a request's trailers, whose values come with the body's end", Features{}, requestTrailers},
	{"tells of interim responses", Features{}, interimResponses},
	{"sends a body that waits for 100 Continue", network, expectContinue},
	{"lets a body be closed twice", Features{}, closedTwice},
}

func emptyBodies(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Status") {
		case "204":
			w.WriteHeader(http.StatusNoContent)
		case "304":
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	}))
	for _, test := range []struct {
		method string
		status int
	}{{http.MethodHead, 200}, {http.MethodGet, 204}, {http.MethodGet, 304}, {http.MethodPost, 204}, {http.MethodHead, 304}} {
		r := request(t.Context(), t, test.method, nil)
		r.Header.Set("X-Status", fmt.Sprint(test.status))
		res := response(t, send(rt, r))
		assert.Equal(t, test.status, res.StatusCode)
		assert.Empty(t, read(t, res.Body), "%s %d", test.method, test.status)
		if test.status == 200 {
			assert.Equal(t, "5", res.Header.Get("Content-Length"), "the length that a GET would have")
		}
	}
}

func responseTrailers(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "hello")
		flush(w)
		w.Header().Set("X-Sum", "7")
		w.Header().Set(http.TrailerPrefix+"X-Late", "8")
	}))
	res := response(t, send(rt, request(t.Context(), t, http.MethodGet, nil)))
	assert.Contains(t, res.Trailer, "X-Sum", "it was announced")
	assert.NotContains(t, res.Header, "X-Sum")
	assert.Equal(t, "hello", read(t, res.Body))
	assert.Equal(t, http.Header{"X-Sum": {"7"}, "X-Late": {"8"}}, res.Trailer)
}

// atEnd calls end when the reader ends, as who counts or hashes a body does.
type atEnd struct {
	io.Reader
	end func()
}

func (a atEnd) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF {
		a.end()
	}
	return n, err
}

// requestTrailers: net/http says that the values may be set until the body ends, which
// is the only time that anybody knows them.
func requestTrailers(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, early := r.Trailer["X-Sum"]
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, early, " ", string(body), " ", r.Trailer)
	}))
	r := request(t.Context(), t, http.MethodPost, nil)
	r.Trailer = http.Header{"X-Sum": nil}
	r.ContentLength = -1
	r.Body = io.NopCloser(atEnd{strings.NewReader("hello"), func() { r.Trailer["X-Sum"] = []string{"7"} }})
	assert.Equal(t, "true hello map[X-Sum:[7]]", read(t, response(t, send(rt, r)).Body))
}

func interimResponses(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusTeapot)
	}))
	hints := make(chan string, 10)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints <- fmt.Sprint(code, " ", h["Link"])
			return nil
		},
	})
	res := response(t, send(rt, request(ctx, t, http.MethodGet, nil)))
	assert.Equal(t, http.StatusTeapot, res.StatusCode)
	assert.NotContains(t, res.Header, "Link")
	_ = read(t, res.Body)
	require.Len(t, hints, 1, "once, and before the response")
	assert.Equal(t, "103 [</a.css>; rel=preload]", <-hints)
}

func expectContinue(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	r := request(t.Context(), t, http.MethodPost, strings.NewReader("hello"))
	r.Header.Set("Expect", "100-continue")
	assert.Equal(t, "hello", read(t, response(t, send(rt, r)).Body))
}

func closedTwice(t *testing.T, subject Subject) {
	rt := subject(t, inTwo(t, nil, false))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		res := response(t, send(rt, request(t.Context(), t, method, nil)))
		require.NoError(t, res.Body.Close())
		_ = res.Body.Close() // it may complain, but not break
		_, err := res.Body.Read(make([]byte, 1))
		require.Error(t, err, "a closed body gives no bytes")
	}
}
