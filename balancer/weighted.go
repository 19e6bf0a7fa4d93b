package balancer

import (
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// WeightedRoundRobin returns a balancer that takes the ready endpoints in turn, each as
// often as its weight says and as evenly spread as can be: of weights 5, 1 and 1 it makes
// a a b a a c a, and none is ever much more than one request ahead of its share, or
// behind. It starts at a random place. Like [RoundRobin] it knows nothing of load. It
// belongs to one pool.
func WeightedRoundRobin() Balancer { return &weightedRoundRobin{} }

// The order is that of EEVDF (Stoica and Abdel-Wahab 1995; Linux' scheduler): of those that
// have not had more than their share by now, the one whose share is used up first.
// Nobody waits: who has lost the race for an endpoint looks again.
type weightedRoundRobin struct{ turns atomic.Pointer[turns] }

// turns is whose turn it is among the endpoints of a set. Its time is virtual: in one unit
// of it an endpoint of weight 1 gets one request. It may overflow, only differences count.
type turns struct {
	set *set
	of  []turn // in the order in which the pool offers the endpoints
	_   [64]byte
	now atomic.Int64
	_   [56]byte
}

// turn is that of one endpoint.
type turn struct {
	endpoint *Endpoint
	weight   float64
	period   int64        // at that weight
	begin    atomic.Int64 // when it may have its next request
}

const unit = 1 << 40

func (b *weightedRoundRobin) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	if len(ready) == 1 {
		return ready[0]
	}
	p := ready[0].pool
	t := b.turns.Load()
	if s := p.set.Load(); t == nil || t.set != s {
		t = newTurns(s, t)
		b.turns.Store(t) // if others do the same meanwhile, one of them stays: all are good
	}
	for now := p.clock.now(); ; {
		if e := t.take(ready, now); e != nil {
			return e
		}
	}
}

// newTurns goes on where old was, which may be nil.
func newTurns(s *set, old *turns) *turns {
	t := &turns{set: s, of: make([]turn, 0, len(s.endpoints))}
	sum, begins := 0.0, 0.0
	for _, g := range s.groups {
		for _, e := range g.all {
			w := math.Float64frombits(e.weight.Load())
			t.of = append(t.of, turn{endpoint: e, weight: w, period: period(w)})
			c := &t.of[len(t.of)-1]
			c.begin.Store(stagger(c.period))
			sum += w
			begins += w * float64(c.begin.Load())
		}
	}
	// So that those which may begin are neither all nor none.
	t.now.Store(int64(begins / sum))
	if old != nil {
		t.resume(old)
	}
	return t
}

// resume takes over how far old is.
func (t *turns) resume(old *turns) {
	forward := old.now.Load() - t.now.Load()
	t.now.Add(forward)
	for i := range t.of {
		c := &t.of[i]
		if j := old.find(c.endpoint, i); j >= 0 {
			c.begin.Store(old.of[j].begin.Load())
		} else {
			c.begin.Add(forward)
		}
	}
}

// find returns where e is, looking there from a place on; -1 if it is nowhere.
func (t *turns) find(e *Endpoint, from int) int {
	for i := from; i < len(t.of); i++ {
		if t.of[i].endpoint == e {
			return i
		}
	}
	for i := range min(from, len(t.of)) {
		if t.of[i].endpoint == e {
			return i
		}
	}
	return -1
}

// period is the time from one request to the next. Rounded up, it never adds up to less
// than the time that goes by, in which case all would always be due.
func period(weight float64) int64 { return int64(unit/weight) + 1 }

// stagger is anywhere from half a period ago to half a period ahead.
func stagger(period int64) int64 { return rand.Int64N(period) - period/2 }

// take returns the endpoint whose turn it is, or nil if that has been taken meanwhile.
func (t *turns) take(ready []*Endpoint, now int64) *Endpoint {
	virtual := t.now.Load()
	var due, next *turn // the first to end of those that may begin, and the first to begin
	var dueBegin, dueEnd, nextBegin, nextEnd int64
	sum, from := 0.0, 0
	for _, e := range ready {
		i := from
		if i >= len(t.of) || t.of[i].endpoint != e {
			if i = t.find(e, i); i < 0 {
				continue // it has left the set since it was offered
			}
		}
		from = i + 1
		c := &t.of[i]
		weight, period := c.at(now)
		sum += weight
		begin := c.begin.Load() - virtual
		if begin < -2*period || begin > period {
			begin = c.settle(begin, period, virtual)
		}
		if begin <= 0 && (due == nil || begin+period < dueEnd) {
			due, dueBegin, dueEnd = c, begin, begin+period
		}
		if next == nil || begin < nextBegin {
			next, nextBegin, nextEnd = c, begin, begin+period
		}
	}
	if next == nil {
		return ready[0] // they have all left
	}
	if due == nil { // those that were behind have left
		due, dueBegin, dueEnd = next, nextBegin, nextEnd
		t.now.CompareAndSwap(virtual, virtual+nextBegin)
	}
	if !due.begin.CompareAndSwap(virtual+dueBegin, virtual+dueEnd) {
		return nil
	}
	t.now.Add(int64(unit / sum))
	return due.endpoint
}

// at returns the weight and the period at a time.
func (c *turn) at(now int64) (weight float64, period int64) {
	if c.endpoint.warmFrom.Load() == 0 {
		return c.weight, c.period
	}
	return c.warming(now)
}

func (c *turn) warming(now int64) (float64, int64) {
	w := c.endpoint.weightAt(now)
	return w, period(w)
}

// settle returns when an endpoint begins that is out of step. One that was away, and so is
// far behind, is not given at once all that it has missed; and one that is far ahead, having
// had its last request at a lower weight, waits no longer than the new one says.
func (c *turn) settle(begin, period, virtual int64) int64 {
	to := period
	if begin < 0 {
		to = stagger(period)
	}
	c.begin.CompareAndSwap(virtual+begin, virtual+to)
	return to
}
