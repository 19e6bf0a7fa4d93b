package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Limiter decides how often a key may do something. Take asks for n of the key's
// allowance and has taken them if the Decision says so. It may be called
// concurrently and must return when ctx ends.
type Limiter interface {
	Take(ctx context.Context, key string, n int) (Decision, error)
}

// LimiterFunc is a function that is a [Limiter].
type LimiterFunc func(ctx context.Context, key string, n int) (Decision, error)

// Take calls f.
func (f LimiterFunc) Take(ctx context.Context, key string, n int) (Decision, error) {
	return f(ctx, key, n)
}

// Decision is a Limiter's answer.
type Decision struct {
	Allowed    bool
	Remaining  int           // how much the key could take at once now
	RetryAfter time.Duration // when refused: until the same would be allowed; zero: never
}

// Rate is a limit on how often a key may do something, with a Limiter in memory of
// its own. Make one with [PerSecond] and its like; the methods return changed copies.
type Rate struct {
	n     int
	per   time.Duration
	burst int
	key   func(*http.Request) string
}

// PerSecond returns a rate of n a second, all n of which may come at once, by the
// client's address. It panics if n is not positive.
func PerSecond(n int) Rate { return newRate(n, time.Second) }

// PerMinute is [PerSecond] for a minute.
func PerMinute(n int) Rate { return newRate(n, time.Minute) }

// PerHour is [PerSecond] for an hour.
func PerHour(n int) Rate { return newRate(n, time.Hour) }

// PerDay is [PerSecond] for 24 hours.
func PerDay(n int) Rate { return newRate(n, 24*time.Hour) }

func newRate(n int, per time.Duration) Rate {
	if n <= 0 || per/time.Duration(n) <= 0 {
		panic(fmt.Errorf("middleware: rate of %d per %v cannot be kept", n, per))
	}
	return Rate{n: n, per: per, burst: n, key: func(*http.Request) string { return "" }}
}

func (r Rate) interval() time.Duration { return r.per / time.Duration(r.n) }

// Burst returns the rate with at most n at once, after a time of rest. It panics if
// n is not positive.
func (r Rate) Burst(n int) Rate {
	if n <= 0 || time.Duration(n) > math.MaxInt64/r.interval() {
		panic(fmt.Errorf("middleware: burst of %d cannot be kept", n))
	}
	r.burst = n
	return r
}

// By returns the rate counted by key instead of by client address: auth.Subject, or
// a function of your own. Requests for which key returns "" are counted by client
// address, so that who has no key does not escape the limit.
func (r Rate) By(key func(*http.Request) string) Rate {
	if key == nil {
		panic(errors.New("middleware: rate: nil key"))
	}
	r.key = key
	return r
}

// RateLimit returns a middleware that answers 429 with Retry-After once a key has
// used up its rate. The state is in this process: 2^20 keys at the most, of which
// those used longest ago are forgotten first. It is shared by all routes that the
// middleware is given to.
func RateLimit(r Rate) gateway.Middleware {
	if r.n == 0 {
		panic(errors.New("middleware: rate limit: make the rate with PerSecond and its like"))
	}
	return Limit(newGCRA(r.interval(), r.burst, maxKeys), r.key)
}

// limiterTimeout is how long a request waits for a Limiter.
const limiterTimeout = 50 * time.Millisecond

// Limit is [RateLimit] with a Limiter of your own. If it fails, or takes longer than 50
// milliseconds, the request passes, and the access log says ratelimit.error: a limit
// protects a service and must not be what takes it down.
//
// The Limiter's keys are "key:" and what key returns; or, for a request for which that
// is empty, "ip:" and the client's address, of IPv6 the /64.
func Limit(l Limiter, key func(*http.Request) string) gateway.Middleware {
	if l == nil || key == nil {
		panic(errors.New("middleware: limit: nil limiter or key"))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			k := key(r)
			if k == "" {
				k = clientKey(r)
			} else {
				k = "key:" + k
			}
			d, err := ask(r.Context(), l, k)
			switch {
			case err != nil:
				x.Notes = append(x.Notes, slog.String("ratelimit.error", err.Error()))
			case !d.Allowed:
				gateway.Fail(x, r, &gateway.Problem{Status: http.StatusTooManyRequests, RetryAfter: d.RetryAfter})
				return
			}
			next.ServeHTTP(x, r)
		})
	}
}

func ask(ctx context.Context, l Limiter, key string) (Decision, error) {
	if l, ok := l.(*gcra); ok {
		return l.Take(ctx, key, 1) // which never waits
	}
	ctx, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	return l.Take(ctx, key, 1)
}

// clientKey returns the client's address, of IPv6 only the /64 that a subscriber has
// to himself: else one host has 2^64 buckets. All without an address share one.
func clientKey(r *http.Request) string {
	ip, ok := exchange.ClientIP(r)
	if !ok {
		return "ip:unknown"
	}
	if ip.Is6() {
		return "ip:" + netip.PrefixFrom(ip, 64).Masked().String()
	}
	return "ip:" + ip.String()
}
