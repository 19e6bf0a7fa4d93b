package balancer_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// echoProto answers with the protocol, the body and a trailer, as gRPC would.
func echoProto(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "Grpc-Status")
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s", r.Proto, body)
	w.Header().Set("Grpc-Status", "0")
}

func TestTheProtocolIsTheTargetsChoice(t *testing.T) {
	server := func(start func(*httptest.Server)) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(echoProto))
		start(s)
		t.Cleanup(s.Close)
		return s
	}
	plain := server((*httptest.Server).Start)
	h1 := server((*httptest.Server).StartTLS)
	h2 := server(func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	h2c := server(func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	roots := x509.NewCertPool()
	roots.AddCert(h1.Certificate())
	roots.AddCert(h2.Certificate())
	for target, want := range map[string]string{
		plain.URL: "HTTP/1.1 hello",
		h1.URL:    "HTTP/1.1 hello",
		h2.URL:    "HTTP/2.0 hello",
		strings.Replace(h2c.URL, "http", "h2c", 1): "HTTP/2.0 hello",
	} {
		p := newPool(t, balancer.Config{Targets: []string{target}, TLS: &tls.Config{RootCAs: roots}})
		for range 2 { // the second knows what the first found out
			res, err := p.RoundTrip(request(t, "POST", "/", strings.NewReader("hello")))
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, want, string(body), target)
			assert.Equal(t, "0", res.Trailer.Get("Grpc-Status"), target)
		}
		require.NoError(t, p.Close())
	}
}

func TestTrailersOfHTTP2PassThroughTheGateway(t *testing.T) {
	h2c := httptest.NewUnstartedServer(http.HandlerFunc(echoProto))
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	p := newPool(t, balancer.Config{Targets: []string{strings.Replace(h2c.URL, "http", "h2c", 1)}})
	front := httptest.NewUnstartedServer(gateway.Proxy(p))
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	res, err := front.Client().Post(front.URL, "application/grpc", strings.NewReader("hello"))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, "HTTP/2.0 hello", string(body))
	assert.Equal(t, "0", res.Trailer.Get("Grpc-Status"))
}

func TestAWebSocketToATargetThatAlsoSpeaksHTTP2GoesByHTTP1(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err, r.Proto) {
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			c.Close()
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, TLS: &tls.Config{RootCAs: roots}})
	defer p.Close()
	for _, upgrade := range []bool{false, true, true} {
		r := request(t, "GET", "/", nil)
		want := 200
		if upgrade {
			want = 101
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}
		res, err := p.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, want, res.StatusCode)
		require.NoError(t, res.Body.Close())
	}
}

func TestATargetMayGoBackToHTTP1(t *testing.T) {
	start := func(addr string, h2 bool) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(echoProto))
		if addr != "" {
			require.NoError(t, s.Listener.Close())
			l, err := net.Listen("tcp", addr)
			require.NoError(t, err)
			s.Listener = l
		}
		s.EnableHTTP2 = h2
		s.StartTLS()
		return s
	}
	s := start("", true)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, TLS: &tls.Config{RootCAs: roots}})
	defer p.Close()
	get := func() string {
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	assert.Equal(t, "HTTP/2.0 ", get())
	addr := s.Listener.Addr().String()
	s.CloseClientConnections()
	s.Close()
	s = start(addr, false)
	defer s.Close()
	assert.Equal(t, "HTTP/1.1 ", get())
}

func TestEarlyHintsOfHTTP2PassThroughTheGateway(t *testing.T) {
	h2c := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
	}))
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	p := newPool(t, balancer.Config{Targets: []string{strings.Replace(h2c.URL, "http", "h2c", 1)}})
	defer p.Close()
	front := httptest.NewServer(gateway.Proxy(p))
	defer front.Close()
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(all), "103 Early Hints"))
}

func TestConnectionsAreLimited(t *testing.T) {
	var conns atomic.Int32
	answer := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Connections: balancer.Connections{Max: 2}})
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			status, _ := get(t, p)
			assert.Equal(t, http.StatusOK, status)
		})
	}
	close(answer)
	group.Wait()
	assert.LessOrEqual(t, conns.Load(), int32(2))

	old := newPool(t, balancer.Config{Targets: []string{s.URL}, Connections: balancer.Connections{Lifetime: 1}})
	conns.Store(0)
	for range 3 {
		status, _ := get(t, old)
		assert.Equal(t, http.StatusOK, status)
	}
	assert.EqualValues(t, 3, conns.Load(), "none lives to take a second request")

	_, err := balancer.New(balancer.Config{
		Targets: []string{s.URL}, Base: http.DefaultTransport, Connections: balancer.Connections{Max: -1},
	})
	assert.ErrorContains(t, err, "Connections.Max is negative")
	assert.ErrorContains(t, err, "no effect on a Base")
}
