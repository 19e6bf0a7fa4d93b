package balancer

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Config is what a [Pool] is made from. Of Targets and Resolver there must be one.
type Config struct {
	// Targets are the URLs of the endpoints, of weight 1 and in one group; see
	// [Target].URL. Nil means that Resolver says which there are.
	Targets []string

	// Resolver says which targets there are, and goes on to say so: [Static], [DNS], [SRV],
	// [File], or one of the caller's own. An empty or failed answer changes nothing. Nil
	// means Targets.
	Resolver Resolver

	// Balancer chooses among the endpoints that are ready; one that counts for itself, such
	// as WeightedRoundRobin, is for one pool. Nil means LeastLatency.
	Balancer Balancer

	// Base carries the attempts and the health checks. It stays the caller's to
	// close. Nil means a transport of the pool's own, which goes through no proxy: 3 s
	// to connect (6 s with TLS), 30 s to the response's header, both of which a Base
	// should limit as well.
	Base http.RoundTripper

	// TLS is for https targets, where the pool has a transport of its own, and for health
	// checks by connections: other roots, say, or a client certificate. Nil means the zero
	// value.
	TLS *tls.Config

	// Connections limits those of the pool's own transport. Zero means its defaults.
	Connections Connections

	Health   Health   // active checks. Zero means none.
	Ejection Ejection // of endpoints that fail. Zero means by its defaults.
	Retry    Retry    // when another attempt is made. Zero means up to two more.
	Hedge    Hedge    // when another is made before the first has failed. Zero means never.
	Breaker  Breaker  // fails fast while the whole upstream does. Zero means none.
	Deadline Deadline // tells backends how much time is left. Zero means it does not.

	// Timeout limits the time to a response's header, with all attempts and the waits
	// between them; not that of the body. Zero means that the request's context does.
	Timeout time.Duration

	// Zone is where this process stands. Endpoints in the same zone are preferred, those in
	// another help out when these are busy or few. Empty means that zones do not matter.
	Zone string

	// SlowStart is how long an endpoint that is added, or comes back, takes to get its
	// full share, from a tenth on. It does not apply when there are not at least two others
	// to carry the load. Zero means 10 seconds; negative, that there is none.
	SlowStart time.Duration

	// Panic is the share of a group's endpoints below which it is assumed that the checks
	// are wrong, or that the few would be crushed, and all are used. Zero means 0.5;
	// negative, never.
	Panic float64

	// MaxInFlight is how many requests may be under way in the pool; for more the answer is
	// 503. A connection that was upgraded no longer counts. Zero means 1024; negative,
	// any number.
	MaxInFlight int

	// MaxPerEndpoint is the same for each endpoint; one that has as many is not ready.
	// Zero means any number.
	MaxPerEndpoint int

	// Events is called when something has changed, by whichever goroutine has found it out,
	// so it must be quick. Nil means that nobody wants to know; [Pool.Snapshot] still
	// tells.
	Events func(Event)

	// Metrics gets the measurements that the package documentation lists. Nil means none
	// are made.
	Metrics metric.MeterProvider

	// Name tells pools apart in metrics. Empty means that there is no such attribute.
	Name string
}

// Connections are the limits of a pool's own transport, for each endpoint. Max, MaxIdle
// and Lifetime are for HTTP/1.1: over HTTP/2 an endpoint has as few connections as its
// server allows. With a Base of the caller's they must be zero.
type Connections struct {
	Max         int           // how many there are at a time; a request that finds none free waits until its context ends. Zero: any number
	MaxIdle     int           // how many are kept unused. Zero: 256
	IdleTimeout time.Duration // how long one is kept unused. Zero: a minute
	Lifetime    time.Duration // how old one may be that takes another request. Zero: any age
}

const (
	defaultSlowStart   = 10 * time.Second
	defaultPanic       = 0.5
	defaultMaxInFlight = 1024
	defaultMargin      = 5 * time.Millisecond
)

func (c Connections) check(base http.RoundTripper) []error {
	faults := []error{
		notNegative("Connections.Max", c.Max), notNegative("Connections.MaxIdle", c.MaxIdle),
		notNegative("Connections.IdleTimeout", c.IdleTimeout), notNegative("Connections.Lifetime", c.Lifetime),
	}
	if base != nil && c != (Connections{}) {
		faults = append(faults, errors.New("balancer: Connections has no effect on a Base"))
	}
	return faults
}

// check returns the targets that are known from the start, or every fault of c.
func (c *Config) check() ([]Target, error) {
	targets, faults := c.static()
	faults = append(faults, c.Health.check()...)
	faults = append(faults, c.Health.checkTransport(targets, c.Base)...)
	faults = append(faults, c.Connections.check(c.Base)...)
	faults = append(faults, c.Ejection.check()...)
	faults = append(faults, c.Retry.check()...)
	faults = append(faults, c.Hedge.check()...)
	faults = append(faults, c.Breaker.check()...)
	faults = append(faults,
		notNegative("Timeout", c.Timeout),
		notNegative("MaxPerEndpoint", c.MaxPerEndpoint),
		notNegative("Deadline.Margin", c.Deadline.Margin))
	if b, ok := c.Base.(interface{ Check() error }); ok { // as gateway.Proxy does
		if err := b.Check(); err != nil {
			faults = append(faults, fmt.Errorf("balancer: Base: %w", err))
		}
	}
	if c.Panic > 1 {
		faults = append(faults, fmt.Errorf("balancer: Panic is not a share: %v", c.Panic))
	}
	if c.Deadline.Header != textproto.CanonicalMIMEHeaderKey(c.Deadline.Header) {
		faults = append(faults, fmt.Errorf("balancer: Deadline.Header is not canonical: %q", c.Deadline.Header))
	}
	return targets, errors.Join(faults...)
}

// static returns the targets that do not change, checked; none if a Resolver has yet to
// be asked.
func (c *Config) static() (targets []Target, faults []error) {
	for _, u := range c.Targets {
		targets = append(targets, Target{URL: u})
	}
	switch fixed, ok := c.Resolver.(Static); {
	case c.Resolver != nil && c.Targets != nil:
		return nil, []error{errors.New("balancer: both Targets and a Resolver")}
	case ok:
		targets = fixed
	case c.Resolver != nil:
		return nil, []error{checkResolver(c.Resolver)}
	}
	if len(targets) == 0 {
		faults = append(faults, errors.New("balancer: no target"))
	}
	seen := make(map[string]int)
	for i, t := range targets {
		base, err := t.parse()
		if err != nil {
			faults = append(faults, fmt.Errorf("balancer: target %d: %w", i+1, err))
			continue
		}
		id := identity(base)
		if first, ok := seen[id]; ok {
			faults = append(faults, fmt.Errorf("balancer: target %d: %q is target %d again", i+1, t.URL, first))
			continue
		}
		seen[id] = i + 1
	}
	return targets, faults
}

// orDefault is like cmp.Or, and takes what is negative for zero.
func orDefault[N ~int | ~int64 | ~float64](n, otherwise N) N { return max(0, cmp.Or(n, otherwise)) }

func notNegative[N ~int | ~int64](name string, n N) error {
	if n < 0 {
		return fmt.Errorf("balancer: %s is negative: %v", name, n)
	}
	return nil
}

func isShare(name string, x float64) error {
	if !(x >= 0 && x <= 1) {
		return fmt.Errorf("balancer: %s is not a share: %v", name, x)
	}
	return nil
}
