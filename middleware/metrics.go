package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
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
			active := m.activeOptions(r)
			m.active.Add(r.Context(), 1, active...)
			observe(next, x, r, func(status int, _ bool) {
				m.active.Add(r.Context(), -1, active...)
				m.duration.Record(r.Context(), time.Since(start).Seconds(), m.durationOptions(x, r, status)...)
			})
		})
	}
}

type metrics struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter

	// Making a set of attributes costs more than recording a value with it. There are as
	// many sets as there are series, each kept with what it was made from.
	activeSets   sync.Map // of []metric.AddOption by series
	durationSets sync.Map // of []metric.RecordOption by series
}

// series is what distinguishes the values measured. Each member has few values,
// whatever clients send.
type series struct {
	method, scheme, protocol, route, kind string
	status                                int
}

func (m *metrics) activeOptions(r *http.Request) []metric.AddOption {
	s := series{method: method(r), scheme: scheme(r)}
	if v, ok := m.activeSets.Load(s); ok {
		return v.([]metric.AddOption)
	}
	options := []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(s.attributes()...))}
	m.activeSets.Store(s, options)
	return options
}

func (m *metrics) durationOptions(x *exchange.Exchange, r *http.Request, status int) []metric.RecordOption {
	s := series{method(r), scheme(r), protocol(r), route(r), errorType(x, status), status}
	if v, ok := m.durationSets.Load(s); ok {
		return v.([]metric.RecordOption)
	}
	options := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(s.attributes()...))}
	m.durationSets.Store(s, options)
	return options
}

func (s series) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(s.method), semconv.URLScheme(s.scheme)}
	if s.protocol != "" {
		attrs = append(attrs, semconv.NetworkProtocolVersion(s.protocol))
	}
	if s.route != "" {
		attrs = append(attrs, semconv.HTTPRoute(s.route))
	}
	if s.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(s.status))
	}
	if s.kind != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(s.kind))
	}
	return attrs
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
	return &metrics{duration: duration, active: active}, err
}

// method returns the request's if it is a known one: clients may make others up.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "QUERY":
		return r.Method
	}
	return "_OTHER"
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func protocol(r *http.Request) string {
	switch {
	case r.ProtoMajor == 2:
		return "2"
	case r.ProtoMajor == 3:
		return "3"
	case r.ProtoMinor == 0:
		return "1.0"
	}
	return "1.1"
}
