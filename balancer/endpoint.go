package balancer

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gatewright/gateway/internal/rawpath"
)

// Endpoint is one address of a [Pool], and what the pool knows about it. It is
// identified by its pointer, which stays the same while the targets change around it,
// and if it is gone for a while. All methods may be called concurrently.
type Endpoint struct {
	hot
	outlier

	pool   *Pool
	id     string // the target's identity
	hash   uint64 // of id; the same in every process
	base   *url.URL
	prefix string // escaped, goes before every path; "": none
	target atomic.Pointer[Target]
	counts counts
}

// hot is what a pick reads of every endpoint: on cache lines that nothing else shares,
// so that what changes one endpoint does not slow down the look at the next.
type hot struct {
	_         [64]byte
	inFlight  atomic.Int64
	level     atomic.Int64 // latency as a logarithm, for scans; see levelOf; 0: unknown
	stamp     atomic.Int64 // when latency was changed last
	lightness atomic.Int64 // 1 / weight as a logarithm
	warmFrom  atomic.Int64 // when slow start began; 0: it is over
	ejected   atomic.Int64 // until when; 0: it is not
	backOff   atomic.Int64 // until when it asked to be spared; 0: it has not
	flags     atomic.Uint32
	_         [4]byte

	latency atomic.Uint64 // to the response header: a decaying mean in ns, as float64 bits; 0: unknown
	weight  atomic.Uint64 // float64 bits: the target's, less in another zone
	peak    atomic.Uint64 // see climb
	_       [40]byte
}

// The flags.
const (
	unhealthy uint32 = 1 << iota // says the active check
	draining                     // the operator wants it out
	removed                      // it is no longer a target
	onTrial                      // the one request after an ejection is under way
	remote                       // it is in another zone than the pool
)

// counts are since the endpoint was first seen, for [Snapshot].
type counts struct {
	attempts, failures, ejections atomic.Int64
}

func newEndpoint(p *Pool, u *url.URL) *Endpoint {
	id := identity(u)
	return &Endpoint{
		pool:   p,
		id:     id,
		hash:   xxhash.Sum64String(id),
		base:   u,
		prefix: strings.TrimSuffix(u.EscapedPath(), "/"),
	}
}

// configure takes over what a target says.
func (e *Endpoint) configure(t Target) {
	e.target.Store(&t)
	weight := float64(max(1, t.Weight))
	away := e.pool.zone != "" && t.Zone != "" && t.Zone != e.pool.zone
	e.setFlag(remote, away)
	if away {
		weight /= remoteCost
	}
	e.weight.Store(math.Float64bits(weight))
	e.lightness.Store(-levelOf(weight))
	if e.setFlag(removed, false) {
		e.forget() // it may be another process by now
	}
}

// remoteCost is how many times as slow as it is an endpoint in another zone is taken
// to be: so it helps out before those at home are overloaded.
const remoteCost = 2

func (e *Endpoint) has(flag uint32) bool { return e.flags.Load()&flag != 0 }

// setFlag reports whether it has changed anything.
func (e *Endpoint) setFlag(flag uint32, on bool) bool {
	if on {
		return e.flags.Or(flag)&flag == 0
	}
	return e.flags.And(^flag)&flag != 0
}

// URL returns the target as it was configured.
func (e *Endpoint) URL() string { return e.target.Load().URL }

// String is URL, for logs.
func (e *Endpoint) String() string { return e.URL() }

// Target returns what is configured of the endpoint.
func (e *Endpoint) Target() Target { return *e.target.Load() }

// InFlight returns how many requests are under way: sent, and the response's body
// neither read to its end nor closed. Health checks do not count.
func (e *Endpoint) InFlight() int64 { return e.inFlight.Load() }

// Weight returns the target's weight as it counts now: an endpoint that has just come
// or come back starts with a tenth of it (see [Config].SlowStart), and one in another
// zone than the pool has half.
func (e *Endpoint) Weight() float64 { return e.weightAt(e.pool.clock.now()) }

// Latency returns the mean time to a response's header. It decays, of what was sent as
// well as while nothing is; a failure counts as a second at least. Zero means that
// nothing is known.
func (e *Endpoint) Latency() time.Duration { return time.Duration(e.latencyAt(e.pool.clock.now())) }

// Hash returns a number that depends on the target's address alone, so that it is the
// same in every process.
func (e *Endpoint) Hash() uint64 { return e.hash }

// Ready reports whether the endpoint may be given requests: it is healthy as far as is
// known, not ejected, not draining, and has room for another.
func (e *Endpoint) Ready() bool { return e.usable() && !e.full() }

// usable reports whether nothing speaks against the endpoint itself.
func (e *Endpoint) usable() bool {
	return e.flags.Load()&(unhealthy|draining|removed) == 0 && e.ejected.Load() == 0
}

func (e *Endpoint) full() bool {
	limit := e.pool.maxPerEndpoint
	return limit > 0 && e.inFlight.Load() >= limit
}

// weightAt is Weight at a time. It is what every pick computes for each endpoint.
func (e *Endpoint) weightAt(now int64) float64 {
	w := math.Float64frombits(e.weight.Load())
	if from := e.warmFrom.Load(); from != 0 {
		w *= e.warmth(now - from)
	}
	return w
}

// coldest is the part of its weight that an endpoint starts with.
const coldest = 0.1

// warmth is the part of its weight that an endpoint has after a time of slow start.
func (e *Endpoint) warmth(since int64) float64 {
	window := int64(e.pool.slowStart)
	if since >= window {
		e.warmFrom.Store(0) // if it has been set anew meanwhile, that was just now: no harm done
		return 1
	}
	return max(coldest, float64(since)/float64(window))
}

// warmUp begins slow start, if there are others to carry the load.
func (e *Endpoint) warmUp(now int64) {
	if e.pool.slowStart == 0 {
		return
	}
	warm := 0
	for _, other := range e.pool.set.Load().endpoints {
		if other != e && other.warmFrom.Load() == 0 && other.usable() {
			warm++
		}
	}
	if warm >= 2 {
		e.warmFrom.Store(now)
	}
}

// latencyAt is the mean latency at a time, in nanoseconds: without news it fades, so that
// an endpoint that was slow is tried again.
func (e *Endpoint) latencyAt(now int64) float64 {
	bits := e.latency.Load()
	if bits == 0 {
		return 0
	}
	age := float64(now - e.stamp.Load())
	return math.Float64frombits(bits) * fade(min(700, age*e.pool.pace.fading()))
}

// fade is exp(-x) to within 7 %: the exponent of a float is its logarithm, and the
// mantissa makes a line of what would be a curve. An exp would be half of a pick's cost. x
// must be from 0 to 700.
func fade(x float64) float64 {
	const perBit = 1 << 52
	// By way of int64: straight to uint64 is a branch and twice the instructions.
	return math.Float64frombits(uint64(int64((1023 - x*math.Log2E) * perBit)))
}

// penalty is what a failure counts as, at least: without it, an endpoint that fails fast
// would look like the best of all.
const penalty = float64(time.Second)

// observe takes what an attempt has shown of the endpoint's latency.
func (e *Endpoint) observe(o outcome, took time.Duration, now int64) {
	for {
		bits, stamp := e.latency.Load(), e.stamp.Load()
		had, sample := math.Float64frombits(bits), max(1, float64(took))
		switch o {
		case failure, overload:
			sample = max(sample, penalty, had)
		case ignored: // it may have been the client that did not wait
			if sample <= had || bits == 0 {
				return
			}
		}
		if bits == 0 && o == success {
			// It took a connection to be made as well, which the next will not. An endpoint
			// that is really slow shows it soon enough.
			sample = min(sample, e.pool.bestLatency())
		}
		mean := sample
		if bits != 0 {
			mean = had + e.pool.pace.share(now-stamp)*(sample-had)
		}
		if e.latency.CompareAndSwap(bits, math.Float64bits(mean)) {
			e.level.Store(max(1, levelOf(mean)))
			e.stamp.Store(now)
			e.climb(sample, now-stamp, bits == 0)
			return
		}
	}
}

// bestLatency is the least of those that are known, in nanoseconds.
func (p *Pool) bestLatency() float64 {
	best := math.Inf(1)
	for _, e := range p.set.Load().endpoints {
		if bits := e.latency.Load(); bits != 0 {
			best = min(best, math.Float64frombits(bits))
		}
	}
	return best
}

// forget has the endpoint tried as if it were new.
func (e *Endpoint) forget() {
	e.latency.Store(0)
	e.level.Store(0)
}

// Drain takes the endpoint out of use, for a deployment say, and returns when its last
// request has ended; or when ctx has, with its error: requests under way then go on. It
// stays out until [Endpoint.Resume], also if its target goes and comes back.
func (e *Endpoint) Drain(ctx context.Context) error {
	if e.setFlag(draining, true) {
		e.pool.emit(Event{Kind: Draining, Endpoint: e})
	}
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for e.inFlight.Load() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// drainPoll is how often Drain looks: to be told would cost every request something.
const drainPoll = 10 * time.Millisecond

// Resume gives the endpoint requests again, few at first.
func (e *Endpoint) Resume() {
	if e.setFlag(draining, false) {
		e.forget()
		e.warmUp(e.pool.clock.now())
		e.pool.emit(Event{Kind: Resumed, Endpoint: e})
	}
}

// name gives r the target's Host if it has none of its own.
func (e *Endpoint) name(r *http.Request) {
	if r.Host == "" {
		r.Host = e.target.Load().Host
	}
}

// aim makes aimed what u is at this endpoint: the path's bytes behind the prefix, the
// query as it is.
func (e *Endpoint) aim(aimed, u *url.URL) {
	*aimed = *u
	aimed.Scheme, aimed.Host, aimed.User, aimed.Opaque = e.base.Scheme, e.base.Host, nil, ""
	if e.prefix != "" {
		rawpath.Set(aimed, rawpath.Join(e.prefix, rawpath.Escaped(u)))
	}
}
