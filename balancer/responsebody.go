package balancer

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/forward"
)

// hold keeps the attempt in flight until the response's body has ended, broken off
// or been closed.
func hold(ctx context.Context, a *attempt, sent *requestBody, res *http.Response) {
	if res.Body == nil || res.Body == http.NoBody {
		res.Body = http.NoBody // net/http never returns nil, and callers rely on it
		a.end(success)
		return
	}
	if conn, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		a.report(success)
		a.leave() // it may last for days
		res.Body = newTunnel(conn, a)
		return
	}
	a.body.ReadCloser, a.body.ctx, a.body.sent, a.body.attempt = res.Body, ctx, sent, a
	res.Body = &a.body
}

type responseBody struct {
	io.ReadCloser
	ctx     context.Context
	sent    *requestBody // may still be under way, and break; nil: none
	attempt *attempt
	closed  atomic.Bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		b.attempt.end(success)
		return n, err
	case b.closed.Load():
		return n, err // closing it is what broke it
	}
	if broken := b.sent.broken(); broken != nil {
		b.attempt.broke(ignored)
		return n, gateway.ProblemOf(&forward.BodyError{Err: broken})
	}
	problem := blame(b.ctx, b.attempt.endpoint, err, gateway.UpstreamBody)
	if b.ctx.Err() != nil {
		b.attempt.broke(ignored) // a deadline as well: it may be the client that read slowly
	} else {
		b.attempt.broke(judge(nil, problem).outcome)
	}
	return n, problem
}

// Buffered returns how many bytes can surely be read without waiting. The forwarder asks.
func (b *responseBody) Buffered() int {
	if inner, ok := b.ReadCloser.(interface{ Buffered() int }); ok {
		return inner.Buffered()
	}
	return 0
}

// Close ends a body early. That is a success if the request is still wanted: many
// callers look at the status only, and if theirs did not count, single failures
// between them would add up to a row.
func (b *responseBody) Close() error {
	b.closed.Store(true)
	if b.ctx.Err() != nil {
		b.attempt.end(ignored)
	} else {
		b.attempt.end(success)
	}
	return b.ReadCloser.Close()
}

// tunnel is the body of a 101: a connection, and what hides its methods breaks the
// upgrade.
type tunnel struct {
	io.ReadWriteCloser
	attempt *attempt
}

func newTunnel(conn io.ReadWriteCloser, a *attempt) io.ReadWriteCloser {
	t := &tunnel{conn, a}
	if half, ok := conn.(closeWriter); ok {
		return struct {
			*tunnel
			closeWriter
		}{t, half}
	}
	return t
}

type closeWriter interface{ CloseWrite() error }

func (t *tunnel) Close() error {
	t.attempt.release()
	return t.ReadWriteCloser.Close()
}
