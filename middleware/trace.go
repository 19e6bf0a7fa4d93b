package middleware

import (
	"errors"
	"net/http"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Trace returns a middleware that makes a server span of each request, by the
// OpenTelemetry conventions for HTTP. It continues the trace that the client began
// (W3C Trace Context) and writes the span into the request's traceparent, so that
// backends continue it in turn. The query and the header are not recorded, as they
// may hold secrets. It panics if the provider is nil.
func Trace(provider trace.TracerProvider) gateway.Middleware {
	if provider == nil {
		panic(errors.New("middleware: trace: nil provider"))
	}
	tracer := provider.Tracer(scope)
	var w3c propagation.TraceContext
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			carrier := propagation.HeaderCarrier(r.Header)
			ctx, span := tracer.Start(w3c.Extract(r.Context(), carrier), spanName(r),
				trace.WithSpanKind(trace.SpanKindServer),
				trace.WithAttributes(samplingAttrs(r)...))
			w3c.Inject(ctx, carrier)
			if span.IsRecording() { // nearly none is
				span.SetAttributes(requestAttrs(r)...)
			}
			observe(next, x, r.WithContext(ctx), func(status int, _ bool) { endSpan(span, x, status) })
		})
	}
}

// spanName has few values: what a client may choose is not in it.
func spanName(r *http.Request) string {
	name := method(r)
	if name == "_OTHER" {
		name = "HTTP"
	}
	if pattern := route(r); pattern != "" {
		return name + " " + pattern
	}
	return name
}

// samplingAttrs are those by which the conventions let a sampler decide.
func samplingAttrs(r *http.Request) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(method(r)), semconv.URLScheme(scheme(r)), semconv.URLPath(r.URL.Path),
	}
}

func requestAttrs(r *http.Request) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.NetworkProtocolVersion(protocol(r))}
	if pattern := route(r); pattern != "" {
		attrs = append(attrs, semconv.HTTPRoute(pattern))
	}
	if ip, ok := exchange.ClientIP(r); ok {
		attrs = append(attrs, semconv.ClientAddress(ip.String()))
	}
	return attrs
}

func endSpan(span trace.Span, x *exchange.Exchange, status int) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if kind := errorType(x, status); kind != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		description := ""
		if x.Err != nil {
			description = x.Err.Error()
		}
		span.SetStatus(codes.Error, description)
	}
}
