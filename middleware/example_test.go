package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/middleware"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })

func ExampleRequestID() {
	h := middleware.RequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("backends see", r.Header.Get("X-Request-Id"))
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Request-Id", "trace-7")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println("the client sees", w.Header().Get("X-Request-Id"))
	// Output:
	// backends see trace-7
	// the client sees trace-7
}

func ExampleAccessLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // different every time
			}
			return a
		},
	}))
	gw := gateway.New(middleware.AccessLog(logger))
	gw.Handle("GET /users/{id}", ok)
	gw.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))
	// Output: level=INFO msg=request http.request.method=GET url.path=/users/7 http.response.status_code=200 http.response.body.size=3 http.route=/users/{id} client.address=192.0.2.1
}

func ExampleRecover() {
	log.SetOutput(io.Discard) // where the panic and its stack go
	defer log.SetOutput(os.Stderr)
	h := middleware.Recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 500 {"type":"about:blank","title":"Internal Server Error","status":500}
}

func ExampleTimeout() {
	h := middleware.Timeout(time.Millisecond)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // a backend that does not answer
		gateway.Fail(w, r, r.Context().Err())
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code)
	// Output: 504
}

func ExampleBodyLimit() {
	h := middleware.BodyLimit(4)(ok)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader("12345")))
	fmt.Println(w.Code)
	// Output: 413
}

func ExampleCORS() {
	gw := gateway.New(middleware.CORS(middleware.CORSPolicy{Origins: []string{"https://shop.test"}, Methods: []string{"PUT"}}))
	gw.Handle("PUT /orders/{id}", ok)
	r := httptest.NewRequest("OPTIONS", "/orders/7", nil)
	r.Header.Set("Origin", "https://shop.test")
	r.Header.Set("Access-Control-Request-Method", "PUT")
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	// Output: 204 https://shop.test
}

func ExampleRequestHeaders() {
	h := middleware.RequestHeaders(middleware.Headers{Remove: []string{"Cookie"}, Set: map[string]string{"X-Env": "prod"}})(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Println(r.Header) }))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", "a=b")
	h.ServeHTTP(httptest.NewRecorder(), r)
	// Output: map[X-Env:[prod]]
}

func ExampleResponseHeaders() {
	h := middleware.ResponseHeaders(middleware.Headers{Set: map[string]string{"X-Frame-Options": "DENY"}})(ok)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Header().Get("X-Frame-Options"))
	// Output: DENY
}

func ExampleRateLimit() {
	byKey := func(r *http.Request) string { return r.Header.Get("X-Api-Key") }
	for _, rate := range []middleware.Rate{
		middleware.PerSecond(20).Burst(1).By(byKey), middleware.PerMinute(1), middleware.PerHour(1), middleware.PerDay(1),
	} {
		h := middleware.RateLimit(rate)(ok)
		for range 2 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
		}
	}
	// Output:
	// 200 ""
	// 429 "1"
	// 200 ""
	// 429 "60"
	// 200 ""
	// 429 "3600"
	// 200 ""
	// 429 "86400"
}

func ExampleLimit() {
	// A Limiter of one's own, say over a store that several gateways share.
	closed := middleware.LimiterFunc(func(context.Context, string, int) (middleware.Decision, error) {
		return middleware.Decision{RetryAfter: time.Minute}, nil
	})
	h := middleware.Limit(closed, func(r *http.Request) string { return r.Host })(ok)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Header().Get("Retry-After"))
	// Output: 429 60
}

func ExampleMetrics() {
	reader := sdkmetric.NewManualReader()
	gw := gateway.New(middleware.Metrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	gw.Handle("GET /users/{id}", ok)
	gw.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))

	var data metricdata.ResourceMetrics
	_ = reader.Collect(context.Background(), &data)
	for _, m := range data.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name, m.Unit)
	}
	// Unordered output:
	// http.server.request.duration s
	// http.server.active_requests {request}
}

func ExampleTrace() {
	spans := tracetest.NewInMemoryExporter()
	gw := gateway.New(middleware.Trace(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))))
	gw.Handle("GET /users/{id}", ok)
	gw.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))
	fmt.Println(spans.GetSpans()[0].Name)
	// Output: GET /users/{id}
}
