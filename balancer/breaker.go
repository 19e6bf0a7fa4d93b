package balancer

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Breaker keeps requests away from an endpoint that fails. Each endpoint has one.
// It opens after Failures failures in a row; after Cooldown it lets one request
// through as a trial, whose response header decides: success closes it, failure
// opens it again. A trial without a header for 30 seconds has failed. The package
// documentation says what a failure is.
type Breaker struct {
	// Failures is how many failures in a row open the breaker. Zero means none do.
	Failures int

	// Cooldown is how long it stays open before a trial. Zero means 10 seconds.
	Cooldown time.Duration
}

const (
	defaultCooldown = 10 * time.Second
	trialTimeout    = 30 * time.Second
)

// breaker is the state machine, and what of its state is asked for each request and
// must not cost a lock.
type breaker struct {
	steps     *gobreaker.TwoStepCircuitBreaker[struct{}]
	openUntil atomic.Pointer[time.Time] // nil: closed
	trial     atomic.Bool               // one is under way
}

func newBreaker(c Breaker) *breaker {
	if c.Failures == 0 {
		return nil
	}
	b := &breaker{}
	cooldown := cmp.Or(c.Cooldown, defaultCooldown)
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     cooldown,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(c.Failures) },
		// By default a context that a client cancelled counts as a failure.
		IsExcluded: func(err error) bool { return errors.Is(err, errIgnored) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				until := time.Now().Add(cooldown)
				b.openUntil.Store(&until)
			case gobreaker.StateClosed:
				b.openUntil.Store(nil)
			}
		},
	})
	return b
}

func (b *breaker) ready() bool {
	until := b.openUntil.Load()
	return until == nil || !b.trial.Load() && time.Now().After(*until)
}

// remaining returns after what time it is worth asking again, at least a second if
// the breaker is not closed, and 0 if it is.
func (b *breaker) remaining() time.Duration {
	until := b.openUntil.Load()
	if until == nil {
		return 0
	}
	return max(time.Until(*until), time.Second)
}

// allow asks for leave to make an attempt: done is nil if it is refused, and must be
// called once otherwise.
func (b *breaker) allow() (done func(error), trial bool) {
	done, err := b.steps.Allow()
	if err != nil {
		return nil, false
	}
	// If the breaker opens between these lines, an ordinary attempt is taken for a
	// trial. It then reports early, to a generation that no longer counts.
	if trial = b.openUntil.Load() != nil; trial {
		b.trial.Store(true)
	}
	return done, trial
}

// What gobreaker is told of an outcome.
var (
	errIgnored = errors.New("ignored")
	errFailed  = errors.New("failed")
)

func (o outcome) err() error {
	switch o {
	case ignored:
		return errIgnored
	case failure:
		return errFailed
	}
	return nil
}
