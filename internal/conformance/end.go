package conformance

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endProbes are about exchanges that do not come to their end.
var endProbes = []probe{
	{"fails when the context had ended before", Features{}, cancelBefore},
	{"returns at once when cancelled while it waits for the header", Features{}, cancelInHeader},
	{"says that it was a deadline", Features{}, deadlineInHeader},
	{"breaks the body at once when cancelled", Features{}, cancelInBody},
	{"ends the backend when the body is closed early", Features{}, closeInBody},
	{"lets a chunked body that breaks off look cut", Features{}, deathInBody(false)},
	{"lets a counted body that breaks off look cut", Features{}, deathInBody(true)},
	{"fails when the backend dies before its header", Features{Errors: true}, deathBeforeHeader},
	{"fails when the connection is refused", Features{Network: true, Errors: true}, refused},
	{"sees an early answer and stops the upload", Features{}, earlyAnswer},
}

func cancelBefore(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := receive(t, send(rt, request(ctx, t, http.MethodGet, nil)), "the end of the round trip")
	require.ErrorIs(t, a.err, context.Canceled)
}

// silent reports its beginning and its end, and in between waits for its caller to
// leave (incident 13).
type silent struct {
	test         context.Context
	began, ended chan struct{}
	half         bool // it begins an answer
}

func newSilent(t *testing.T, half bool) *silent {
	t.Helper()
	return &silent{t.Context(), make(chan struct{}), make(chan struct{}), half}
}

func (s *silent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.half {
		_, _ = io.WriteString(w, "half")
		flush(w)
	}
	close(s.began)
	select {
	case <-r.Context().Done():
		close(s.ended)
	case <-s.test.Done():
	}
}

func cancelInHeader(t *testing.T, subject Subject) {
	h := newSilent(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := send(subject(t, h), request(ctx, t, http.MethodGet, nil))
	receive(t, h.began, "the request at the handler")
	cancel()
	require.ErrorIs(t, receive(t, c, "the end of the round trip").err, context.Canceled)
	receive(t, h.ended, "the end of the handler's context")
}

func deadlineInHeader(t *testing.T, subject Subject) {
	h := newSilent(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a := receive(t, send(subject(t, h), request(ctx, t, http.MethodGet, nil)), "the end of the round trip")
	require.ErrorIs(t, a.err, context.DeadlineExceeded)
	receive(t, h.ended, "the end of the handler's context")
}

func cancelInBody(t *testing.T, subject Subject) {
	h := newSilent(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res := response(t, send(subject(t, h), request(ctx, t, http.MethodGet, nil)))
	assert.Equal(t, "half", part(t, res.Body, 4))
	cancel()
	require.Error(t, rest(t, res.Body), "a body that was cancelled does not end as if it were whole")
	receive(t, h.ended, "the end of the handler's context")
}

// rest returns how the rest of a body ends.
func rest(t *testing.T, body io.Reader) error {
	t.Helper()
	c := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, body)
		c <- err
	}()
	return receive(t, c, "the end of the body")
}

func closeInBody(t *testing.T, subject Subject) {
	h := newSilent(t, true)
	res := response(t, send(subject(t, h), request(t.Context(), t, http.MethodGet, nil)))
	assert.Equal(t, "half", part(t, res.Body, 4))
	require.NoError(t, res.Body.Close())
	receive(t, h.ended, "the end of the handler's context")
}

// deathInBody is incident 12. What is not an error here is served, stored and merged
// as if it were whole.
func deathInBody(counted bool) func(*testing.T, Subject) {
	return func(t *testing.T, subject Subject) {
		a := receive(t, send(subject(t, dying(counted)), request(t.Context(), t, http.MethodGet, nil)), "an answer")
		if a.err != nil {
			return // what is in between has kept it back, and saw the death first
		}
		defer a.res.Body.Close()
		b, err := io.ReadAll(a.res.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, "half", string(b))
	}
}

// dying breaks off in mid-body.
func dying(counted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if counted {
			w.Header().Set("Content-Length", "8")
		}
		_, _ = io.WriteString(w, "half")
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

func deathBeforeHeader(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	a := receive(t, send(rt, request(t.Context(), t, http.MethodGet, nil)), "the end of the round trip")
	require.Error(t, a.err)
	require.Nil(t, a.res)
}

func refused(t *testing.T, subject Subject) {
	a := receive(t, send(subject(t, nil), request(t.Context(), t, http.MethodGet, nil)), "the end of the round trip")
	require.Error(t, a.err)
	require.Nil(t, a.res)
}

// earlyAnswer: a client that is told 413 only after its gigabyte, or never, sends it
// again.
func earlyAnswer(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too much")
	}))
	from, to := io.Pipe()
	body := watch(from)
	stopped := endless(to)
	r := request(t.Context(), t, http.MethodPost, body)
	r.ContentLength = 1 << 40
	res := response(t, send(rt, r))
	assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	assert.Equal(t, "too much", read(t, res.Body))
	receive(t, body.closed, "closing the request's body")
	receive(t, stopped, "the end of what writes the body")
}
