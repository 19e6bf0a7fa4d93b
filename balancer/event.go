package balancer

// Event is something that has changed in a [Pool].
type Event struct {
	Kind     EventKind
	Endpoint *Endpoint // whom it has happened to; nil: the pool as a whole
	Err      error     // why; nil: there is no more to say
}

// EventKind says what has happened. Its values are words for a log or a label.
type EventKind string

// The kinds of events.
const (
	Added         EventKind = "added"          // a target came
	Removed       EventKind = "removed"        // a target went; its requests under way end
	Healthy       EventKind = "healthy"        // the active check passes again
	Unhealthy     EventKind = "unhealthy"      // the active check fails
	Ejected       EventKind = "ejected"        // it failed too often
	Returned      EventKind = "returned"       // from its ejection
	Draining      EventKind = "draining"       // by Endpoint.Drain
	Resumed       EventKind = "resumed"        // by Endpoint.Resume
	BreakerOpened EventKind = "breaker_opened" // of the pool
	BreakerClosed EventKind = "breaker_closed" // of the pool
	ResolveFailed EventKind = "resolve_failed" // the targets stay what they were
)

// emit tells the hook. No lock may be held.
func (p *Pool) emit(e Event) {
	if p.onEvent != nil {
		p.onEvent(e)
	}
}
