package balancer

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
)

// Hedge sends a request a second time, to another endpoint, when the first answer takes
// longer than most do; the answer that comes first counts, and the other request is
// cancelled. It is for GET and HEAD without a body, and helps against pauses of single
// endpoints, above all where an answer is made of many. Against requests that are slow by
// themselves it does nothing.
//
// There is no hedge before a hundred requests were answered, but with Delay; nor while an endpoint is
// ejected or the breaker is not closed: it would add load where there is too much.
type Hedge struct {
	// After is the share of responses that are there by the time that a second request is
	// sent; it is taken from the pool's last ten to twenty seconds. Zero means that none
	// is ever sent; 0.95 is what is right for nearly everyone.
	After float64

	// Delay is after what time a second request is sent, where it is known better than
	// After can tell. It needs no responses to learn from, and must be 0 if After is set.
	Delay time.Duration

	// Budget is how many more requests there may be, as a share of all; up to 10 can be
	// saved. Zero means 0.1: as many again as After makes of itself, for when several
	// endpoints pause at a time.
	Budget float64
}

const (
	defaultHedgeBudget = 0.1
	maxSavedHedges     = 10
	minHedgeDelay      = 2 * time.Millisecond
)

func (h Hedge) check() []error {
	faults := []error{
		isShare("Hedge.After", h.After), isShare("Hedge.Budget", h.Budget), notNegative("Hedge.Delay", h.Delay),
	}
	switch {
	case h.After > 0 && h.Delay > 0:
		faults = append(faults, errors.New("balancer: Hedge has both After and Delay"))
	case !h.on() && h.Budget > 0:
		faults = append(faults, errors.New("balancer: Hedge has a Budget and neither After nor Delay"))
	}
	return faults
}

func (h Hedge) on() bool { return h.After > 0 || h.Delay > 0 }

func (h Hedge) withDefaults() Hedge {
	if h.Budget == 0 {
		h.Budget = defaultHedgeBudget
	}
	return h
}

// hedgeBudget is in thousandths of a hedge. It may be nil, which has none.
type hedgeBudget struct {
	share int64
	saved atomic.Int64
}

func newHedgeBudget(h Hedge) *hedgeBudget {
	if !h.on() {
		return nil
	}
	return &hedgeBudget{share: int64(h.Budget * 1000)}
}

func (b *hedgeBudget) deposit() {
	if b == nil {
		return
	}
	if n := b.saved.Load(); n < maxSavedHedges*1000 {
		b.saved.Add(b.share)
	}
}

func (b *hedgeBudget) withdraw() bool {
	if b.saved.Add(-1000) >= 0 {
		return true
	}
	b.saved.Add(1000)
	return false
}

func (c *call) mayHedge() bool {
	p := c.pool
	return p.hedges != nil && c.body == nil && p.breaker.remaining() == 0 &&
		(c.request.Method == http.MethodGet || c.request.Method == http.MethodHead || c.request.Method == "") &&
		c.request.Header["Upgrade"] == nil
}

// hedgeDelay is after what time another request is sent; 0: never.
func (c *call) hedgeDelay() time.Duration {
	p := c.pool
	for _, e := range p.set.Load().endpoints {
		if e.ejected.Load() != 0 {
			return 0
		}
	}
	if p.hedge.Delay > 0 {
		return p.hedge.Delay
	}
	d := p.durations.quantile(p.hedge.After, p.clock.now())
	if d == 0 {
		return 0
	}
	return max(d, minHedgeDelay)
}

// arrival is what an attempt has brought that ran on a goroutine of its own.
type arrival struct {
	attempt  *attempt
	res      *http.Response
	problem  *gateway.Problem
	panicked any // what Base has panicked with
}

// runHedged makes the attempt a, and another if a takes longer than delay.
func (c *call) runHedged(a *attempt, delay time.Duration) (*http.Response, *gateway.Problem) {
	arrivals := make(chan arrival, 2) // whoever comes second does not wait
	c.launch(a, arrivals)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	var other *attempt
	var first arrival
	select {
	case first = <-arrivals:
	case <-timer.C:
		if other = c.second(); other != nil {
			other.asked = a.started
			c.launch(other, arrivals)
		}
		first = <-arrivals
	}
	if other == nil {
		return c.resume(first)
	}
	if judge(first.res, first.problem).outcome != success || first.panicked != nil {
		// It was the faster one only because it failed.
		second := <-arrivals
		if judge(second.res, second.problem).outcome == success && second.panicked == nil {
			first, second = second, first
		}
		c.settle(second)
		return c.resume(first)
	}
	loser := a
	if first.attempt == a {
		loser = other
	}
	loser.try.cancel(errLost)
	go func() { lose(<-arrivals) }()
	return c.resume(first)
}

var errLost = errors.New("balancer: the other request was answered first")

// second begins the second attempt, if there are another endpoint and the means for it.
func (c *call) second() *attempt {
	now := c.pool.clock.now()
	if !c.gather(now) || c.panics || !c.pool.hedges.withdraw() {
		return nil
	}
	b := c.pick(now)
	if b == nil {
		return nil
	}
	c.pool.metrics.hedge()
	return b
}

// launch makes an attempt on a goroutine of its own, which knows nothing of c.
func (c *call) launch(a *attempt, arrivals chan<- arrival) {
	c.count++
	a.raced = true
	p, r, out := c.pool, c.request, c.outgoing(a)
	go func() {
		got := arrival{attempt: a}
		defer func() {
			if got.panicked = recover(); got.panicked != nil {
				got.problem = &gateway.Problem{Err: fmt.Errorf("panic: %v", got.panicked)}
			}
			arrivals <- got
		}()
		got.res, got.problem = p.send(r, out, a, nil)
	}()
}

// resume goes on with an attempt as if it were the only one so far.
func (c *call) resume(got arrival) (*http.Response, *gateway.Problem) {
	if got.panicked != nil {
		panic(got.panicked)
	}
	v := c.judge(got.attempt, got.res, got.problem)
	next, why := c.next(v, got.res)
	if next == nil {
		return c.finish(got.attempt, v.outcome, got.res, got.problem, why)
	}
	c.drop(got.attempt, v.outcome, got.res)
	return c.runFrom(next)
}

// settle ends an attempt that has failed beside another.
func (c *call) settle(got arrival) {
	if got.panicked != nil {
		return // send has settled it
	}
	v := c.judge(got.attempt, got.res, got.problem)
	discard(got.res)
	got.attempt.end(v.outcome)
}

// lose ends the attempt that came second. That it was cancelled says nothing about its
// endpoint, unless it has taken longer than others.
func lose(got arrival) {
	if got.panicked != nil {
		return
	}
	got.attempt.answered(ignored)
	if got.res != nil && got.res.Body != nil {
		got.res.Body.Close()
	}
	got.attempt.end(ignored)
}
