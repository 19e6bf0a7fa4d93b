package balancer

import (
	"net/http"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// next begins another attempt if v and the limits allow one. If not, it returns the
// reason; a nil reason if there is nothing to explain.
func (c *call) next(v verdict, res *http.Response) (*attempt, error) {
	switch {
	case v.replay == never || c.request.Context().Err() != nil:
		return nil, nil
	case c.count >= c.pool.retry.Attempts:
		return nil, errAttempts
	case c.pool.late(c.request.Context()) != nil, c.ends > 0 && c.pool.clock.now() >= c.ends:
		return nil, errNoTime
	}
	if err := c.mayReplay(v.replay); err != nil {
		return nil, err
	}
	now := c.pool.clock.now()
	other := c.gather(now)
	wait := time.Duration(0)
	if !other {
		var err error
		if wait, err = c.patience(v, res); err != nil {
			return nil, err
		}
		if !c.startOver(now) {
			return nil, errNoOther
		}
	}
	if free := other && v.replay == unsent; !free && !c.pool.budget.withdraw() {
		return nil, errBudget
	}
	return c.again(other, wait)
}

// patience returns how long to wait before an endpoint is asked that was asked before.
func (c *call) patience(v verdict, res *http.Response) (time.Duration, error) {
	if v.replay != elsewhere {
		return backoff(c.repeats), nil
	}
	// It has said when; and somebody must have said how long there is to wait.
	wait, ok := field.RetryAfter(res.Header)
	deadline, limited := c.request.Context().Deadline()
	if c.ends > 0 {
		limited, deadline = true, earlier(limited, deadline, c.pool.clock.start.Add(time.Duration(c.ends)))
	}
	if !ok || !limited || time.Until(deadline) <= wait+leastTime {
		return 0, errNoOther
	}
	return wait, nil
}

func earlier(known bool, a, b time.Time) time.Time {
	if known && a.Before(b) {
		return a
	}
	return b
}

// mayReplay returns why the request must not be sent again, or nil.
func (c *call) mayReplay(r replay) error {
	switch {
	case r != unsent && !repeatable(c.request):
		return errNotIdempotent
	case !c.body.replayable() && c.request.GetBody == nil:
		return errBodyRead
	}
	return nil
}

// startOver makes endpoints ready that were tried, and reports whether there are any.
func (c *call) startOver(now int64) bool {
	c.tried = c.tried[:0]
	c.repeats++
	return c.gather(now)
}

// again begins the next attempt: at once if it is at another endpoint.
func (c *call) again(other bool, wait time.Duration) (*attempt, error) {
	if c.ends > 0 {
		wait = min(wait, c.pool.clock.until(c.ends))
	}
	if !other && !sleep(c.request.Context(), wait) {
		return nil, nil
	}
	if c.given {
		*c.request.URL, c.request.Host = c.url, c.host // as the balancer saw them before
	}
	a := c.pick(c.pool.clock.now())
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
