package balancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// scope names the instruments of this package.
const scope = "github.com/gatewright/gateway/balancer"

// durationBuckets are those that the conventions advise, in seconds.
var durationBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// metrics are a pool's instruments. It may be nil, which measures nothing.
type metrics struct {
	pool     metric.MeasurementOption
	name     []attribute.KeyValue
	duration metric.Float64Histogram
	retries  metric.Int64Counter
	hedges   metric.Int64Counter
	observed metric.Registration

	// Making a set of attributes costs more than recording a value with it.
	sets sync.Map // of metric.MeasurementOption by series
}

type series struct {
	endpoint *Endpoint
	outcome  outcome
}

// newMetrics returns nil for no provider.
func newMetrics(provider metric.MeterProvider, name string, p *Pool) (*metrics, error) {
	if provider == nil {
		return nil, nil
	}
	m := &metrics{}
	if name != "" {
		m.name = []attribute.KeyValue{attribute.String("gateway.pool", name)}
	}
	m.pool = metric.WithAttributeSet(attribute.NewSet(m.name...))
	meter := provider.Meter(scope)
	var faults [8]error
	m.duration, faults[0] = meter.Float64Histogram("gateway.upstream.attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of an attempt to its response's header, or to its failure."),
		metric.WithExplicitBucketBoundaries(durationBuckets...))
	m.retries, faults[1] = meter.Int64Counter("gateway.upstream.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that followed a failed one."))
	m.hedges, faults[2] = meter.Int64Counter("gateway.upstream.hedges", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that were made beside a slow one."))
	active, err := meter.Int64ObservableUpDownCounter("gateway.upstream.active_requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests under way at an endpoint."))
	faults[3] = err
	ready, err := meter.Int64ObservableGauge("gateway.upstream.ready", metric.WithUnit("1"),
		metric.WithDescription("1 for an endpoint that may be given requests, 0 for one that may not."))
	faults[4] = err
	ejections, err := meter.Int64ObservableCounter("gateway.upstream.ejections", metric.WithUnit("{ejection}"),
		metric.WithDescription("Ejections of an endpoint."))
	faults[5] = err
	panics, err := meter.Int64ObservableCounter("gateway.upstream.panics", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that were sent while too few endpoints were well."))
	faults[6] = err
	if err := errors.Join(faults[:]...); err != nil {
		return nil, fmt.Errorf("balancer: metrics: %w", err)
	}
	m.observed, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(panics, p.panics.Load(), m.pool)
		for _, e := range p.set.Load().endpoints {
			set := metric.WithAttributes(m.address(e)...)
			o.ObserveInt64(active, e.inFlight.Load(), set)
			o.ObserveInt64(ejections, e.counts.ejections.Load(), set)
			is := int64(0)
			if e.Ready() {
				is = 1
			}
			o.ObserveInt64(ready, is, set)
		}
		return nil
	}, active, ready, ejections, panics)
	if err != nil {
		return nil, fmt.Errorf("balancer: metrics: %w", err)
	}
	return m, nil
}

// address is what tells an endpoint from another.
func (m *metrics) address(e *Endpoint) []attribute.KeyValue {
	attrs := slices.Clone(m.name)
	attrs = append(attrs, semconv.ServerAddress(strings.ToLower(e.base.Hostname())), semconv.URLScheme(e.base.Scheme))
	if port, err := strconv.Atoi(portOf(e.base)); err == nil {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	if e.prefix != "" {
		attrs = append(attrs, attribute.String("gateway.path_prefix", e.prefix))
	}
	return attrs
}

var outcomeNames = map[outcome]string{success: "success", ignored: "ignored", overload: "overload", failure: "failure"}

func (m *metrics) attempt(a *attempt, o outcome, took time.Duration) {
	if m == nil {
		return
	}
	s := series{a.endpoint, o}
	set, ok := m.sets.Load(s)
	if !ok {
		attrs := append(m.address(a.endpoint), attribute.String("gateway.outcome", outcomeNames[o]))
		set = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
		m.sets.Store(s, set)
	}
	m.duration.Record(context.Background(), took.Seconds(), set.([]metric.RecordOption)...)
}

func (m *metrics) retry() {
	if m != nil {
		m.retries.Add(context.Background(), 1, m.pool)
	}
}

func (m *metrics) hedge() {
	if m != nil {
		m.hedges.Add(context.Background(), 1, m.pool)
	}
}

// forget drops the series of an endpoint that is no more.
func (m *metrics) forget(e *Endpoint) {
	if m == nil {
		return
	}
	for o := range outcomeNames {
		m.sets.Delete(series{e, o})
	}
}

func (m *metrics) close() {
	if m != nil {
		_ = m.observed.Unregister() // its error is of a callback that is not there
	}
}
