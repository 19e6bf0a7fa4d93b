// Package conformance holds what every [http.RoundTripper] of this library, and every
// handler that forwards by one, must do. A transport that fails here breaks a client or
// a backend in a way that no unit test of it would show: most of these probes are
// incidents of other gateways, over real connections.
//
// It is a kit and not a test: it knows no package that it tests.
package conformance

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guard is how long a probe waits for what must happen at once. It only decides how
// long a failure takes.
const guard = 30 * time.Second

// Features is what a subject can do by its nature. The probes that need more are left
// out.
type Features struct {
	Network bool // there are connections to the backend, which can be refused or closed; zero: it runs in process
	Upgrade bool // a 101 changes the connection to another protocol; zero: there is none to change
	Strict  bool // bytes that nobody asked for never become a response; zero: they may, as net/http hands a connection on before it looks
	Counted bool // a body of known length is passed on while it goes on; zero: it may wait for its end, as behind a proxy over net/http
	Errors  bool // a backend that fails before its header is an error; zero: it may be a response, as a proxy in between makes it
}

func (f Features) cover(needs Features) bool {
	return (f.Network || !needs.Network) && (f.Upgrade || !needs.Upgrade) && (f.Strict || !needs.Strict) &&
		(f.Counted || !needs.Counted) && (f.Errors || !needs.Errors)
}

// receive returns what comes from c, which must be soon.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(guard)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "it did not happen: "+what)
		panic("unreachable")
	}
}

// pause has a handler wait for c, but no longer than the test runs: a server waits for
// its handlers when it is closed.
func pause(ctx context.Context, c <-chan struct{}) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// flush sends what a handler has written so far.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// read returns the whole of a body.
func read(t *testing.T, body io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	return string(b)
}

// part reads n bytes, which must come though the body goes on.
func part(t *testing.T, body io.Reader, n int) string {
	t.Helper()
	type piece struct {
		text string
		err  error
	}
	c := make(chan piece, 1)
	go func() {
		b := make([]byte, n)
		k, err := io.ReadFull(body, b)
		c <- piece{string(b[:k]), err}
	}()
	p := receive(t, c, "the first bytes of a body before its last are written")
	require.NoError(t, p.err)
	return p.text
}

// endless writes blocks to w until that fails, and then closes the channel.
func endless(w io.Writer) <-chan struct{} {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		block := make([]byte, 16<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}()
	return stopped
}

// watched is a request body that tells when it is closed.
type watched struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func watch(r io.Reader) *watched { return &watched{Reader: r, closed: make(chan struct{})} }

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	if c, ok := w.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
