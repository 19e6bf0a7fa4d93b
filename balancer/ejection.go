package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Ejection takes an endpoint out that fails the requests it is given, whatever its health
// check says. It comes back with one request as a trial, which must be one that can be
// sent again if it fails, and then slowly ([Config].SlowStart). An endpoint that answers
// 429, or 503 with Retry-After, is spared but not ejected: its load would bring down the
// others.
//
// Only an endpoint is ejected that fails more than twice as often as the others: where all
// fail alike it is the upstream, and fewer of its endpoints would do no better.
//
// The zero value ejects by its defaults. A pool of one endpoint ejects nothing.
type Ejection struct {
	Off         bool          // nothing is ejected
	Failures    int           // in a row that eject. Zero: 5
	Ratio       float64       // share of failures within Window that ejects. Zero: 0.5
	MinRequests int           // within Window, for Ratio to be asked. Zero: 20
	Window      time.Duration // Zero: 10 s
	Time        time.Duration // of the first ejection, give or take a tenth; n times as long for the nth in a row. Zero: 10 s
	MaxTime     time.Duration // of any. Zero: 5 min
	MaxShare    float64       // of the endpoints that may be out at a time, but one in any case. Zero: 0.5
}

// trialTimeout is how long a trial may take to bring a response's header. One that never
// came back would keep the endpoint out for good.
const trialTimeout = 30 * time.Second

func (j Ejection) check() []error {
	faults := []error{
		notNegative("Ejection.Failures", j.Failures), notNegative("Ejection.MinRequests", j.MinRequests),
		notNegative("Ejection.Window", j.Window), notNegative("Ejection.Time", j.Time),
		notNegative("Ejection.MaxTime", j.MaxTime),
		isShare("Ejection.Ratio", j.Ratio), isShare("Ejection.MaxShare", j.MaxShare),
	}
	if j.Off && j != (Ejection{Off: true}) {
		faults = append(faults, errors.New("balancer: Ejection is off and has settings"))
	}
	return faults
}

func (j Ejection) withDefaults() Ejection {
	j.Failures = cmp.Or(j.Failures, 5)
	j.Ratio = cmp.Or(j.Ratio, 0.5)
	j.MinRequests = cmp.Or(j.MinRequests, 20)
	j.Window = cmp.Or(j.Window, 10*time.Second)
	j.Time = cmp.Or(j.Time, 10*time.Second)
	j.MaxTime = max(j.Time, cmp.Or(j.MaxTime, 5*time.Minute))
	j.MaxShare = cmp.Or(j.MaxShare, 0.5)
	return j
}

// outlier is what decides on an endpoint's ejection.
type outlier struct {
	row       atomic.Int64  // failures in a row
	begun     atomic.Int64  // when the window began
	tally     atomic.Uint64 // within it: requests << 32 | failures
	failing   atomic.Uint32 // share of its requests that failed, of late: a decaying mean, in 2^-20
	trialEnds atomic.Int64  // when the trial under way is given up

	// Guarded by the pool's lock.
	times    int   // ejections in a row
	returned int64 // when the last one ended
}

// count takes what a whole attempt has shown, and ejects.
func (e *Endpoint) count(o outcome, now int64) {
	if o != success && o != failure {
		return
	}
	e.tell(o)
	j := &e.pool.ejection
	if j.Off || e.ejected.Load() != 0 {
		return
	}
	if begun := e.begun.Load(); now-begun > int64(j.Window) && e.begun.CompareAndSwap(begun, now) {
		e.tally.Store(0)
	}
	if o == success {
		e.tally.Add(1 << 32)
		if e.row.Load() != 0 {
			e.row.Store(0)
		}
		return
	}
	row, tally := e.row.Add(1), e.tally.Add(1<<32|1)
	requests, failures := tally>>32, tally&(1<<32-1)
	switch {
	case row >= int64(j.Failures) && e.pool.exceptional(e):
		e.pool.eject(e, now, fmt.Errorf("%d failures in a row", row))
	case requests >= uint64(j.MinRequests) && float64(failures) >= j.Ratio*float64(requests) && e.pool.exceptional(e):
		e.pool.eject(e, now, fmt.Errorf("%d of %d requests failed", failures, requests))
	}
}

// certain is a share of failing of 1.
const certain = 1 << 20

// tell has failing be a mean over about 32 outcomes. One may be lost between two
// goroutines, which is no harm.
func (e *Endpoint) tell(o outcome) {
	f := e.failing.Load()
	if o == failure {
		e.counts.failures.Add(1)
		e.failing.Store(f + (certain-f)>>5)
	} else if f != 0 {
		e.failing.Store(f - (f+31)>>5)
	}
}

// exceptional reports whether e fails more than twice as often as those that would take
// over its load. If it does not, it is the upstream that fails, or is asked for too much, and
// to take endpoints out would bring down the others: with half of them out, an upstream
// that was at 70 % of what it can do does not come back by itself.
func (p *Pool) exceptional(e *Endpoint) bool {
	n, sum := uint64(0), uint64(0)
	for _, other := range p.set.Load().endpoints {
		if other != e && other.ejected.Load() == 0 {
			n++
			sum += uint64(other.failing.Load())
		}
	}
	return n*uint64(e.failing.Load()) > 2*sum
}

// eject takes e out if enough others remain, or lengthens its ejection after a trial.
func (p *Pool) eject(e *Endpoint, now int64, why error) {
	p.mu.Lock()
	if until := e.ejected.Load(); until > now || until == 0 && !p.maySpare(e) {
		p.mu.Unlock()
		return
	}
	j := &p.ejection
	if e.ejected.Load() == 0 { // time that it did well makes up for earlier ejections
		e.times = max(0, e.times-int((now-e.returned)/int64(j.Time)))
	}
	e.times++
	d := min(j.Time*time.Duration(e.times), j.MaxTime)
	d = d*9/10 + rand.N(d/5+1)
	e.row.Store(0)
	e.tally.Store(0)
	e.ejected.Store(now + int64(d))
	e.setFlag(onTrial, false)
	e.counts.ejections.Add(1)
	p.mu.Unlock()
	p.emit(Event{Kind: Ejected, Endpoint: e, Err: fmt.Errorf("%w, out for %v", why, d.Round(time.Millisecond))})
}

// maySpare reports whether the others can do without e. The lock is held.
func (p *Pool) maySpare(e *Endpoint) bool {
	out, all := 0, p.set.Load().endpoints
	for _, other := range all {
		if other != e && other.ejected.Load() != 0 {
			out++
		}
	}
	limit := max(1, int(p.ejection.MaxShare*float64(len(all))))
	return len(all) > 1 && out < limit
}

// trialDue reports whether e's ejection is over, and nobody is trying it yet.
func (e *Endpoint) trialDue(now int64) bool {
	until := e.ejected.Load()
	if until == 0 || now < until || e.flags.Load()&(unhealthy|draining|removed) != 0 {
		return false
	}
	return !e.has(onTrial) || now > e.trialEnds.Load()
}

// takeTrial reports whether the caller's is the trial now.
func (e *Endpoint) takeTrial(now int64) bool {
	ends := e.trialEnds.Load()
	if e.has(onTrial) && now <= ends || !e.trialEnds.CompareAndSwap(ends, now+int64(trialTimeout)) {
		return false
	}
	e.setFlag(onTrial, true)
	return true
}

// tried ends a trial by what it has shown.
func (p *Pool) tried(e *Endpoint, o outcome, now int64) {
	switch o {
	case success:
		p.readmit(e, now)
	case failure:
		p.eject(e, now, errors.New("its trial failed"))
	default:
		e.setFlag(onTrial, false)
	}
}

func (p *Pool) readmit(e *Endpoint, now int64) {
	p.mu.Lock()
	was := e.ejected.Swap(0) != 0
	e.returned = now
	e.setFlag(onTrial, false)
	p.mu.Unlock()
	if was {
		e.forget()
		e.warmUp(now)
		p.emit(Event{Kind: Returned, Endpoint: e})
	}
}
