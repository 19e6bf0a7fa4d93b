package balancer

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// Retry says when a request is sent again.
//
// A request is repeated if the attempt failed before anything of it was sent; or, if
// its method is idempotent (RFC 9110 section 9.2.2) or it has an Idempotency-Key, after
// any error before the response's header, or a 502, 503 or 504. What an attempt has read of
// the body is kept for the next, up to 64 KiB; a longer body must be renewed by the
// request's GetBody. A request that fails to connect has read nothing, and so needs
// neither. A request whose context has ended is not repeated.
//
// The next attempt goes at once to an endpoint that was not tried yet. If there is
// none it goes to one that was, after a random time of up to 25 ms, doubled each
// time up to 250 ms; after a 503 with Retry-After, when that has passed, if the request has
// a deadline and makes it.
//
// Retries are limited to a fifth of the pool's requests and one a second; up to 50
// can be saved. So a short brownout of one endpoint goes unnoticed, and one of all is not made
// worse: while half of all attempts fail, some four requests in ten fail too. Going to
// another endpoint because no connection could be made is free: that moves load, it does
// not add any. When retries end, for whatever reason, the last response or error stands.
type Retry struct {
	// Attempts is how often a request is sent in all, the first time included. One
	// means that it is never repeated. Zero means 3.
	Attempts int

	// Timeout is how long an attempt may take to its response's header. Zero means as
	// long as the transport and the request allow.
	Timeout time.Duration
}

func (y Retry) check() []error {
	return []error{notNegative("Retry.Attempts", y.Attempts), notNegative("Retry.Timeout", y.Timeout)}
}

func (y Retry) withDefaults() Retry {
	if y.Attempts == 0 {
		y.Attempts = defaultAttempts
	}
	return y
}

const (
	defaultAttempts = 3
	minBackoff      = 25 * time.Millisecond
	maxBackoff      = 250 * time.Millisecond
)

// Why there was no further attempt; for the log.
var (
	errAttempts      = errors.New("attempts used up")
	errNotIdempotent = errors.New("the method is not idempotent")
	errBodyRead      = errors.New("the request body was already read")
	errNoOther       = errors.New("no other endpoint is ready")
	errBudget        = errors.New("the retry budget is used up")
)

// repeatable reports whether doing r twice is doing it once (RFC 9110 section 9.2.2), by
// its method or because the backend sees to it.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header["Idempotency-Key"] != nil
}

// maxSpare is for how long at most an endpoint is believed that wants to be spared.
const maxSpare = 30 * time.Second

// spare has e used only if there is no other, for as long as its answer asks.
func (e *Endpoint) spare(res *http.Response) {
	// A 429 is meant for the client, whoever it is, and a 503 for everyone.
	if d, ok := field.RetryAfter(res.Header); ok && res.StatusCode == http.StatusServiceUnavailable {
		e.backOff.Store(e.pool.clock.now() + int64(min(d, maxSpare)))
	}
}

// backoff returns the time to wait before an endpoint is tried again, for the nth
// time, counted from 0.
func backoff(n int) time.Duration {
	limit := maxBackoff
	if n < 4 { // 25 ms * 2^4 is over the limit
		limit = minBackoff << n
	}
	return rand.N(limit + 1)
}

// sleep reports whether it slept all of d before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
