package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// set is the endpoints of a pool at a time. It is never changed, but replaced.
type set struct {
	endpoints []*Endpoint
	groups    []group // by priority, the first first
}

// group is the endpoints of one priority.
type group struct {
	all  []*Endpoint
	near bool // some are in the pool's zone and some in another
}

// update makes targets those of the pool. Endpoints that stay keep all that is known of
// them, and so do those that come back soon. The error is of targets that were left out; it
// is errNoTargets if none is left, and nothing has changed then.
func (p *Pool) update(targets []Target) error {
	p.mu.Lock()
	old := p.set.Load()
	next, faults := p.next(targets)
	if len(next.endpoints) == 0 {
		p.mu.Unlock()
		return errors.Join(errNoTargets, faults)
	}
	p.set.Store(next) // before the old ones are marked: a request must not find these alone
	events := p.change(old, next)
	p.forgetRemoved(next)
	p.mu.Unlock()
	for _, e := range events {
		p.emit(e)
	}
	p.checker.kick()
	return faults
}

// maxFaults is of how many targets an error speaks: it goes into logs.
const maxFaults = 10

// next returns the set of targets, and what is wrong with those that are not in it. The
// lock is held.
func (p *Pool) next(targets []Target) (*set, error) {
	next := &set{}
	seen := make(map[*Endpoint]bool, len(targets))
	var faults []error
	for _, t := range targets {
		e, err := p.endpoint(t)
		if err == nil && seen[e] {
			err = fmt.Errorf("%q is there twice", t.URL)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("balancer: target left out: %w", err))
			continue
		}
		seen[e] = true
		e.configure(t)
		next.endpoints = append(next.endpoints, e)
	}
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Errorf("balancer: %d more targets left out", more))
	}
	next.group(p.zone)
	return next, errors.Join(faults...)
}

// change marks the endpoints that come and go, and returns the events of it. The lock is
// held.
func (p *Pool) change(old, next *set) (events []Event) {
	now := p.clock.now()
	before, after := old.contents(), next.contents()
	stay := 0
	var gone []Event
	for _, e := range old.endpoints {
		if after[e] {
			stay++
			continue
		}
		e.setFlag(removed, true)
		gone = append(gone, Event{Kind: Removed, Endpoint: e})
	}
	for _, e := range next.endpoints {
		if before[e] {
			continue
		}
		events = append(events, Event{Kind: Added, Endpoint: e})
		if stay >= 2 { // or nobody would carry the load meanwhile
			e.warmUp(now)
		}
	}
	return append(events, gone...)
}

func (s *set) contents() map[*Endpoint]bool {
	in := make(map[*Endpoint]bool, len(s.endpoints))
	for _, e := range s.endpoints {
		in[e] = true
	}
	return in
}

// endpoint returns the endpoint for t, known or new. The lock is held.
func (p *Pool) endpoint(t Target) (*Endpoint, error) {
	base, err := t.parse()
	if err != nil {
		return nil, err
	}
	e := p.known[identity(base)]
	if e == nil {
		e = newEndpoint(p, base)
		p.known[e.id] = e
	}
	return e, nil
}

// maxGone is how many endpoints are remembered that are no longer targets.
const maxGone = 256

// forgetRemoved bounds what is remembered. Requests under way have their endpoint anyway,
// but one that comes back while they are must be the same. The lock is held.
func (p *Pool) forgetRemoved(next *set) {
	for id, e := range p.known {
		if len(p.known) <= len(next.endpoints)+maxGone {
			return
		}
		if e.has(removed) && e.inFlight.Load() == 0 {
			delete(p.known, id)
			p.metrics.forget(e)
		}
	}
}

// group sorts the endpoints by priority.
func (s *set) group(zone string) {
	sorted := slices.Clone(s.endpoints)
	slices.SortStableFunc(sorted, func(a, b *Endpoint) int {
		return cmp.Compare(a.Target().Priority, b.Target().Priority)
	})
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Target().Priority == sorted[0].Target().Priority {
			n++
		}
		g := group{all: sorted[:n:n]}
		away := 0
		for _, e := range g.all {
			if e.has(remote) {
				away++
			}
		}
		g.near = zone != "" && away > 0 && away < n
		s.groups = append(s.groups, g)
		sorted = sorted[n:]
	}
}
