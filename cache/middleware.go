package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/forward"
)

// Middleware returns a Middleware that answers from store where it may and keeps
// there what the handler answers, by the rules of a [Transport] with its defaults.
//
// A response that may be stored comes from the handler as by [gateway.Local]: on a
// goroutine of its own, with the request's pattern, path values and context. What
// the cache has no part in goes straight to the handler with the ResponseWriter as
// it is: methods other than GET and HEAD, upgrades, event streams, ranges.
//
// A route is told from another by the host and the path it is asked for. All
// routes with this one Middleware share what they stored, also across
// [gateway.Gateway.SetRoutes], and nobody else does. So make another for another
// Gateway, even over the same store. It panics if store is nil.
func Middleware(store Cache) gateway.Middleware {
	if store == nil {
		panic(errors.New("cache: middleware: nil Cache"))
	}
	name := rand.Text()
	return func(next http.Handler) http.Handler {
		return &handler{
			next:  next,
			cache: &Transport{Base: gateway.Local(reporting(next)), Store: store, Name: name},
		}
	}
}

type handler struct {
	next  http.Handler
	cache *Transport
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isSafe(r.Method) {
		h.change(w, r)
		return
	}
	req := r
	if r.ContentLength == 0 && r.Body != nil {
		// A server's request without a body may still have a reader: of a limit, say.
		req = r.WithContext(r.Context())
		req.Body = nil
	}
	asked := requestControl(r.Header)
	if isStream(r) || isOutside(req, asked) && !asked.onlyIfCached {
		h.next.ServeHTTP(w, r)
		return
	}
	h.answer(w, req)
}

// isStream reports whether r asks for events, which have no end to wait for.
func isStream(r *http.Request) bool {
	for _, v := range r.Header["Accept"] {
		if strings.Contains(strings.ToLower(v), "text/event-stream") {
			return true
		}
	}
	return false
}

// change serves a request that may change what is stored, and invalidates that
// before the client can see that it did and ask again.
func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	key, ctx := keyOf(h.cache.name(), r), r.Context()
	x.OnHeader(func(http.Header) {
		if isSuccess(x.Status()) {
			h.cache.invalidate(ctx, key)
		}
	})
	h.next.ServeHTTP(x, r)
	if x.Status() == 0 { // which the server makes a 200
		h.cache.invalidate(ctx, key)
	}
}

// answer serves r by the cache.
func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	report := new(report)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), reportKey{}, report))
	defer cancel()
	var interim forward.Interim
	interim.Begin(x, r)
	res, err := h.cache.RoundTrip(r.WithContext(exchange.Trace(ctx)))
	interim.End()
	if err == nil {
		err = forward.Respond(x, res)
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
		gateway.Fail(x, r, fmt.Errorf("cache: %w", err))
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
