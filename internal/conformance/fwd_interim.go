package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var interimScenes = []scene{
	{"passes 103 Early Hints once", Features{}, earlyHints},
	{"lets a client wait for 100 Continue", Features{}, continues},
	{"tells a client that waits for 100 Continue of a refusal", Features{}, refuses},
	{"gives a client of HTTP/1.0 neither chunks nor interim responses", Features{}, oldClient},
	{"delivers an answer that comes before the upload's end", Features{}, answersEarly},
}

// hinting is a backend with something to say before its answer.
var hinting = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</a.css>; rel=preload")
	w.Header().Set("Connection", "X-Hop")
	w.Header().Set("X-Hop", "1")
	w.WriteHeader(http.StatusEarlyHints)
	clear(w.Header())
	_, _ = io.WriteString(w, "first")
	flush(w)
	_, _ = io.WriteString(w, "last")
})

func earlyHints(t *testing.T, proxy Proxy) {
	_, in := dial(t, front(t, proxy(t, hinting)), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	line, h := interim(t, in)
	assert.Equal(t, "HTTP/1.1 103 Early Hints", line)
	assert.Equal(t, "</a.css>; rel=preload", h.Get("Link"))
	assert.NotContains(t, h, "X-Hop", "net/http passes them")
	res := parsed(t, in, "GET")
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.NotContains(t, res.Header, "Link")
	assert.Equal(t, "firstlast", read(t, res.Body))
}

func oldClient(t *testing.T, proxy Proxy) {
	_, in := dial(t, front(t, proxy(t, hinting)), "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	assert.True(t, strings.HasPrefix(head, "HTTP/1.0 200 ") || strings.HasPrefix(head, "HTTP/1.1 200 "), head)
	assert.NotContains(t, strings.ToLower(head), "transfer-encoding")
	assert.Equal(t, "firstlast", body)
}

const waiting = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

func continues(t *testing.T, proxy Proxy) {
	c, in := dial(t, front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))), waiting)
	line, _ := interim(t, in)
	require.Equal(t, "HTTP/1.1 100 Continue", line)
	_, err := io.WriteString(c, "hello")
	require.NoError(t, err)
	assert.Equal(t, "hello", read(t, parsed(t, in, "POST").Body))
}

// refuses: the client sends nothing of its body, and so nothing may wait for that.
func refuses(t *testing.T, proxy Proxy) {
	_, in := dial(t, front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed)
	}))), waiting)
	line, _ := interim(t, in)
	if strings.HasPrefix(line, "HTTP/1.1 100 ") { // a transport may ask for the body by itself
		line, _ = interim(t, in)
	}
	assert.Equal(t, "HTTP/1.1 417 Expectation Failed", line)
}

// answersEarly has a client that stops in mid-body to listen.
func answersEarly(t *testing.T, proxy Proxy) {
	c, in := dial(t, front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too much")
	}))), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
	_, err := c.Write(make([]byte, 64<<10))
	require.NoError(t, err)
	res := parsed(t, in, "POST")
	assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	assert.True(t, res.Close, "what follows cannot be told from the body")
	assert.Equal(t, "too much", read(t, res.Body))
}
