package conformance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// closeProbes are about the request's body: it is the transport's to close on every
// path, perhaps after it has returned. What is not closed leaks whoever writes to it.
var closeProbes = []probe{
	{"closes the body after success", Features{}, bodyIsClosed(http.StatusOK, true)},
	{"closes a body that the handler does not read", Features{}, bodyIsClosed(http.StatusNoContent, false)},
	{"closes a body that was refused unread", Features{}, bodyIsClosed(http.StatusBadRequest, false)},
	{"closes the body when the backend dies before its header", Features{}, bodyIsClosedOnDeath},
	{"closes the body when the connection is refused", network, bodyIsClosedOnRefusal},
	{"closes the body when the context had ended before", Features{}, bodyIsClosedWithoutContext},
	{"closes the body when the context ends", Features{}, bodyIsClosedOnCancel},
	{"closes a body that cannot be read, and does not pass its half for the whole", Features{}, bodyIsClosedWhenBroken},
}

func bodyIsClosed(status int, reads bool) func(*testing.T, Subject) {
	return func(t *testing.T, subject Subject) {
		rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if reads {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			w.WriteHeader(status)
		}))
		body := watch(strings.NewReader("hello"))
		res := response(t, send(rt, request(t.Context(), t, http.MethodPost, body)))
		require.Equal(t, status, res.StatusCode)
		_ = read(t, res.Body)
		receive(t, body.closed, "closing the request's body")
	}
}

func bodyIsClosedOnDeath(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	body := watch(strings.NewReader("hello"))
	refusal(t, send(rt, request(t.Context(), t, http.MethodPost, body)))
	receive(t, body.closed, "closing the request's body")
}

func bodyIsClosedOnRefusal(t *testing.T, subject Subject) {
	body := watch(strings.NewReader("hello"))
	refusal(t, send(subject(t, nil), request(t.Context(), t, http.MethodPost, body)))
	receive(t, body.closed, "closing the request's body")
}

func bodyIsClosedWithoutContext(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := watch(strings.NewReader("hello"))
	a := receive(t, send(rt, request(ctx, t, http.MethodPost, body)), "the end of the round trip")
	require.ErrorIs(t, a.err, context.Canceled)
	receive(t, body.closed, "closing the request's body")
}

// bodyIsClosedOnCancel has a body that goes on: closing one under a Read may block, so
// it is enough that the next Read is the last.
func bodyIsClosedOnCancel(t *testing.T, subject Subject) {
	began := make(chan struct{})
	rt := subject(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		close(began)
		_, _ = io.Copy(io.Discard, r.Body) // a server sees that a client has left when it reads
	}))
	from, to := io.Pipe()
	body := watch(from)
	stopped := endless(to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := send(rt, request(ctx, t, http.MethodPost, body))
	receive(t, began, "the first byte at the handler")
	cancel()
	require.ErrorIs(t, receive(t, c, "the end of the round trip").err, context.Canceled)
	receive(t, body.closed, "closing the request's body")
	receive(t, stopped, "the end of what writes the body")
}

var errBroken = errors.New("the client's connection broke")

// broken is a client that sends half of what it promised.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func bodyIsClosedWhenBroken(t *testing.T, subject Subject) {
	read := make(chan error, 1)
	rt := subject(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
		panic(http.ErrAbortHandler)
	}))
	body := watch(broken{strings.NewReader("half")})
	refusal(t, send(rt, request(t.Context(), t, http.MethodPost, body)))
	receive(t, body.closed, "closing the request's body")
	require.Error(t, receive(t, read, "the handler's read"), "a cut upload looks whole")
}
