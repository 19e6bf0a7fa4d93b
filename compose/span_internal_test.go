package compose

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/trace"
)

func TestARequestThatIsNotRecordedPaysNothingForSpans(t *testing.T) {
	a := New(Get("a", http.NewFileTransport(http.Dir(t.TempDir())), "/"))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	known := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	for _, r := range []*http.Request{r, r.WithContext(known)} {
		x := newRun(a, r)
		x.ctx = r.Context()
		res := &result{}
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			x.tracer = tracerOf(r.Context())
			ctx, span := x.span(&a.plan.steps[0])
			x.inject(ctx, r.Header)
			span.end(&a.plan.steps[0], res)
		}))
		assert.Empty(t, r.Header)
	}
}
