package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/forward"
)

// Middleware returns a Middleware that answers from store where it may and keeps
// there what the handler answers, by the rules of a [Transport] with its defaults: it is
// [Transport.Wrap] of one. It panics if store is nil.
func Middleware(store Cache) gateway.Middleware {
	if store == nil {
		panic(errors.New("cache: middleware: nil Cache"))
	}
	return (&Transport{Store: store}).Wrap
}

// Wrap returns next behind the cache: the method value is a [gateway.Middleware]. Base is
// not used.
//
// A response that may be stored comes from the handler as by [gateway.Local]: on a
// goroutine of its own, with the request's pattern, path values and context, but not its
// end. What the cache has no part in goes straight to the handler with the ResponseWriter
// as it is: methods other than GET and HEAD, upgrades, event streams.
//
// A route is told from another by the host and the path it is asked for. All
// routes with one Transport share what they stored, also across
// [gateway.Gateway.SetRoutes], and nobody else does. So make another for another
// Gateway, even over the same store. It panics if Store is nil, or [Transport.Check] fails.
func (t *Transport) Wrap(next http.Handler) http.Handler {
	if t.Store == nil {
		panic(errors.New("cache: middleware: nil Store"))
	}
	if err := t.Check(); err != nil {
		panic(err)
	}
	return &handler{next: next, base: gateway.Local(reporting(next)), engine: t.engine()}
}

type handler struct {
	next   http.Handler
	base   http.RoundTripper // next
	engine *engine
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := h.engine
	if !isSafe(r.Method) {
		h.change(w, r)
		return
	}
	asked := requestControl(r.Header)
	req := r
	if r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody {
		// A server's request without a body may still have a reader: of a limit, say.
		req = r.WithContext(r.Context())
		req.Body = nil
	}
	if why := aside(req, asked); why != "" {
		g.tell(r, Result{Outcome: Bypass, Reason: why})
		h.next.ServeHTTP(w, r)
		return
	}
	h.answer(w, req, asked)
}

// change serves a request that may change what is stored, and invalidates that
// before the client can see that it did and ask again.
func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	h.engine.tell(r, Result{Outcome: Bypass, Reason: fwdMethod})
	c := h.engine.changeBy(r)
	x.OnHeader(func(header http.Header) { c.done(x.Status(), header) })
	h.next.ServeHTTP(x, r)
	if x.Status() == 0 { // which the server makes a 200
		c.done(http.StatusOK, x.Header())
	}
}

// answer serves r by the cache.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, asked directives) {
	x, r := exchange.Join(w, r)
	g := h.engine
	q := query{r: r, base: h.base, asked: asked}
	if a, ok := g.ready(&q); ok {
		g.tell(r, a.Result)
		a.write(x, r, time.Now())
		return
	}
	h.fetch(x, &q)
}

// fetch serves what is not ready.
func (h *handler) fetch(x *exchange.Exchange, q *query) {
	report := new(report)
	var interim forward.Interim
	interim.Begin(x, q.r)
	q.r = q.r.WithContext(exchange.Trace(context.WithValue(q.r.Context(), reportKey{}, report)))
	a, err := h.engine.ask(q)
	interim.End()
	if err == nil {
		h.engine.tell(q.r, a.Result)
		err = forward.Respond(x, a.response(q.r, time.Now()))
	}
	failed := report.get()
	if failed != nil {
		x.Err = failed
	}
	switch {
	case err == nil:
	case failed != nil, errors.Is(err, http.ErrAbortHandler) && x.Status() == 0:
		// The handler has said itself why it failed, or that it wants no answer.
		panic(http.ErrAbortHandler)
	default:
		gateway.Fail(x, q.r, fmt.Errorf("cache: %w", err))
	}
}

// write answers r with what is stored, without a copy of it.
func (a *reply) write(x *exchange.Exchange, r *http.Request, now time.Time) {
	if a.res != nil {
		_ = forward.Respond(x, forwarded(a.res, a.status())) // a problem that a client does not read
		return
	}
	p := a.entry.partFor(r)
	h := x.Header()
	a.entry.head(h, p)
	a.mark(h, now)
	x.WriteHeader(p.status)
	if r.Method != http.MethodHead && p.span.to > p.span.from {
		_, _ = x.Write(a.entry.body[p.span.from:p.span.to]) // the server knows when a client has left
	}
}

// report is what a handler behind the cache says of its failure. The handler sees
// a copy of the exchange's state, and the log outside must see it as well.
type report struct {
	mu  sync.Mutex // a client that leaves does not wait for the handler
	err error
}

type reportKey struct{}

func (p *report) set(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
}

func (p *report) get() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// reporting returns next with its failures reported to whom the request came from.
func reporting(next http.Handler) http.Handler {
	if next == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			s := exchange.From(r.Context())
			if p, ok := r.Context().Value(reportKey{}).(*report); ok && s != nil && s.Err != nil {
				p.set(s.Err)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
