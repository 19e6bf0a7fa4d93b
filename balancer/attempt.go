package balancer

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// attempt is one request under way at one endpoint. It is settled in two parts, each
// once, whoever comes first: report tells the breaker, release ends its time in
// flight.
type attempt struct {
	pool     *Pool
	endpoint *Endpoint
	done     func(error) // of the breaker; nil: it has none
	trial    bool
	watchdog *time.Timer // nil: no trial

	reported atomic.Bool
	released atomic.Bool

	body responseBody // what comes back, here so that it is one piece
}

// outgoing is a copy of a request, aimed at an endpoint.
type outgoing struct {
	request http.Request
	url     url.URL
}

// begin returns an attempt at e, or nil if its breaker refuses.
func (p *Pool) begin(e *Endpoint) *attempt {
	a := &attempt{pool: p, endpoint: e}
	if e.breaker != nil {
		if a.done, a.trial = e.breaker.allow(); a.done == nil {
			return nil
		}
	}
	if a.trial {
		// While a trial is out nobody else is let through: one that never came back
		// would close the endpoint for good.
		a.watchdog = time.AfterFunc(trialTimeout, func() { a.report(failure) })
	}
	e.inFlight.Add(1)
	return a
}

// answered is called once the verdict on the header, or on its absence, is there. A
// success still depends on the body; but not that of a trial, as a stream may last
// for hours and a timely answer is all that a trial asks.
func (a *attempt) answered(o outcome) {
	if o != success || a.trial {
		a.report(o)
	}
}

// end settles the attempt; what was reported before stands.
func (a *attempt) end(o outcome) {
	a.report(o)
	a.release()
}

func (a *attempt) report(o outcome) {
	if !a.reported.CompareAndSwap(false, true) || a.done == nil {
		return
	}
	a.done(o.err())
	if a.trial {
		a.endpoint.breaker.trial.Store(false)
	}
}

func (a *attempt) release() {
	if !a.released.CompareAndSwap(false, true) {
		return
	}
	a.endpoint.inFlight.Add(-1)
	if a.watchdog != nil {
		a.watchdog.Stop()
	}
	if a.pool.closed.Load() {
		a.pool.closeIdle() // the connection came back after Close had looked
	}
}
