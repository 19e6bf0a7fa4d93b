package cache

import (
	"time"
)

// Outcome is what became of a request in a cache, in a word for a metric's label.
type Outcome string

// The outcomes.
const (
	Hit         Outcome = "hit"         // answered from the store
	Stale       Outcome = "stale"       // answered from the store by what is no longer fresh
	Revalidated Outcome = "revalidated" // answered from the store, as the origin says that it still holds
	Miss        Outcome = "miss"        // answered by the origin
	Bypass      Outcome = "bypass"      // the cache had no part in it
)

// Result is what became of a request in a cache, and why.
type Result struct {
	Outcome   Outcome
	Reason    string        // why the origin was asked, why the cache had no part, or why the response was not stored; empty: there is none
	Collapsed bool          // another request's fetch has brought the answer
	Age       time.Duration // of what was stored; zero: nothing was

	detail string // for Cache-Status; empty: from the others
}

// status is the parameters of Cache-Status (RFC 9211) for what is no plain hit.
func (r *Result) status() string {
	s := r.detail
	if s == "" {
		s = "fwd=" + r.Reason
	}
	if r.Collapsed {
		s += "; collapsed"
	}
	return s
}
