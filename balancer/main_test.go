package balancer_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(backendRole); addr != "" {
		playBackend(addr)
		return
	}
	// Whoever asks first makes the channel by which all of the process read resolv.conf. Made
	// in a test's bubble it would be of no use to the others.
	_, _ = (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), "localhost.")
	goleak.VerifyTestMain(m)
}

// tripper is an upstream without a socket.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f(r)
	if r.Body != nil {
		r.Body.Close() // as every transport does
	}
	return res, err
}

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// refused is what a port says on which nobody listens.
var refused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// reset is what a backend's death looks like from here.
var reset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// seen counts the attempts by endpoint.
type seen struct {
	mu    sync.Mutex
	hosts map[string]int
	order []string
}

func (s *seen) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[string]int{}
	}
	s.hosts[r.URL.Host]++
	s.order = append(s.order, r.URL.Host)
}

func (s *seen) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}

func newPool(t *testing.T, c balancer.Config) *balancer.Pool {
	t.Helper()
	p, err := balancer.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// request is as Proxy makes it: without scheme, host and, if empty, body.
func request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, path, body)
	require.NoError(t, err)
	r.Host = ""
	return r
}

// stream hides the type of r, so that http.NewRequest cannot make a GetBody.
func stream(r io.Reader) io.Reader { return struct{ io.Reader }{r} }

// get makes a request, reads the answer and returns its status, or 0 and the problem.
func get(t *testing.T, p http.RoundTripper) (int, *gateway.Problem) {
	t.Helper()
	return exchange(t, p, request(t, "GET", "/", nil))
}

func exchange(t *testing.T, p http.RoundTripper, r *http.Request) (int, *gateway.Problem) {
	t.Helper()
	res, err := p.RoundTrip(r)
	if err != nil {
		return 0, problemIn(t, err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, problemIn(t, err)
	}
	return res.StatusCode, nil
}

func problemIn(t *testing.T, err error) *gateway.Problem {
	t.Helper()
	var p *gateway.Problem
	require.ErrorAs(t, err, &p)
	return p
}

func closedPort(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}
