package balancer_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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
