package balancer

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// Retry says when a request is sent again.
//
// A request is repeated if the attempt failed before anything of it was sent; or, if
// its method is idempotent (RFC 9110 section 9.2.2), after any error before the
// response's header, or a 502, 503 or 504. A body that an attempt has begun to read
// must be renewed by the request's GetBody; bodies are not buffered. A request whose
// context has ended is not repeated.
//
// The next attempt goes at once to an endpoint that was not tried yet. If there is
// none it goes to one that was, after a random time of up to 25 ms, doubled each
// time up to 250 ms; but not after a 503 with Retry-After.
//
// Retries are limited to a fifth of the pool's requests and one a second; up to 50
// can be saved. Going to another endpoint because no connection could be made is
// free: that moves load, it does not add any. When retries end, for whatever reason,
// the last response or error stands.
type Retry struct {
	// Attempts is how often a request is sent in all, the first time included. One
	// means that it is never repeated. Zero means 3.
	Attempts int
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

// idempotent reports whether doing it twice is doing it once (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
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
