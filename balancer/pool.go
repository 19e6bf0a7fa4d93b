package balancer

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Pool is a [http.RoundTripper] over several endpoints. Make one with [New], [Must]
// or [To]. All methods may be called concurrently.
type Pool struct {
	acquainted
	endpoints []*Endpoint
	balancer  Balancer
	base      http.RoundTripper
	own       *transport // base, if it is the pool's own; nil otherwise
	attempts  int
	budget    *budget
	checker   *checker // nil: no active checks
	closed    atomic.Bool
}

// acquainted is embedded without being seen.
type acquainted = exchange.Acquainted

// New returns a Pool, or an error that joins every fault of c. A pool without
// health checks starts no goroutine.
func New(c Config) (*Pool, error) {
	endpoints, err := c.check()
	if err != nil {
		return nil, err
	}
	p := &Pool{
		endpoints: endpoints,
		balancer:  c.Balancer,
		base:      c.Base,
		attempts:  cmp.Or(c.Retry.Attempts, defaultAttempts),
		budget:    newBudget(),
	}
	if p.balancer == nil {
		p.balancer = PowerOfTwo()
	}
	if p.base == nil {
		p.own = newTransport(c.TLS, c.Connections)
		p.base = p.own
	}
	p.checker = startChecker(c.Health, p.base, endpoints)
	return p, nil
}

// Must is [New] for a literal: it panics where New returns an error.
func Must(c Config) *Pool {
	p, err := New(c)
	if err != nil {
		panic(err)
	}
	return p
}

// To returns a pool of the targets with everything else at its default. It panics if
// a target is invalid.
func To(targets ...string) *Pool { return Must(Config{Targets: targets}) }

// RoundTrip sends r to an endpoint, or to several in turn as [Retry] says, and
// returns what the last attempt brought. The endpoint gives the URL its scheme, its
// host and the beginning of its path. The Host field is r.Host, or if that is empty
// the endpoint's host.
//
// Every request is aimed, whatever its URL's scheme and host, and so are the redirects
// that an http.Client follows: give that a CheckRedirect which returns
// http.ErrUseLastResponse.
//
// The error is a [*gateway.Problem]. Its Fault says what happened: no endpoint was
// ready (503, with RetryAfter if it is the breakers that are open), or the upstream
// failed in a certain phase (502, 504), or it was the client that left (499) or
// whose body could not be read (400, 408, 413). Its Err names the endpoint and the
// cause, for logs; nothing else in it does.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	c := newCall(p, r)
	defer c.free()
	if p.closed.Load() {
		c.body.giveUp()
		return nil, &gateway.Problem{
			Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamUnavailable, Err: errClosed,
		}
	}
	p.budget.deposit()
	res, problem := c.run()
	if problem != nil {
		return nil, problem
	}
	return res, nil
}

var errClosed = errors.New("balancer: the pool is closed")

// Endpoints returns the endpoints in the order of the targets.
func (p *Pool) Endpoints() []*Endpoint { return slices.Clone(p.endpoints) }

// Close stops the health checks and waits for them, and closes the idle connections
// of the pool's own transport. Requests under way finish; new ones fail with 503.
// Closing again does nothing. The error is always nil.
func (p *Pool) Close() error {
	p.closed.Store(true)
	p.checker.stop()
	p.closeIdle()
	return nil
}

func (p *Pool) closeIdle() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

// unavailable is the problem when no endpoint was picked, of as many as are offered.
func (p *Pool) unavailable(offered int) *gateway.Problem {
	var conditions []string
	var wait time.Duration
	for _, e := range p.endpoints {
		conditions = append(conditions, e.condition())
		if e.breaker == nil || e.unhealthy.Load() {
			continue
		}
		if d := e.breaker.remaining(); d > 0 && (wait == 0 || d < wait) {
			wait = d
		}
	}
	err := errors.New("no endpoint is ready: " + strings.Join(conditions, "; "))
	if offered > 0 {
		wait, err = 0, errors.New("the balancer picked none of the endpoints it was offered")
	}
	return &gateway.Problem{
		Status:     http.StatusServiceUnavailable,
		Fault:      gateway.UpstreamUnavailable,
		RetryAfter: wait,
		Err:        err,
	}
}
