package exchange

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Attempts are those for one request that were no success. Unlike the rest of the state
// it may be written by several goroutines.
type Attempts struct {
	mu   sync.Mutex
	list []string
}

// maxAttempts are kept of a request.
const maxAttempts = 32

// Attempted adds an attempt at an upstream, which brought what it says, to what the log
// and the span of ctx tell. s may be nil.
func (s *State) Attempted(ctx context.Context, upstream, what string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("upstream.attempt", trace.WithAttributes(
			attribute.String("upstream", upstream), attribute.String("outcome", what)))
	}
	if s == nil || s.Attempts == nil {
		return
	}
	s.Attempts.mu.Lock()
	defer s.Attempts.mu.Unlock()
	if len(s.Attempts.list) < maxAttempts {
		s.Attempts.list = append(s.Attempts.list, upstream+": "+what)
	}
}

// List returns the attempts, in the order in which they ended. It may be asked of nil.
func (a *Attempts) List() []string {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}
