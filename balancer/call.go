package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
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
	host    string       // likewise
	body    *requestBody // nil: none
	state   *exchange.State
	pass    pass
	entered bool  // it is counted in the pool
	begun   int64 // when it was
	ends    int64 // when the pool's own time for it is over; 0: never

	ready    []*Endpoint // what the balancer chooses from
	spare    []*Endpoint // what is ready and has asked not to be used
	tried    []*Endpoint
	panics   bool // what is ready may be ill
	panicked bool // and was asked
	count    int  // attempts made
	repeats  int  // how often all endpoints had been tried
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(p *Pool, r *http.Request) *call {
	c := calls.Get().(*call)
	c.pool, c.request = p, r
	if r.Body != nil && r.Body != http.NoBody {
		keep := 0
		if r.GetBody == nil && p.retry.Attempts > 1 && repeatable(r) {
			keep = maxReplay
		}
		c.body = newRequestBody(r.Body, keep)
	}
	c.state = exchange.From(r.Context())
	if c.state != nil && c.state.Given == r {
		// Once: what is sent with this state again, say by a handler that serves twice, was
		// not given.
		c.state.Given = nil
		c.given, c.url, c.host = true, *r.URL, r.Host
	}
	return c
}

func (c *call) free() {
	clear(c.ready[:cap(c.ready)])
	clear(c.spare[:cap(c.spare)])
	clear(c.tried[:cap(c.tried)])
	*c = call{ready: c.ready[:0], spare: c.spare[:0], tried: c.tried[:0]}
	calls.Put(c)
}

// admit returns why the call must not even begin, or nil.
func (c *call) admit() *gateway.Problem {
	p, ctx := c.pool, c.request.Context()
	refuse := func(err error, after time.Duration) *gateway.Problem {
		return &gateway.Problem{
			Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamUnavailable, Err: err, RetryAfter: after,
		}
	}
	if p.closed.Load() {
		return refuse(errClosed, 0)
	}
	if p.resolved != nil {
		select {
		case <-p.resolved:
		default:
			if problem := c.await(ctx); problem != nil {
				return problem
			}
		}
	}
	if problem := p.late(ctx); problem != nil {
		return problem
	}
	if p.maxInFlight > 0 && p.inFlight.Load() >= p.maxInFlight {
		return refuse(errFull, time.Second)
	}
	pass, ok := p.breaker.allow()
	if !ok {
		return refuse(errOpen, p.breaker.remaining())
	}
	now := p.clock.now()
	c.pass, c.entered, c.begun = pass, true, now
	if p.timeout > 0 {
		c.ends = now + int64(p.timeout)
	}
	p.inFlight.Add(1)
	p.pace.request(now, len(p.set.Load().endpoints))
	p.budget.deposit()
	p.hedges.deposit()
	return nil
}

// await waits for the resolver's first answer.
func (c *call) await(ctx context.Context) *gateway.Problem {
	select {
	case <-c.pool.resolved:
		return nil
	case <-ctx.Done():
		ended := gateway.ProblemOf(ctx.Err())
		ended.Err = fmt.Errorf("balancer: waiting for the first targets: %w", context.Cause(ctx))
		return ended
	}
}

func (c *call) run() (*http.Response, *gateway.Problem) {
	a := c.first()
	if a == nil {
		c.body.giveUp()
		c.leave(ignored)
		return nil, c.pool.unavailable(len(c.ready))
	}
	if c.mayHedge() {
		if delay := c.hedgeDelay(); delay > 0 {
			return c.runHedged(a, delay)
		}
	}
	return c.runFrom(a)
}

// runFrom makes attempts, the first of which is a, until one is the last.
func (c *call) runFrom(a *attempt) (*http.Response, *gateway.Problem) {
	for {
		res, problem := c.send(a)
		v := c.judge(a, res, problem)
		next, why := c.next(v, res)
		if next == nil {
			return c.finish(a, v.outcome, res, problem, why)
		}
		c.drop(a, v.outcome, res)
		a = next
	}
}

// judge settles what a has shown by now, and tells the log of what was no success.
func (c *call) judge(a *attempt, res *http.Response, problem *gateway.Problem) verdict {
	v := judge(res, problem)
	if v.outcome != success {
		c.state.Attempted(c.request.Context(), a.endpoint.URL(), describe(res, problem))
	}
	if v.outcome == overload {
		a.endpoint.spare(res)
	}
	a.answered(v.outcome)
	return v
}

// drop ends an attempt that another one follows.
func (c *call) drop(a *attempt, o outcome, res *http.Response) {
	c.pool.metrics.retry()
	discard(res)
	a.end(o)
}

// describe says for a log what an attempt has brought that was no success.
func describe(res *http.Response, problem *gateway.Problem) string {
	if problem != nil {
		return string(problem.Fault)
	}
	return fmt.Sprintf("status %d", res.StatusCode)
}

// leave ends a call that has no attempt to end with.
func (c *call) leave(o outcome) {
	if c.entered {
		c.entered = false
		c.pool.inFlight.Add(-1)
		c.pass.report(o)
	}
}

// send makes the attempt. Either the response or the problem is nil.
func (c *call) send(a *attempt) (*http.Response, *gateway.Problem) {
	c.count++
	return c.pool.send(c.request, c.outgoing(a), a, c.body)
}

// send sends out, which is r as it goes to a's endpoint.
func (p *Pool) send(r, out *http.Request, a *attempt, body *requestBody) (*http.Response, *gateway.Problem) {
	returned := false
	defer func() {
		if !returned { // Base has panicked, which must not leave a trial out for ever
			a.answered(failure)
			a.end(failure)
		}
	}()
	res, err := p.base.RoundTrip(out)
	returned = true
	a.try.answered()
	switch broken := body.broken(); {
	case err == nil && res != nil:
		return res, nil
	case broken != nil:
		return nil, gateway.ProblemOf(&forward.BodyError{Err: broken})
	case err == nil:
		err = errors.New("the transport returned neither a response nor an error")
	case errors.Is(context.Cause(out.Context()), errTryTimeout):
		err = errTryTimeout // whatever the transport has made of it
	}
	return nil, blame(r.Context(), a.endpoint, err, gateway.UpstreamHeader)
}

// outgoing returns the request for the attempt. It shares with the original what a
// transport must not change anyway. It may be the original: our transport for HTTP/1.1
// has forgotten one without a body by the time it returns.
func (c *call) outgoing(a *attempt) *http.Request {
	p := c.pool
	limit := c.tryLimit()
	apart := limit > 0 || a.raced
	if !apart && p.own != nil && c.given && c.body == nil && a.endpoint.base.Scheme == "http" && p.deadline.Header == "" {
		a.endpoint.aim(c.request.URL, &c.url)
		a.endpoint.name(c.request)
		c.request.Body = nil
		return c.request
	}
	o := &outgoing{}
	out := &o.request
	ctx := c.request.Context()
	if apart {
		ctx, a.try = newTry(ctx, limit)
	}
	switch {
	case p.own == nil:
		out = c.request.WithContext(exchange.Trace(ctx))
	case apart:
		out = c.request.WithContext(ctx)
	default:
		*out = *c.request
	}
	a.endpoint.aim(&o.url, c.original())
	a.endpoint.name(out)
	out.URL = &o.url
	out.Body = nil // also for NoBody: a body that is not nil can keep a transport from replaying
	if c.body != nil {
		out.Body = c.body
	}
	if p.deadline.Header != "" {
		out.Header = maps.Clone(out.Header)
		p.deadline.tell(ctx, out.Header)
	}
	return out
}

// original is the request's URL as the caller gave it.
func (c *call) original() *url.URL {
	if c.given {
		return &c.url
	}
	return c.request.URL
}

// tryLimit is how long the next attempt may take; 0: as long as the request's context.
func (c *call) tryLimit() time.Duration {
	limit := c.pool.retry.Timeout
	if c.ends > 0 {
		left := max(time.Duration(c.ends-c.pool.clock.now()), 1)
		if limit == 0 || left < limit {
			limit = left
		}
	}
	return limit
}

// finish returns what the last attempt brought, which settles it when it ends.
func (c *call) finish(a *attempt, o outcome, res *http.Response, problem *gateway.Problem, why error) (*http.Response, *gateway.Problem) {
	c.body.release()
	a.final, c.entered = true, false
	if o == success && !c.pass.trial {
		a.pass = c.pass // the body decides
	} else {
		c.pass.report(o)
	}
	if problem == nil {
		if c.pool.follower != nil {
			c.pool.follower.follow(c.request, res, a.endpoint)
		}
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
