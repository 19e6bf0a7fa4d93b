package lbsim

import "time"

// Host is what one backend is like. It may be sent as JSON to where the backend is.
type Host struct {
	Speed    float64 // how many times as fast as the requests' work says it works. Zero means 1
	FailFast bool    // it answers everything with 500 after a millisecond
	Spells   []Spell // in the order of their beginnings, and not overlapping
}

// Spell is a time in which a host is not itself. Requests are served as they are when
// their service begins.
type Spell struct {
	From, To time.Duration // since the beginning of the load
	Slower   float64       // how many times as long everything takes. Zero means 1
	Failing  float64       // share of requests that fail, after all the work was done. Zero means none
	Stopped  bool          // it does nothing at all until the end: a collection of garbage, say
}

// End returns when a request is done whose service begins at start.
func (h *Host) End(start, work time.Duration) time.Duration {
	if h.Speed > 0 {
		work = time.Duration(float64(work) / h.Speed)
	}
	if s := h.spell(start); s.Slower > 0 {
		work = time.Duration(float64(work) * s.Slower)
	}
	end := start + work
	for _, s := range h.Spells {
		if s.Stopped && s.To > start && s.From < end {
			end += s.To - max(s.From, start)
		}
	}
	return end
}

// Failing returns which share of the requests fails whose service begins at start.
func (h *Host) Failing(start time.Duration) float64 { return h.spell(start).Failing }

func (h *Host) spell(at time.Duration) Spell {
	for _, s := range h.Spells {
		if s.From <= at && at < s.To {
			return s
		}
	}
	return Spell{}
}

// power is how much work h does in a second of the first d, in seconds.
func (h *Host) power(d time.Duration) float64 {
	lost := 0.0
	for _, s := range h.Spells {
		share := float64(min(s.To, d)-min(s.From, d)) / float64(d)
		switch {
		case s.Stopped:
			lost += share
		case s.Slower > 0:
			lost += share * (1 - 1/s.Slower)
		}
	}
	if h.Speed > 0 {
		return h.Speed * (1 - lost)
	}
	return 1 - lost
}

// Power returns how much work a worker at each of hosts does in a second of the first d, in
// seconds and all together.
func Power(hosts []Host, d time.Duration) (sum float64) {
	for i := range hosts {
		sum += hosts[i].power(d)
	}
	return sum
}
