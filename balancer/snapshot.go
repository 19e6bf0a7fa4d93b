package balancer

import (
	"time"
)

// Snapshot is what a [Pool] knows at a time. Its values were read one after the other, so
// they may not add up.
type Snapshot struct {
	Endpoints []EndpointSnapshot // in the order of the targets

	InFlight    int64         // requests under way
	Rate        float64       // requests a second, of late
	Retries     float64       // that may be made now
	Panics      int64         // requests that were sent while too few endpoints were well
	Breaker     string        // "closed", "open" or "half-open"; empty: there is none
	BreakerWait time.Duration // until it is asked again; zero: it is closed
	Draining    bool          // the pool is closed
}

// EndpointSnapshot is what a pool knows of an endpoint.
type EndpointSnapshot struct {
	Target
	Ready      bool
	Why        string        // why it is not ready: "unhealthy", "ejected", "draining", "full", ...; empty: it is
	InFlight   int64         // requests under way
	Latency    time.Duration // see [Endpoint.Latency]
	Weight     float64       // see [Endpoint.Weight]
	EjectedFor time.Duration // until its trial. Zero: it is not ejected, or due
	SparedFor  time.Duration // as it has asked by Retry-After. Zero: it has not
	Attempts   int64         // requests sent to it so far
	Failures   int64         // of these
	Ejections  int64         // so far
}

// Snapshot returns what the pool knows. It takes no lock.
func (p *Pool) Snapshot() Snapshot {
	s := Snapshot{
		InFlight:    p.inFlight.Load(),
		Rate:        p.pace.rateAt(p.clock.now()),
		Retries:     float64(p.budget.saved.Load()) / retryCost,
		Panics:      p.panics.Load(),
		Breaker:     p.breaker.state(),
		BreakerWait: p.breaker.remaining(),
		Draining:    p.closed.Load(),
	}
	now := p.clock.now()
	for _, e := range p.set.Load().endpoints {
		s.Endpoints = append(s.Endpoints, e.snapshot(now))
	}
	return s
}

func (e *Endpoint) snapshot(now int64) EndpointSnapshot {
	s := EndpointSnapshot{
		Target:    e.Target(),
		Why:       e.condition(now),
		InFlight:  e.inFlight.Load(),
		Latency:   time.Duration(e.latencyAt(now)),
		Weight:    e.weightAt(now),
		Attempts:  e.counts.attempts.Load(),
		Failures:  e.counts.failures.Load(),
		Ejections: e.counts.ejections.Load(),
	}
	s.Ready = s.Why == ""
	if until := e.ejected.Load(); until > now {
		s.EjectedFor = time.Duration(until - now)
	}
	if until := e.backOff.Load(); until > now {
		s.SparedFor = time.Duration(until - now)
	}
	return s
}

// condition says why e is not ready; empty if it is.
func (e *Endpoint) condition(now int64) string {
	flags := e.flags.Load()
	switch {
	case flags&removed != 0:
		return "removed"
	case flags&draining != 0:
		return "draining"
	case flags&unhealthy != 0:
		return "unhealthy"
	case flags&onTrial != 0 && now <= e.trialEnds.Load():
		return "on trial"
	case e.ejected.Load() != 0:
		return "ejected"
	case e.full():
		return "full"
	}
	return ""
}
