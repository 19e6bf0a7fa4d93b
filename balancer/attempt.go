package balancer

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// attempt is one request under way at one endpoint. It is settled in three parts, each
// once, whoever comes first: answered takes its latency, report what it has shown in the
// end, release ends its time in flight.
type attempt struct {
	pool     *Pool
	endpoint *Endpoint
	started  int64
	asked    int64 // when the attempt began that it hedges; 0: it hedges none
	trial    bool  // of an ejected endpoint
	raced    bool  // another may run beside it
	try      *try  // nil: it has no time limit of its own, and cannot be cancelled alone
	pass     pass  // of the call, if this attempt's body decides on it

	reported atomic.Bool
	released atomic.Bool
	left     atomic.Bool // the pool's count of requests
	final    bool        // the call ends with it

	body responseBody // what comes back, here so that it is one piece
}

// outgoing is a copy of a request, aimed at an endpoint.
type outgoing struct {
	request http.Request
	url     url.URL
}

// begin returns an attempt at e, or nil if that is no longer to be had.
func (p *Pool) begin(e *Endpoint, now int64) *attempt {
	trial := false
	if e.ejected.Load() != 0 {
		// In a panic an ejected endpoint may be asked without that being its trial.
		trial = e.trialDue(now) && e.takeTrial(now)
	}
	if n := e.inFlight.Add(1); p.maxPerEndpoint > 0 && n > p.maxPerEndpoint {
		e.inFlight.Add(-1)
		if trial {
			e.setFlag(onTrial, false)
		}
		return nil
	}
	e.counts.attempts.Add(1)
	return &attempt{pool: p, endpoint: e, started: now, trial: trial}
}

// answered is called once the verdict on the header, or on its absence, is there. That
// a success is one depends on the body; but not for a trial, as a stream may last
// for hours and a timely answer is all that a trial asks.
func (a *attempt) answered(o outcome) {
	now := a.pool.clock.now()
	took := time.Duration(now - a.started)
	a.endpoint.observe(o, took, now)
	if a.pool.durations != nil && o == success {
		a.pool.durations.add(time.Duration(now-cmp.Or(a.asked, a.started)), now)
	}
	a.pool.metrics.attempt(a, o, took)
	if a.trial {
		a.trial = false
		a.pool.tried(a.endpoint, o, now)
	}
	if o != success {
		a.report(o)
	}
}

// end settles the attempt; what was reported before stands.
func (a *attempt) end(o outcome) {
	a.report(o)
	a.release()
}

func (a *attempt) report(o outcome) {
	if !a.reported.CompareAndSwap(false, true) {
		return
	}
	a.endpoint.count(o, a.pool.clock.now())
	a.pass.report(o)
}

// broke reports that the response broke off after it had begun well.
func (a *attempt) broke(o outcome) {
	if o == failure && !a.reported.Load() {
		now := a.pool.clock.now()
		a.endpoint.observe(o, 0, now)
	}
	a.end(o)
}

func (a *attempt) release() {
	if !a.released.CompareAndSwap(false, true) {
		return
	}
	a.endpoint.inFlight.Add(-1)
	if a.final {
		a.leave()
	}
	a.try.end()
	if a.pool.closed.Load() {
		a.pool.closeIdle() // the connection came back after Close had looked
	}
}

// leave takes the call off the pool's count.
func (a *attempt) leave() {
	if a.left.CompareAndSwap(false, true) {
		a.pool.inFlight.Add(-1)
	}
}

// try is what ends an attempt and not the call. It may be nil, which does nothing.
type try struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil: no limit
}

// newTry returns a context for an attempt that may take as long as limit until its
// response's header, zero being any time.
func newTry(ctx context.Context, limit time.Duration) (context.Context, *try) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &try{cancel: cancel}
	if limit > 0 {
		t.timer = time.AfterFunc(limit, func() { cancel(errTryTimeout) })
	}
	return ctx, t
}

// answered lifts the limit: the header is there, the body may take its time.
func (t *try) answered() {
	if t != nil && t.timer != nil {
		t.timer.Stop()
	}
}

func (t *try) end() {
	if t != nil {
		t.answered()
		t.cancel(nil)
	}
}

// errTryTimeout is how an attempt ends that takes too long.
var errTryTimeout error = tryTimeoutError{}

type tryTimeoutError struct{}

func (tryTimeoutError) Error() string   { return "the attempt took too long" }
func (tryTimeoutError) Timeout() bool   { return true }
func (tryTimeoutError) Temporary() bool { return true }
