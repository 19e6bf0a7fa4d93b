package conformance

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy returns a handler that forwards every request to backend, over the network.
type Proxy = func(t *testing.T, backend http.Handler) http.Handler

// scene is one behaviour of a forwarder, between real connections.
type scene struct {
	name  string
	needs Features
	run   func(t *testing.T, proxy Proxy)
}

// Forwarder runs every scene that proxy can be asked for.
func Forwarder(t *testing.T, proxy Proxy, can Features) {
	t.Helper()
	for _, s := range slices.Concat(fieldScenes, interimScenes, flowScenes, cutScenes, tunnelScenes, memoryScenes) {
		if can.cover(s.needs) {
			t.Run(s.name, func(t *testing.T) { s.run(t, proxy) })
		}
	}
}

// front serves h for HTTP/1.1.
func front(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	return start(t, h, false)
}

// front2 serves h for HTTP/2 over TLS.
func front2(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	return start(t, h, true)
}

func start(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of requests that are broken on purpose
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// onBoth runs f with a client of HTTP/1.1 and one of HTTP/2.
func onBoth(t *testing.T, proxy http.Handler, f func(t *testing.T, s *httptest.Server)) {
	t.Helper()
	t.Run("h1", func(t *testing.T) { f(t, front(t, proxy)) })
	t.Run("h2", func(t *testing.T) { f(t, front2(t, proxy)) })
}

// dial sends text over a new connection, and returns it with a reader of the answers.
func dial(t *testing.T, s *httptest.Server, text string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(guard)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c.(*net.TCPConn), bufio.NewReader(c)
}

// parsed reads a response from a connection; its body is read by the caller.
func parsed(t *testing.T, in *bufio.Reader, method string) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	require.NoError(t, err)
	return res
}

// interim reads the header of an interim response.
func interim(t *testing.T, in *bufio.Reader) (string, textproto.MIMEHeader) {
	t.Helper()
	r := textproto.NewReader(in)
	line, err := r.ReadLine()
	require.NoError(t, err)
	h, err := r.ReadMIMEHeader()
	require.NoError(t, err)
	return line, h
}

// ask sends a request by the server's own client.
func ask(t *testing.T, s *httptest.Server, r *http.Request) <-chan answer {
	t.Helper()
	u := *r.URL
	u.Scheme, u.Host = "http", s.Listener.Addr().String()
	if s.TLS != nil {
		u.Scheme = "https"
	}
	r.URL = &u
	return send(s.Client().Transport, r)
}
