package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// scope names the instruments and spans of this package.
const scope = "github.com/gatewright/gateway/middleware"

// durationBuckets are those that the conventions advise, in seconds.
var durationBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Metrics returns a middleware that measures requests by the OpenTelemetry
// conventions for HTTP servers: http.server.request.duration (a histogram in
// seconds, with the method, route, status, scheme, protocol version and error.type)
// and http.server.active_requests. It panics if the provider is nil or refuses an
// instrument.
func Metrics(provider metric.MeterProvider) gateway.Middleware {
	m, err := newMetrics(provider)
	if err != nil {
		panic(fmt.Errorf("middleware: metrics: %w", err))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			start := time.Now()
			active := metric.WithAttributeSet(attribute.NewSet(methodAttr(r), schemeAttr(r)))
			m.active.Add(r.Context(), 1, active)
			observe(next, x, r, func(status int, _ bool) {
				m.active.Add(r.Context(), -1, active)
				m.duration.Record(r.Context(), time.Since(start).Seconds(),
					metric.WithAttributeSet(attribute.NewSet(measured(x, r, status)...)))
			})
		})
	}
}

type metrics struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
}

func newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		return nil, errors.New("nil provider")
	}
	meter := provider.Meter(scope)
	duration, err := meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(durationBuckets...))
	if err != nil {
		return nil, err
	}
	active, err := meter.Int64UpDownCounter("http.server.active_requests",
		metric.WithUnit("{request}"),
		metric.WithDescription("Number of active HTTP server requests."))
	return &metrics{duration, active}, err
}

// measured returns the attributes of a finished request. Each has few values,
// whatever clients send.
func measured(x *exchange.Exchange, r *http.Request, status int) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 6)
	attrs = append(attrs, methodAttr(r), schemeAttr(r), protocolAttr(r))
	if pattern := route(r); pattern != "" {
		attrs = append(attrs, semconv.HTTPRoute(pattern))
	}
	if status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(status))
	}
	if kind := errorType(x, status); kind != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(kind))
	}
	return attrs
}

func methodAttr(r *http.Request) attribute.KeyValue {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "QUERY":
		return semconv.HTTPRequestMethodKey.String(r.Method)
	}
	return semconv.HTTPRequestMethodOther
}

func schemeAttr(r *http.Request) attribute.KeyValue {
	if r.TLS != nil {
		return semconv.URLScheme("https")
	}
	return semconv.URLScheme("http")
}

func protocolAttr(r *http.Request) attribute.KeyValue {
	switch r.ProtoMajor {
	case 2:
		return semconv.NetworkProtocolVersion("2")
	case 3:
		return semconv.NetworkProtocolVersion("3")
	}
	if r.ProtoMinor == 0 {
		return semconv.NetworkProtocolVersion("1.0")
	}
	return semconv.NetworkProtocolVersion("1.1")
}
