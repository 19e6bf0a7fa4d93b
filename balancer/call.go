package balancer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/forward"
)

// call is one RoundTrip: its request, and the attempts made for it. Calls are
// reused, with the slices that they have grown.
type call struct {
	pool    *Pool
	request *http.Request
	given   bool         // the request is ours to change
	url     url.URL      // the request's, if it is ours
	body    *requestBody // nil: none
	ready   []*Endpoint  // what the balancer chooses from
	tried   []*Endpoint
	count   int // attempts made
	repeats int // how often all endpoints had been tried
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(p *Pool, r *http.Request) *call {
	c := calls.Get().(*call)
	c.pool, c.request = p, r
	if r.Body != nil && r.Body != http.NoBody {
		c.body = &requestBody{source: r.Body}
	}
	if s := exchange.From(r.Context()); s != nil && s.Given == r {
		// Once: what is sent with this state again, say by a handler that serves twice, was
		// not given.
		s.Given = nil
		c.given, c.url = true, *r.URL
	}
	return c
}

func (c *call) free() {
	clear(c.ready[:cap(c.ready)])
	clear(c.tried[:cap(c.tried)])
	*c = call{ready: c.ready[:0], tried: c.tried[:0]}
	calls.Put(c)
}

func (c *call) run() (*http.Response, *gateway.Problem) {
	c.gather()
	a := c.pick()
	if a == nil {
		c.body.giveUp()
		return nil, c.pool.unavailable(len(c.ready))
	}
	for {
		res, problem := c.send(a)
		v := judge(res, problem)
		a.answered(v.outcome)
		next, why := c.next(v)
		if next == nil {
			return c.finish(a, res, problem, why)
		}
		discard(res)
		a.end(v.outcome)
		a = next
	}
}

// gather collects the endpoints that are ready and not tried yet, and reports
// whether there are any.
func (c *call) gather() bool {
	c.ready = c.ready[:0]
	for _, e := range c.pool.endpoints {
		if e.Ready() && !slices.Contains(c.tried, e) {
			c.ready = append(c.ready, e)
		}
	}
	return len(c.ready) > 0
}

// pick begins an attempt at an endpoint that the balancer chooses, or returns nil.
func (c *call) pick() *attempt {
	for len(c.ready) > 0 {
		e := c.pool.balancer.Pick(c.request, c.ready)
		i := slices.Index(c.ready, e)
		if i < 0 {
			return nil
		}
		if a := c.pool.begin(e); a != nil {
			c.tried = append(c.tried, e)
			return a
		}
		c.ready = slices.Delete(c.ready, i, i+1) // its breaker opened, or another took the trial
	}
	return nil
}

// send makes the attempt. Either the response or the problem is nil.
func (c *call) send(a *attempt) (*http.Response, *gateway.Problem) {
	c.count++
	returned := false
	defer func() {
		if !returned { // Base has panicked, which must not leave a trial out for ever
			a.end(failure)
		}
	}()
	res, err := c.pool.base.RoundTrip(c.outgoing(a))
	returned = true
	switch broken := c.body.failed(); {
	case err == nil && res != nil:
		return res, nil
	case broken != nil:
		return nil, gateway.ProblemOf(&forward.BodyError{Err: broken})
	case err == nil:
		err = errors.New("the transport returned neither a response nor an error")
	}
	return nil, blame(c.request.Context(), a.endpoint, err, gateway.UpstreamHeader)
}

// outgoing returns the request for the attempt. It shares with the original what a
// transport must not change anyway. It may be the original: our transport for HTTP/1.1
// has forgotten one without a body by the time it returns.
func (c *call) outgoing(a *attempt) *http.Request {
	if c.given && c.body == nil && c.pool.own != nil && a.endpoint.base.Scheme == "http" {
		a.endpoint.aim(c.request.URL, &c.url)
		c.request.Body = nil
		return c.request
	}
	o := &outgoing{}
	out := &o.request
	if c.pool.own != nil {
		*out = *c.request
	} else {
		out = c.request.WithContext(exchange.Trace(c.request.Context()))
	}
	a.endpoint.aim(&o.url, c.request.URL)
	out.URL = &o.url
	out.Body = nil // also for NoBody: a body that is not nil can keep a transport from replaying
	if c.body != nil {
		out.Body = c.body
	}
	return out
}

// next begins another attempt if v and the limits allow one. If not, it returns the
// reason; a nil reason if there is nothing to explain.
func (c *call) next(v verdict) (*attempt, error) {
	switch {
	case v.replay == never || c.request.Context().Err() != nil:
		return nil, nil
	case c.count >= c.pool.attempts:
		return nil, errAttempts
	}
	if err := c.mayReplay(v.replay); err != nil {
		return nil, err
	}
	other := c.gather()
	if !other && (v.replay == elsewhere || !c.startOver()) {
		return nil, errNoOther
	}
	if free := other && v.replay == unsent; !free && !c.pool.budget.withdraw() {
		return nil, errBudget
	}
	return c.again(other)
}

// mayReplay returns why the request must not be sent again, or nil.
func (c *call) mayReplay(r replay) error {
	switch {
	case r != unsent && !idempotent(c.request.Method):
		return errNotIdempotent
	case c.body != nil && !c.body.untouched() && !c.body.empty() && c.request.GetBody == nil:
		return errBodyRead
	}
	return nil
}

// startOver makes endpoints ready that were tried, and reports whether there are any.
func (c *call) startOver() bool {
	c.tried = c.tried[:0]
	c.repeats++
	return c.gather()
}

// again begins the next attempt: at once if it is at another endpoint.
func (c *call) again(other bool) (*attempt, error) {
	if !other && !sleep(c.request.Context(), backoff(c.repeats-1)) {
		return nil, nil
	}
	if c.given {
		*c.request.URL = c.url // as the balancer saw it before
	}
	a := c.pick()
	if a == nil {
		return nil, errNoOther
	}
	body, err := c.body.renew(c.request.GetBody)
	if err != nil {
		a.end(ignored)
		return nil, err
	}
	c.body = body
	return a, nil
}

// finish returns what the last attempt brought, which settles it when it ends.
func (c *call) finish(a *attempt, res *http.Response, problem *gateway.Problem, why error) (*http.Response, *gateway.Problem) {
	c.body.release()
	if problem == nil {
		hold(c.request.Context(), a, c.body, res)
		return res, nil
	}
	a.end(ignored) // its verdict was reported when it came
	if why != nil {
		problem.Err = fmt.Errorf("%w (attempt %d, no other: %w)", problem.Err, c.count, why)
	}
	return nil, problem
}

// Limits to the care that is taken of a response nobody wants.
const (
	maxDrain     = 4 << 10
	drainTimeout = 50 * time.Millisecond
)

// discard reads a short body to its end, so that the connection can be used again.
func discard(res *http.Response) {
	if res == nil || res.Body == nil {
		return
	}
	// A backend that sends a header and then nothing must not hold up the retry.
	timer := time.AfterFunc(drainTimeout, func() { res.Body.Close() })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain)
	res.Body.Close()
}
