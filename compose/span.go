package compose

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// span is that of a part within the request's, so that a trace shows which part waited for
// which. The zero value is that of a request which is not recorded, as nearly none is.
type span struct{ trace.Span }

// tracerOf returns what makes the spans of parts; nil if the span of ctx is not recorded.
func tracerOf(ctx context.Context) trace.Tracer {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return nil
	}
	return parent.TracerProvider().Tracer("github.com/gatewright/gateway/compose")
}

// span begins the span of s and returns the run's context with it.
func (x *run) span(s *step) (context.Context, span) {
	if x.tracer == nil {
		return x.ctx, span{}
	}
	ctx, sp := x.tracer.Start(x.ctx, "compose "+s.name, trace.WithAttributes(attribute.String("gateway.part", s.name)))
	return ctx, span{sp}
}

// end ends the span with what became of the part. The error's text is not in it, as it may
// name an upstream.
func (sp span) end(s *step, res *result) {
	if sp.Span == nil {
		return
	}
	sp.SetAttributes(attribute.String("gateway.outcome", s.outcome(res)))
	if res.err != nil {
		sp.SetAttributes(semconv.ErrorTypeKey.String(string(res.err.problem.Fault)))
		sp.SetStatus(codes.Error, "")
	}
	sp.End()
}

// outcome says what became of s, and of a part that failed what the answer has for it.
func (s *step) outcome(res *result) string {
	switch {
	case res.skipped:
		return "skipped"
	case res.err == nil:
		return "ok"
	case res.stale:
		return "stale"
	case res.json != nil && s.fallback != nil: // with Each, for some elements
		return "default"
	case s.optional:
		return "optional"
	}
	return "failed"
}

// inject has the backend continue the part's span in place of the request's.
func (x *run) inject(ctx context.Context, h http.Header) {
	if x.tracer != nil {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
}
