package compose_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// traced serves a request within a span of its own, as Trace of package middleware has it,
// and returns the spans by name.
func traced(t *testing.T, h http.Handler, sampler sdktrace.Sampler) (map[string]tracetest.SpanStub, trace.SpanContext) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sampler))
	ctx, span := provider.Tracer("test").Start(t.Context(), "GET /home")
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	h.ServeHTTP(httptest.NewRecorder(), r)
	span.End()
	byName := map[string]tracetest.SpanStub{}
	for _, s := range spans.GetSpans() {
		byName[s.Name] = s
	}
	require.Len(t, byName, len(spans.GetSpans()), "one span a part")
	return byName, span.SpanContext()
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestATraceShowsTheWaterfallOfParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		began := time.Now()
		spans, whole := traced(t, compose.New(compose.Get("offers", b, "/2?n={profile.n}"), compose.Get("profile", b, "/3")), sdktrace.AlwaysSample())
		require.Len(t, spans, 3)
		profile, offers := spans["compose profile"], spans["compose offers"]
		for _, s := range []tracetest.SpanStub{profile, offers} {
			assert.Equal(t, whole.SpanID(), s.Parent.SpanID())
			assert.Equal(t, whole.TraceID(), s.SpanContext.TraceID())
			assert.Equal(t, trace.SpanKindInternal, s.SpanKind)
			assert.Equal(t, "github.com/gatewright/gateway/compose", s.InstrumentationScope.Name)
			assert.Equal(t, codes.Unset, s.Status.Code)
		}
		assert.Equal(t, map[string]string{"gateway.part": "offers", "gateway.outcome": "ok"}, attributes(offers))
		assert.Equal(t, 3*time.Second, profile.EndTime.Sub(began))
		assert.Equal(t, profile.EndTime, offers.StartTime)
		assert.Equal(t, 5*time.Second, offers.EndTime.Sub(began))
	})
}

func TestABackendContinuesTheSpanOfItsPart(t *testing.T) {
	var mu sync.Mutex
	sent, inside := map[string][]string{}, map[string]trace.SpanID{}
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		sent[r.URL.Path] = append(sent[r.URL.Path], r.Header["Traceparent"]...)
		inside[r.URL.Path] = trace.SpanContextFromContext(r.Context()).SpanID()
		return response(200, `[{"id":1},{"id":2}]`), nil
	})
	parts := compose.New(
		compose.Get("a", spy, "/a").Timeout(time.Minute),
		compose.Get("items", spy, "/items?id={each.id}").Each("a"),
		compose.Get("own", spy, "/own").Header("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
	)
	spans, whole := traced(t, parts, sdktrace.AlwaysSample())
	for part, calls := range map[string]int{"a": 1, "items": 2} {
		id := spans["compose "+part].SpanContext.SpanID()
		require.Len(t, sent["/"+part], calls)
		for _, parent := range sent["/"+part] {
			assert.Equal(t, "00-"+whole.TraceID().String()+"-"+id.String()+"-01", parent)
		}
		assert.Equal(t, id, inside["/"+part], "for what the RoundTripper adds to the trace")
	}
	assert.Equal(t, []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, sent["/own"], "what a part says itself stays")

	clear(sent)
	spans, whole = traced(t, parts, sdktrace.NeverSample())
	assert.Empty(t, spans)
	assert.Equal(t, []string{"00-" + whole.TraceID().String() + "-" + whole.SpanID().String() + "-00"}, sent["/a"], "not recorded: the request's, as it is")
}

func TestASpanSaysWhatBecameOfItsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		b.answers["/ids"] = `[{"id":1},{"id":77}]`
		status := 200
		flaky := roundTrip(func(*http.Request) (*http.Response, error) { return response(status, `1`), nil })
		a := compose.New(
			compose.Get("stale", flaky, "/").Stale(time.Minute),
			compose.Get("ids", b, "/ids"),
			compose.Get("optional", b, "/users-1.internal").Optional(),
			compose.Get("default", b, "/users-1.internal").Default(`1`),
			compose.Get("skipped", b, "/0?x={optional.x}").SkipMissing(),
			compose.Get("some", b, "/{each.id}").Each("ids").Optional(),
			compose.Get("late", b, "/9").Timeout(time.Second).Optional(),
		)
		get(t, a, "/", nil)
		status = 500
		spans, _ := traced(t, a, sdktrace.AlwaysSample())
		for part, want := range map[string]string{
			"stale": "stale", "ids": "ok", "optional": "optional", "default": "default", "skipped": "skipped", "some": "optional", "late": "optional",
		} {
			s := spans["compose "+part]
			assert.Equal(t, want, attributes(s)["gateway.outcome"], part)
			kind, failed := attributes(s)["error.type"]
			assert.Equal(t, want != "ok" && want != "skipped", failed, part)
			assert.Equal(t, failed, s.Status.Code == codes.Error, part)
			if failed && part != "late" {
				assert.Equal(t, "upstream_status", kind, part)
			}
		}
		assert.Equal(t, "upstream_timeout", attributes(spans["compose late"])["error.type"])

		spans, _ = traced(t, compose.New(compose.Get("failed", b, "/users-1.internal")), sdktrace.AlwaysSample())
		assert.Equal(t, map[string]string{"gateway.part": "failed", "gateway.outcome": "failed", "error.type": "upstream_status"}, attributes(spans["compose failed"]))
	})
}

func TestASpanNamesNoUpstream(t *testing.T) {
	down := roundTrip(func(*http.Request) (*http.Response, error) { panic("users-1.internal") })
	spans, _ := traced(t, compose.New(compose.Get("a", down, "/").Optional()), sdktrace.AlwaysSample())
	s := spans["compose a"]
	assert.Equal(t, []attribute.KeyValue{
		attribute.String("gateway.part", "a"), attribute.String("gateway.outcome", "optional"), attribute.String("error.type", "gateway_internal"),
	}, s.Attributes)
	assert.NotContains(t, s.Status.Description, "users-1")
	for _, e := range s.Events {
		assert.NotContains(t, strings.ToLower(e.Name), "users-1")
	}
}
