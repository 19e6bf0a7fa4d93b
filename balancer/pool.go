package balancer

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Pool is a [http.RoundTripper] over several endpoints. Make one with [New], [Must]
// or [To]. All methods may be called concurrently.
type Pool struct {
	acquainted
	clock    clock
	balancer Balancer
	zoned    bool     // the balancer sees to zones by itself
	follower follower // the balancer, if it wants to see responses; nil otherwise
	base     http.RoundTripper
	own      *transport // base, if it is the pool's own; nil otherwise

	retry          Retry
	hedge          Hedge
	ejection       Ejection
	deadline       Deadline
	timeout        time.Duration
	zone           string
	slowStart      time.Duration
	panicShare     float64
	maxInFlight    int64 // 0: any number
	maxPerEndpoint int64 // 0: any number
	onEvent        func(Event)

	pace      pace
	inFlight  atomic.Int64
	panics    atomic.Int64 // requests that were sent though too few endpoints were well
	budget    *budget
	hedges    *hedgeBudget
	breaker   *breaker   // nil: none
	durations *durations // nil: nobody asks
	checker   *checker   // nil: no active checks
	metrics   *metrics   // nil: none

	mu    sync.Mutex // of what changes rarely
	known map[string]*Endpoint
	set   atomic.Pointer[set]

	resolved chan struct{}      // closed when the resolver was asked for the first time; nil: there is none
	cancel   context.CancelFunc // ends what runs in the background
	running  sync.WaitGroup
	closed   atomic.Bool
}

// acquainted is embedded without being seen.
type acquainted = exchange.Acquainted

// New returns a Pool, or an error that joins every fault of c. A pool without
// health checks and with targets that do not change starts no goroutine.
func New(c Config) (*Pool, error) {
	targets, err := c.check()
	if err != nil {
		return nil, err
	}
	p := &Pool{
		clock:          clock{time.Now()},
		balancer:       c.Balancer,
		base:           c.Base,
		retry:          c.Retry.withDefaults(),
		hedge:          c.Hedge.withDefaults(),
		ejection:       c.Ejection.withDefaults(),
		deadline:       c.Deadline,
		timeout:        c.Timeout,
		zone:           c.Zone,
		slowStart:      orDefault(c.SlowStart, defaultSlowStart),
		panicShare:     orDefault(c.Panic, defaultPanic),
		maxInFlight:    int64(orDefault(c.MaxInFlight, defaultMaxInFlight)),
		maxPerEndpoint: int64(c.MaxPerEndpoint),
		onEvent:        c.Events,
		budget:         newBudget(),
		known:          make(map[string]*Endpoint),
	}
	p.set.Store(&set{})
	p.pace.init(p.clock.now())
	p.deadline.Margin = cmp.Or(c.Deadline.Margin, defaultMargin)
	if p.balancer == nil {
		p.balancer = LeastLatency()
	}
	switch p.balancer.(type) {
	case leastLatency, *sticky, *consistentHash: // whose endpoint of a client is one in every zone
		p.zoned = true
	}
	p.follower, _ = p.balancer.(follower)
	if p.base == nil {
		p.own = newTransport(tlsFor(c.Resolver, c.TLS), c.Connections)
		p.base = p.own
	}
	p.breaker = newBreaker(c.Breaker, p.emit)
	if c.Hedge.After > 0 || c.Deadline.Header != "" {
		p.durations = new(durations)
	}
	p.hedges = newHedgeBudget(p.hedge)
	if p.metrics, err = newMetrics(c.Metrics, c.Name, p); err != nil {
		return nil, err
	}
	p.start(c, targets)
	return p, nil
}

// start has the pool know its targets, and begins what runs in the background.
func (p *Pool) start(c Config, targets []Target) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.checker = newChecker(c.Health, c.TLS, p)
	if len(targets) > 0 {
		_ = p.update(targets) // Config.check has found nothing wrong
	} else {
		p.resolved = make(chan struct{})
		p.running.Go(func() { p.resolve(ctx, c.Resolver) })
	}
	if p.checker != nil {
		p.running.Go(func() { p.checker.run(ctx) })
	}
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
// Until a [Resolver] has answered for the first time, requests wait for it.
//
// The error is a [*gateway.Problem]. Its Fault says what happened: no endpoint was
// ready, the pool is full or its breaker open (503, with RetryAfter if it is known), or
// the upstream failed in a certain phase (502, 504), or it was the client that left (499)
// or whose body could not be read (400, 408, 413). Its Err names the endpoint and the
// cause, for logs; nothing else in it does.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	c := newCall(p, r)
	defer c.free()
	defer c.leave(failure) // if Base panics
	if problem := c.admit(); problem != nil {
		c.body.giveUp()
		return nil, problem
	}
	res, problem := c.run()
	if problem != nil {
		return nil, problem
	}
	return res, nil
}

// Why a request is not even tried; for the log.
var (
	errClosed = errors.New("balancer: the pool is closed")
	errFull   = errors.New("balancer: the pool has as many requests under way as it may")
	errOpen   = errors.New("balancer: the breaker is open")
)

// Endpoints returns the endpoints in the order of the targets.
func (p *Pool) Endpoints() []*Endpoint { return slices.Clone(p.set.Load().endpoints) }

// Close stops the health checks and the resolver and waits for them, and closes the idle
// connections of the pool's own transport. Requests under way finish, and their connections are
// closed then; new ones fail with 503. Closing again does nothing. The error is always
// nil.
func (p *Pool) Close() error {
	p.closed.Store(true)
	p.cancel()
	p.running.Wait()
	p.metrics.close()
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
	problem := &gateway.Problem{Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamUnavailable}
	if offered > 0 {
		problem.Err = errors.New("the balancer picked none of the endpoints it was offered")
		return problem
	}
	var conditions []string
	now := p.clock.now()
	for _, e := range p.set.Load().endpoints {
		conditions = append(conditions, e.URL()+" is "+cmp.Or(e.condition(now), "refused"))
		if until := e.ejected.Load(); until > 0 {
			if d := p.clock.until(until); d > 0 && (problem.RetryAfter == 0 || d < problem.RetryAfter) {
				problem.RetryAfter = d
			}
		}
	}
	problem.Err = errors.New("no endpoint is ready: " + cmp.Or(strings.Join(conditions, "; "), "none is known"))
	return problem
}
