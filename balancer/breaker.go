package balancer

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Breaker answers for the whole pool when its upstream fails: at once, with 503 and
// Retry-After, so that it is not waited for and has time to recover. It counts requests
// and not attempts: what a retry has made good is no failure. (What an endpoint fails
// while others do well is [Ejection]'s.)
//
// The breaker opens on Failures or on Ratio, whichever is set. After Cooldown it lets
// Trials requests through, whose response headers decide: all must succeed for it to close, one failure
// opens it again. A trial without a header for 30 seconds has failed. A client that
// leaves counts for nothing.
type Breaker struct {
	Failures    int           // in a row that open it. Zero: none do
	Ratio       float64       // share of failures within Window that opens it. Zero: none does
	MinRequests int           // within Window, for Ratio to be asked. Zero: 20
	Window      time.Duration // it rolls by tenths. Zero: 10 s
	Cooldown    time.Duration // Zero: 5 s
	Trials      int           // Zero: 3
}

func (b Breaker) check() []error {
	return []error{
		notNegative("Breaker.Failures", b.Failures), notNegative("Breaker.MinRequests", b.MinRequests),
		notNegative("Breaker.Window", b.Window), notNegative("Breaker.Cooldown", b.Cooldown),
		notNegative("Breaker.Trials", b.Trials), isShare("Breaker.Ratio", b.Ratio),
	}
}

// breaker is the state machine, and what of its state is asked without its lock.
type breaker struct {
	steps     *gobreaker.TwoStepCircuitBreaker[struct{}]
	openUntil atomic.Pointer[time.Time] // nil: closed
	changed   atomic.Pointer[EventKind] // not told yet: it happens under gobreaker's lock
	tell      func(Event)
}

// newBreaker returns nil for a Breaker that never opens.
func newBreaker(c Breaker, tell func(Event)) *breaker {
	if c.Failures == 0 && c.Ratio == 0 {
		return nil
	}
	b := &breaker{tell: tell}
	window, cooldown := cmp.Or(c.Window, 10*time.Second), cmp.Or(c.Cooldown, 5*time.Second)
	least := uint32(cmp.Or(c.MinRequests, 20))
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(cmp.Or(c.Trials, 3)),
		Interval:     window,
		BucketPeriod: window / 10,
		Timeout:      cooldown,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return c.Failures > 0 && int64(n.ConsecutiveFailures) >= int64(c.Failures) ||
				c.Ratio > 0 && n.Requests >= least && float64(n.TotalFailures) >= c.Ratio*float64(n.Requests)
		},
		// By default a context that a client cancelled counts as a failure.
		IsExcluded: func(err error) bool { return errors.Is(err, errIgnored) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				until := time.Now().Add(cooldown)
				b.openUntil.Store(&until)
				if from == gobreaker.StateClosed {
					kind := BreakerOpened
					b.changed.Store(&kind)
				}
			case gobreaker.StateClosed:
				b.openUntil.Store(nil)
				kind := BreakerClosed
				b.changed.Store(&kind)
			}
		},
	})
	return b
}

// remaining returns after what time it is worth asking again, at least a second if
// the breaker is not closed, and 0 if it is. It may be asked of nil.
func (b *breaker) remaining() time.Duration {
	if b == nil {
		return 0
	}
	until := b.openUntil.Load()
	if until == nil {
		return 0
	}
	return max(time.Until(*until), time.Second)
}

// pass is leave to make a request. Its zero value is that of a pool without a breaker.
type pass struct {
	done  func(error) // nil: nobody wants to know
	trial bool
}

// allow asks for leave to make a request. It must be reported on if it is granted.
func (b *breaker) allow() (pass, bool) {
	if b == nil {
		return pass{}, true
	}
	done, err := b.steps.Allow()
	if err != nil {
		return pass{}, false
	}
	report := func(err error) {
		done(err)
		b.flush()
	}
	// If the breaker opens between these lines, an ordinary request is taken for a
	// trial. It then reports early, to a generation that no longer counts.
	if b.openUntil.Load() == nil {
		return pass{done: report}, true
	}
	// While trials are out nobody else is let through: one that never came back would
	// close the pool for good.
	var once sync.Once
	watchdog := time.AfterFunc(trialTimeout, func() { once.Do(func() { report(errFailed) }) })
	return pass{trial: true, done: func(err error) {
		once.Do(func() {
			watchdog.Stop()
			report(err)
		})
	}}, true
}

func (b *breaker) flush() {
	if kind := b.changed.Swap(nil); kind != nil {
		b.tell(Event{Kind: *kind})
	}
}

// state is the breaker's, in a word.
func (b *breaker) state() string {
	if b == nil {
		return ""
	}
	return b.steps.State().String()
}

// What gobreaker is told of an outcome.
var (
	errIgnored = errors.New("ignored")
	errFailed  = errors.New("failed")
)

func (p pass) report(o outcome) {
	if p.done == nil {
		return
	}
	switch o {
	case success:
		p.done(nil)
	case failure:
		p.done(errFailed)
	default:
		p.done(errIgnored)
	}
}
