package balancer

import (
	"slices"
)

// first begins the first attempt: a trial of an endpoint that comes back from its
// ejection, if the request can go elsewhere when that fails, and otherwise what the
// balancer picks.
func (c *call) first() *attempt {
	now := c.begun
	for _, e := range c.pool.set.Load().endpoints {
		if e.trialDue(now) && !e.full() && c.mayTry(e, now) {
			if a := c.pool.begin(e, now); a != nil {
				c.tried = append(c.tried, e)
				return a
			}
		}
	}
	c.gather(now)
	return c.pick(now)
}

// mayTry reports whether the call may be the trial of e, which is due: if it can be sent
// again should that fail. Where no call can, or none has come for as long as an ejection
// lasts, any is: an endpoint must not be out for good because a pool does not retry, or
// only gets POSTs.
func (c *call) mayTry(e *Endpoint, now int64) bool {
	p := c.pool
	return p.retry.Attempts == 1 || repeatable(c.request) && c.body.replayable() ||
		now-e.ejected.Load() > int64(p.ejection.Time)
}

// gather collects the endpoints that may be asked and were not tried yet: of the first
// group that is well and has any, or, if no group is well, all of the one that is the
// least ill. It reports whether there are any.
func (c *call) gather(now int64) bool {
	for {
		s := c.pool.set.Load()
		if c.gatherOf(s.groups, now) {
			return true
		}
		if c.pool.set.Load() == s { // or all of these may have been removed meanwhile
			return false
		}
	}
}

func (c *call) gatherOf(groups []group, now int64) bool {
	c.panics = false
	worst, most, well := -1, -1, false
	for i := range groups {
		usable, all := c.collect(&groups[i], now, false)
		if all == 0 {
			continue
		}
		if float64(usable) >= c.pool.panicShare*float64(all) && usable > 0 {
			if len(c.ready) > 0 {
				return true
			}
			well = true // they are busy, or were all tried
		}
		if usable > most {
			worst, most = i, usable
		}
	}
	c.ready = c.ready[:0]
	if worst < 0 || well {
		return false
	}
	c.panics = c.pool.panicShare > 0
	c.collect(&groups[worst], now, c.panics)
	return len(c.ready) > 0
}

// collect makes ready what of g may be asked. It returns how many endpoints are well, and
// how many there are.
func (c *call) collect(g *group, now int64, panics bool) (usable, all int) {
	c.ready, c.spare = c.ready[:0], c.spare[:0]
	for _, e := range g.all {
		if e.flags.Load()&(draining|removed) != 0 {
			continue
		}
		all++
		well := e.usable()
		if well {
			usable++
		}
		switch {
		case !well && !panics, slices.Contains(c.tried, e), e.full():
		case e.backOff.Load() > now:
			c.spare = append(c.spare, e)
		default:
			c.ready = append(c.ready, e)
		}
	}
	if len(c.ready) == 0 {
		// They all want to be spared: the request is theirs to refuse.
		c.ready, c.spare = c.spare, c.ready
	}
	if g.near && !c.pool.zoned {
		c.stayNear(g)
	}
	return usable, all
}

// stayNear leaves only the endpoints in the pool's zone if these are enough: at least half
// of what there are of them.
func (c *call) stayNear(g *group) {
	here, ready := 0, 0
	for _, e := range g.all {
		if !e.has(remote) {
			here++
		}
	}
	for _, e := range c.ready {
		if !e.has(remote) {
			ready++
		}
	}
	if ready > 0 && 2*ready >= here {
		c.ready = slices.DeleteFunc(c.ready, func(e *Endpoint) bool { return e.has(remote) })
	}
}

// pick begins an attempt at an endpoint that the balancer chooses, or returns nil.
func (c *call) pick(now int64) *attempt {
	for len(c.ready) > 0 {
		e := c.pool.balancer.Pick(c.request, c.ready)
		i := slices.Index(c.ready, e)
		if i < 0 {
			return nil
		}
		if a := c.pool.begin(e, now); a != nil {
			if c.panics && !c.panicked {
				c.panicked = true
				c.pool.panics.Add(1)
			}
			c.tried = append(c.tried, e)
			return a
		}
		c.ready = slices.Delete(c.ready, i, i+1) // it is full since
	}
	return nil
}
