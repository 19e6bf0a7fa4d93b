package conformance

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Subject returns a RoundTripper that sends every request to backend, wherever its URL
// points. Backend nil stands for an address at which connections are refused, and is
// only asked of a subject with a network.
type Subject = func(t *testing.T, backend http.Handler) http.RoundTripper

// probe is one behaviour of a RoundTripper.
type probe struct {
	name  string
	needs Features
	run   func(t *testing.T, subject Subject)
}

var network = Features{Network: true}

// RoundTripper runs every probe that subject can be asked for.
func RoundTripper(t *testing.T, subject Subject, can Features) {
	t.Helper()
	for _, p := range slices.Concat(requestProbes, closeProbes, streamProbes, messageProbes, endProbes, upgradeProbes, connectionProbes) {
		if can.cover(p.needs) {
			t.Run(p.name, func(t *testing.T) { p.run(t, subject) })
		}
	}
}

// request returns a request that no backend's address is in.
func request(ctx context.Context, t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://backend.test/path", body)
	require.NoError(t, err)
	return r
}

// answer is what a round trip brought.
type answer struct {
	res *http.Response
	err error
}

// send makes a round trip that the probe does not wait for.
func send(rt http.RoundTripper, r *http.Request) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		res, err := rt.RoundTrip(r)
		c <- answer{res, err}
	}()
	return c
}

// response waits for a round trip that must succeed.
func response(t *testing.T, c <-chan answer) *http.Response {
	t.Helper()
	a := receive(t, c, "a response")
	require.NoError(t, a.err)
	require.NotNil(t, a.res.Body)
	t.Cleanup(func() { a.res.Body.Close() })
	return a.res
}

// refusal waits for a round trip whose backend failed, which is an error or the
// response that a proxy in between made of it.
func refusal(t *testing.T, c <-chan answer) {
	t.Helper()
	a := receive(t, c, "the end of a round trip that fails")
	if a.err != nil {
		require.Nil(t, a.res, "a response beside an error")
		return
	}
	defer a.res.Body.Close()
	require.GreaterOrEqual(t, a.res.StatusCode, 400)
}
