package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

var fieldScenes = []scene{
	{"keeps the fields of the client's connection from the backend", Features{}, requestFields},
	{"keeps the fields of the backend's connection from the client", Features{}, responseFields},
	{"writes the forwarding fields itself, whatever the client says", Features{}, forwardingFields},
	{"forwards the path and the query byte for byte", Features{}, forwardedTarget},
	{"keeps two cookies apart", Features{}, twoCookies},
	{"asks for trailers only if the client does", Features{}, teTrailers},
	{"passes trailers both ways", Features{}, trailersPass},
	{"sends no body where there is none, and keeps the connection", Features{}, noBodies},
}

// headers returns a backend that tells what header it got.
func headers(c chan<- http.Header) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c <- r.Header })
}

// requestFields has the list in two lines and odd cases (golang/go#50580).
func requestFields(t *testing.T, proxy Proxy) {
	got := make(chan http.Header, 1)
	_, in := dial(t, front(t, proxy(t, headers(got))), "GET / HTTP/1.1\r\nHost: shop.test\r\n"+
		"connection: close , x-DROP\r\nX-Drop: 1\r\nCONNECTION: ,X-Too,\r\nx-too: 1\r\nKeep-Alive: 1\r\nProxy-Connection: close\r\n"+
		"Proxy-Authorization: secret\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nX-Keep: 1\r\n\r\n")
	assert.Equal(t, http.StatusOK, parsed(t, in, "GET").StatusCode)
	h := receive(t, got, "the request at the backend")
	assert.Equal(t, "1", h.Get("X-Keep"))
	for _, name := range []string{"X-Drop", "X-Too", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Upgrade", "User-Agent"} {
		assert.NotContains(t, h, name)
	}
}

// speak answers every connection with fixed bytes and closes it.
func speak(text string) http.Handler {
	return switched(text, func(*net.TCPConn, *bufio.Reader) {})
}

// responseFields has no "close" in the list, on which net/http's transport drops it.
func responseFields(t *testing.T, proxy Proxy) {
	backend := speak("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: x-HOP ,X-Other\r\nX-Hop: 1\r\nx-other: 1\r\n" +
		"Keep-Alive: timeout=1\r\nProxy-Connection: x\r\nUpgrade: h3\r\nX-Keep: 1\r\n\r\nok")
	onBoth(t, proxy(t, backend), func(t *testing.T, s *httptest.Server) {
		res := response(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil)))
		assert.Equal(t, "ok", read(t, res.Body))
		assert.Equal(t, "1", res.Header.Get("X-Keep"))
		for _, name := range []string{"X-Hop", "X-Other", "Keep-Alive", "Proxy-Connection", "Upgrade"} {
			assert.NotContains(t, res.Header, name)
		}
	})
}

func forwardingFields(t *testing.T, proxy Proxy) {
	got := make(chan http.Header, 1)
	_, in := dial(t, front(t, proxy(t, headers(got))), "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: X-Forwarded-For, X-Forwarded-Proto\r\n"+
		"X-Forwarded-For: 10.0.0.1\r\nx-forwarded-host: evil\r\nX_Forwarded_Proto: https\r\nX-Forwarded_Proto: https\r\nForwarded: for=10.0.0.1\r\n"+
		"X-Real-IP: 10.0.0.1\r\nClient-Cert: :x:\r\nX-Forwarded-User: root\r\n\r\n")
	assert.Equal(t, http.StatusOK, parsed(t, in, "GET").StatusCode)
	h := receive(t, got, "the request at the backend")
	assert.Equal(t, []string{"127.0.0.1"}, h["X-Forwarded-For"])
	assert.Equal(t, []string{"shop.test"}, h["X-Forwarded-Host"])
	assert.Equal(t, []string{"http"}, h["X-Forwarded-Proto"])
	for name, values := range h {
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		assert.NotContains(t, []string{"x-real-ip", "client-cert", "x-forwarded-user"}, plain)
		assert.NotContains(t, name, "_")
		assert.NotContains(t, strings.Join(values, ""), "10.0.0.1", name)
	}
}

func forwardedTarget(t *testing.T, proxy Proxy) {
	s := front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })))
	for _, target := range targets {
		_, in := dial(t, s, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		assert.Equal(t, target, read(t, parsed(t, in, "GET").Body))
	}
}

func twoCookies(t *testing.T, proxy Proxy) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"} // lura#279
	})
	onBoth(t, proxy(t, backend), func(t *testing.T, s *httptest.Server) {
		res := response(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil)))
		assert.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
		assert.Empty(t, read(t, res.Body))
	})
}

// teTrailers: a server of gRPC refuses requests without.
func teTrailers(t *testing.T, proxy Proxy) {
	got := make(chan http.Header, 1)
	onBoth(t, proxy(t, headers(got)), func(t *testing.T, s *httptest.Server) {
		for _, te := range []string{"", "trailers"} {
			r := request(t.Context(), t, http.MethodGet, nil)
			if te != "" {
				r.Header.Set("Te", te)
			}
			assert.Empty(t, read(t, response(t, ask(t, s, r)).Body))
			assert.Equal(t, te, receive(t, got, "the request at the backend").Get("Te"))
		}
	})
}

func trailersPass(t *testing.T, proxy Proxy) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, string(body), " ", r.Trailer)
		flush(w)
		w.Header().Set("X-Sum", "8")
		w.Header().Set(http.TrailerPrefix+"X-Late", "9")
	})
	onBoth(t, proxy(t, backend), func(t *testing.T, s *httptest.Server) {
		r := request(t.Context(), t, http.MethodPost, io.MultiReader(strings.NewReader("hello")))
		r.Trailer = http.Header{"X-Sum": {"7"}}
		res := response(t, ask(t, s, r))
		assert.Equal(t, "hello map[X-Sum:[7]]", read(t, res.Body))
		assert.Equal(t, http.Header{"X-Sum": {"8"}, "X-Late": {"9"}}, res.Trailer)
	})
}

// noBodies sends a second request over each connection, to which bytes that should not
// be there would be the answer.
func noBodies(t *testing.T, proxy Proxy) {
	s := front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	})))
	for _, test := range []struct {
		line   string
		status int
		length string
	}{{"HEAD /", 200, "5"}, {"GET /204", 204, ""}, {"GET /304", 304, ""}, {"HEAD /204", 204, ""}, {"HEAD /304", 304, ""}} {
		_, in := dial(t, s, test.line+" HTTP/1.1\r\nHost: x\r\n\r\nGET /last HTTP/1.1\r\nHost: x\r\n\r\n")
		method, _, _ := strings.Cut(test.line, " ")
		res := parsed(t, in, method)
		assert.Equal(t, test.status, res.StatusCode, test.line)
		assert.Equal(t, test.length, res.Header.Get("Content-Length"), test.line)
		assert.Empty(t, res.TransferEncoding, test.line)
		assert.Empty(t, read(t, res.Body), test.line)
		assert.Equal(t, "hello", read(t, parsed(t, in, "GET").Body), test.line)
	}
}
