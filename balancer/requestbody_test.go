package balancer_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// closeRecorder is a body that knows how often it was closed, and is no use after.
type closeRecorder struct {
	io.Reader
	closed atomic.Int64
}

func (c *closeRecorder) Read(p []byte) (int, error) {
	if c.closed.Load() > 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.Reader.Read(p)
}

func (c *closeRecorder) Close() error { c.closed.Add(1); return nil }

func TestTheBodyIsClosedWhateverHappens(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, targets := range map[string][]string{
		"served":           {s.URL},
		"served at second": {closedPort(t), s.URL},
		"not served":       {closedPort(t), closedPort(t)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, balancer.Config{Targets: targets, Balancer: first})
			body := &closeRecorder{Reader: strings.NewReader("body")}
			_, _ = exchange(t, p, request(t, "POST", "/", body))
			assert.Eventually(t, func() bool { return body.closed.Load() == 1 }, waitLimit, waitTick)
		})
	}
}

func TestABodyThatIsTooLargeIsTheClients(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	r := request(t, "POST", "/", stream(strings.NewReader("too much of it")))
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 3)
	_, err := p.RoundTrip(r)
	var tooLarge *http.MaxBytesError
	require.ErrorAs(t, err, &tooLarge)
	problem := gateway.ProblemOf(err)
	assert.Equal(t, http.StatusRequestEntityTooLarge, problem.Status)
	assert.Equal(t, gateway.ClientBody, problem.Fault)
}

// keeper is a transport that goes on reading the body after it has failed: net/http
// does when a time limit ends the attempt.
type keeper struct{ kept io.Reader }

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	if k.kept == nil {
		k.kept = r.Body
		return nil, refused
	}
	n, err := k.kept.Read(make([]byte, 10))
	got, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if n != 0 || err == nil || string(got) != "body" {
		return respond(500, ""), nil
	}
	return respond(200, ""), nil
}

func TestALateReaderDoesNotStealFromTheNextAttempt(t *testing.T) {
	p := newPool(t, balancer.Config{Targets: []string{"http://a", "http://b"}, Base: &keeper{}})
	status, problem := exchange(t, p, request(t, "POST", "/", stream(strings.NewReader("body"))))
	require.Nil(t, problem)
	assert.Equal(t, 200, status)
}
