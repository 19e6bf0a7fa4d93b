package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func upstreamFails(w http.ResponseWriter, r *http.Request) {
	gateway.Fail(w, r, &gateway.Problem{Status: 502, Fault: gateway.UpstreamHeader, Err: errors.New("users-1: reset")})
}

func TestMetricsFollowTheConventionsWithFewValues(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	gw := gateway.New(middleware.Metrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	gw.Handle("GET /users/{id}", status(200))
	gw.Handle("/broken", http.HandlerFunc(upstreamFails))
	serve(gw, request("GET", "/users/1"))
	serve(gw, request("GET", "/users/2"))
	serve(gw, request("GET", "/nowhere/3"))
	serve(gw, request("MADEUP", "/broken"))

	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &data))
	byName := map[string]metricdata.Metrics{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		byName[m.Name] = m
	}
	duration := byName["http.server.request.duration"]
	assert.Equal(t, "s", duration.Unit)
	counts := map[attribute.Distinct]uint64{}
	for _, p := range duration.Data.(metricdata.Histogram[float64]).DataPoints {
		counts[p.Attributes.Equivalent()] = p.Count
	}
	attrs := func(method string, status int, more ...attribute.KeyValue) attribute.Distinct {
		set := attribute.NewSet(append(more,
			attribute.String("http.request.method", method), attribute.Int("http.response.status_code", status),
			attribute.String("url.scheme", "http"), attribute.String("network.protocol.version", "1.1"))...)
		return set.Equivalent()
	}
	assert.Equal(t, map[attribute.Distinct]uint64{
		attrs("GET", 200, attribute.String("http.route", "/users/{id}")): 2,
		attrs("GET", 404): 1,
		attrs("_OTHER", 502, attribute.String("http.route", "/broken"), attribute.String("error.type", "upstream_header")): 1,
	}, counts)
	for _, p := range byName["http.server.active_requests"].Data.(metricdata.Sum[int64]).DataPoints {
		assert.Zero(t, p.Value)
	}
	assert.Panics(t, func() { middleware.Metrics(nil) })
}

func TestTraceContinuesTheClientsTraceAndHandsItOn(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	var sent string
	var inside trace.SpanContext
	gw := gateway.New(middleware.Trace(provider))
	gw.Handle("GET /users/{id}", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent, inside = r.Header.Get("Traceparent"), trace.SpanContextFromContext(r.Context())
	}))
	gw.Handle("GET /broken", http.HandlerFunc(upstreamFails))

	r := request("GET", "/users/7?token=secret")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	serve(gw, r)
	serve(gw, request("GET", "/broken"))

	got := spans.GetSpans()
	require.Len(t, got, 2)
	assert.Equal(t, "GET /users/{id}", got[0].Name)
	assert.Equal(t, trace.SpanKindServer, got[0].SpanKind)
	assert.Equal(t, "b7ad6b7169203331", got[0].Parent.SpanID().String())
	assert.Equal(t, got[0].SpanContext.SpanID(), inside.SpanID())
	assert.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+inside.SpanID().String()+"-01", sent, "what the backend continues")
	assert.Contains(t, got[0].Attributes, attribute.Int("http.response.status_code", 200))
	assert.Contains(t, got[0].Attributes, attribute.String("url.path", "/users/7"))
	assert.Equal(t, codes.Unset, got[0].Status.Code)
	for _, a := range got[0].Attributes {
		assert.NotContains(t, a.Value.String(), "secret")
	}
	assert.Equal(t, codes.Error, got[1].Status.Code)
	assert.Contains(t, got[1].Attributes, attribute.String("error.type", "upstream_header"))
	assert.Panics(t, func() { middleware.Trace(nil) })
}
