package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// A Resolver says which targets a [Pool] has. The pool asks on one goroutine, again and
// again until it is closed.
type Resolver interface {
	// Resolve returns all targets that there are, and how long that holds; zero or less if
	// it waits for changes by itself: it must then return at once the first time, and when
	// ctx ends. What is returned is not changed afterwards. No target at all, or an
	// error, leave the pool as it was; targets that are faulty or repeated are left out.
	Resolve(ctx context.Context) (targets []Target, holds time.Duration, err error)
}

// ResolverFunc is a function that is a [Resolver].
type ResolverFunc func(ctx context.Context) ([]Target, time.Duration, error)

// Resolve calls f.
func (f ResolverFunc) Resolve(ctx context.Context) ([]Target, time.Duration, error) { return f(ctx) }

// Static is a [Resolver] for targets that do not change, and have weights, zones or
// priorities. Its faults are those of [New].
type Static []Target

// Resolve implements [Resolver].
func (s Static) Resolve(context.Context) ([]Target, time.Duration, error) { return s, forever, nil }

const forever = 1<<63 - 1

// Between two questions to a resolver.
const (
	minResolve   = 100 * time.Millisecond
	firstResolve = time.Second // after a failure; twice as long after each further one
	maxResolve   = 30 * time.Second
)

var errNoTargets = errors.New("no target that can be used")

// remembering is a resolver that has to remember what it has said last. Each pool has one
// of its own, so that the value in the Config stays a value.
type remembering interface{ fresh() Resolver }

// checkResolver returns what is wrong with r, as far as that can be known beforehand.
func checkResolver(r Resolver) error {
	if c, ok := r.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// tlsFor is config for r's targets: their addresses may stand for a name.
func tlsFor(r Resolver, config *tls.Config) *tls.Config {
	named, ok := r.(interface{ serverName() string })
	if !ok || named.serverName() == "" || config != nil && config.ServerName != "" {
		return config
	}
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.ServerName = named.serverName()
	return config
}

// checkLookup returns what is wrong with what [DNS] and [SRV] say about how to ask.
func checkLookup(server, network string) error {
	if server != "" {
		if _, _, err := net.SplitHostPort(server); err != nil {
			return fmt.Errorf("the DNS server: %w", err)
		}
	}
	if !slices.Contains([]string{"", "ip", "ip4", "ip6"}, network) {
		return fmt.Errorf("network %q is none of ip, ip4 and ip6", network)
	}
	return nil
}

// resolve asks r until ctx ends.
func (p *Pool) resolve(ctx context.Context, r Resolver) {
	if f, ok := r.(remembering); ok {
		r = f.fresh()
	}
	backOff := firstResolve
	for first := true; ; first = false {
		targets, holds, err := askResolver(ctx, r)
		taken := false
		if err == nil {
			err = p.update(targets)
			taken = !errors.Is(err, errNoTargets)
		}
		if first {
			close(p.resolved)
		}
		if err != nil && ctx.Err() == nil {
			p.emit(Event{Kind: ResolveFailed, Err: err})
		}
		wait := max(minResolve, holds)
		if taken { // if without some targets: to ask again would not make these better
			backOff = firstResolve
		} else {
			wait = backOff
			backOff = min(2*backOff, maxResolve)
		}
		// Gateways that were started together must not ask together for ever.
		if !sleep(ctx, wait-rand.N(wait/10+1)) {
			return
		}
	}
}

// askResolver turns a panic, which would end the process, into an error.
func askResolver(ctx context.Context, r Resolver) (targets []Target, holds time.Duration, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("balancer: the resolver panicked: %v", v)
		}
	}()
	return r.Resolve(ctx)
}
