package middleware

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// grace is how much later than the context the connection's own deadlines come: the
// context's end has a chance to be answered, a client that neither sends nor reads
// is then cut off.
const grace = 250 * time.Millisecond

// Timeout returns a middleware that gives each request d from its start to the end
// of its response. When it is over the request's context ends, on which backends
// are cancelled and gateway.Proxy answers 504; a handler that returns without an
// answer is answered 504 as well. Reading a request body that does not come and
// writing to a client that does not read end shortly after. Leave it off routes
// that stream. It panics if d is not positive.
func Timeout(d time.Duration) gateway.Middleware {
	if d <= 0 {
		panic(fmt.Errorf("middleware: timeout %v is not positive", d))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			end := time.Now().Add(d)
			ctx, cancel := context.WithDeadline(r.Context(), end)
			defer cancel()
			defer limitConnection(x, r, end.Add(grace))()
			next.ServeHTTP(x, r.WithContext(ctx))
			if x.Status() == 0 && ctx.Err() == context.DeadlineExceeded {
				gateway.Fail(x, r, ctx.Err())
			}
		})
	}
}

// limitConnection bounds what no context can interrupt: a read and a write that the
// handler is blocked in. It returns what takes the bound back, since net/http does
// not reset a write deadline that it did not set.
func limitConnection(w http.ResponseWriter, r *http.Request, end time.Time) (lift func()) {
	rc := http.NewResponseController(w)
	if r.Body != nil && r.Body != http.NoBody {
		// Not without a body: net/http then reads ahead to notice a client that
		// leaves, and would take the deadline for that.
		_ = rc.SetReadDeadline(end)
	}
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server.WriteTimeout > 0 || rc.SetWriteDeadline(end) != nil {
		return func() {}
	}
	return func() { _ = rc.SetWriteDeadline(time.Time{}) }
}
