package balancer_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gatewright/gateway/balancer"
)

// meter is a provider whose instruments are read when the test says so.
func meter(t *testing.T) (*metric.MeterProvider, *metric.ManualReader) {
	t.Helper()
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(t.Context())) })
	return provider, reader
}

// point is a value of an instrument: of a histogram, how many there are.
type point struct {
	instrument string
	attributes string // name=value, by name
}

// collect reads all instruments, and what they are.
func collect(t *testing.T, reader *metric.ManualReader) (values map[point]int64, instruments map[string]metricdata.Metrics) {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	values, instruments = map[point]int64{}, map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		assert.Equal(t, "github.com/gatewright/gateway/balancer", scope.Scope.Name)
		for _, m := range scope.Metrics {
			instruments[m.Name] = m
			add := func(set attribute.Set, n int64) {
				values[point{strings.TrimPrefix(m.Name, "gateway.upstream."), set.Encoded(attribute.DefaultEncoder())}] = n
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, int64(p.Count))
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			default:
				assert.Failf(t, "unknown kind", "%s: %T", m.Name, data)
			}
		}
	}
	return values, instruments
}

const (
	ofPool = "gateway.pool=orders"
	atA    = ofPool + ",server.address=a,server.port=8080,url.scheme=http"
	atB    = ofPool + ",server.address=b,server.port=80,url.scheme=http"
)

func as(outcome, endpoint string) point {
	return point{"attempt.duration", "gateway.outcome=" + outcome + "," + endpoint}
}

func TestAttemptsAreMeasuredByEndpointAndOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, reader := meter(t)
		answer := make(chan struct{})
		p := newPool(t, balancer.Config{
			Targets: []string{"http://A:8080/", "http://b"}, Balancer: balancer.BalancerFunc(firstReady),
			Metrics: provider, Name: "orders", Retry: balancer.Retry{Attempts: 2},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Hostname() == "b" {
					return respond(200, ""), nil
				}
				time.Sleep(30 * time.Millisecond)
				switch r.URL.Path {
				case "/fails":
					return respond(503, ""), nil
				case "/busy":
					return respond(429, ""), nil
				case "/slow":
					<-answer
				}
				return respond(200, ""), nil
			}),
		})
		ask := func(path string) { _, _ = exchange(t, p, request(t, "GET", path, nil)) }
		ask("/")
		ask("/")
		ask("/fails") // and b makes up for it
		ask("/busy")
		go ask("/slow")
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()

		got, instruments := collect(t, reader)
		assert.Equal(t, map[point]int64{
			as("success", atA): 2, as("failure", atA): 1, as("overload", atA): 1, as("success", atB): 1,
			{"active_requests", atA}: 1, {"active_requests", atB}: 0,
			{"ready", atA}: 1, {"ready", atB}: 1,
			{"ejections", atA}: 0, {"ejections", atB}: 0,
			{"retries", ofPool}: 1, {"panics", ofPool}: 0,
		}, got)
		duration, ok := instruments["gateway.upstream.attempt.duration"].Data.(metricdata.Histogram[float64])
		require.True(t, ok)
		assert.Equal(t, "s", instruments["gateway.upstream.attempt.duration"].Unit)
		for _, d := range duration.DataPoints {
			if host, _ := d.Attributes.Value("server.address"); host.AsString() == "a" {
				assert.InDelta(t, 0.03*float64(d.Count), d.Sum, 0.001, "to the header")
			}
		}
		ejections, ok := instruments["gateway.upstream.ejections"].Data.(metricdata.Sum[int64])
		require.True(t, ok)
		assert.True(t, ejections.IsMonotonic)
		active, ok := instruments["gateway.upstream.active_requests"].Data.(metricdata.Sum[int64])
		require.True(t, ok)
		assert.False(t, active.IsMonotonic)
		for name, m := range instruments {
			assert.NotEmpty(t, m.Unit, name)
			assert.NotEmpty(t, m.Description, name)
		}
		close(answer)
		synctest.Wait()
		got, _ = collect(t, reader)
		assert.Zero(t, got[point{"active_requests", atA}])
		assert.EqualValues(t, 3, got[as("success", atA)])
	})
}

func TestAClientThatLeavesIsMeasuredAsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, reader := meter(t)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a:8080"}, Metrics: provider, Name: "orders",
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		})
		r := request(t, "GET", "/", nil)
		ctx, leave := context.WithCancel(r.Context())
		time.AfterFunc(time.Second, leave)
		_, problem := exchange(t, p, r.WithContext(ctx))
		require.NotNil(t, problem)
		got, _ := collect(t, reader)
		assert.EqualValues(t, 1, got[as("ignored", atA)])
		assert.NotContains(t, got, as("failure", atA))
	})
}

func TestReadinessEjectionsAndPanicsAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, reader := meter(t)
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a:8080", "http://b"}, Balancer: balancer.BalancerFunc(firstReady),
			Metrics: provider, Name: "orders", Retry: balancer.Retry{Attempts: 1},
			Ejection: balancer.Ejection{Failures: 2}, Health: balancer.Health{Path: "/healthz", Fall: 2, Every: time.Second},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Hostname() == "a" && r.URL.Path == "/healthz" {
					return respond(200, ""), nil
				}
				return respond(500, ""), nil
			}),
		})
		for range 2 {
			_, _ = get(t, p)
		}
		got, _ := collect(t, reader)
		assert.EqualValues(t, 1, got[point{"ejections", atA}])
		assert.EqualValues(t, 0, got[point{"ready", atA}])
		assert.EqualValues(t, 1, got[point{"ready", atB}])

		time.Sleep(2 * time.Second) // b is unhealthy, too
		_, _ = get(t, p)
		got, _ = collect(t, reader)
		assert.EqualValues(t, 0, got[point{"ready", atB}])
		assert.EqualValues(t, 1, got[point{"panics", ofPool}])
		assert.EqualValues(t, 0, got[point{"ejections", atB}], "an unhealthy endpoint was not ejected")
	})
}

func TestHedgesAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, reader := meter(t)
		slow := false
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a:8080", "http://b"}, Balancer: balancer.BalancerFunc(firstReady),
			Metrics: provider, Hedge: balancer.Hedge{After: 0.9}, Retry: balancer.Retry{Attempts: 2},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				d := 10 * time.Millisecond
				if r.URL.Hostname() == "a" && slow {
					d = time.Minute
				}
				select {
				case <-time.After(d):
					return respond(200, ""), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}),
		})
		for range 100 {
			_, _ = get(t, p)
		}
		got, _ := collect(t, reader)
		require.NotContains(t, got, point{"hedges", ""})
		slow = true
		status, _ := get(t, p)
		require.Equal(t, 200, status)
		synctest.Wait()
		got, _ = collect(t, reader)
		assert.EqualValues(t, 1, got[point{"hedges", ""}], "a pool without a name has no such attribute")
		assert.NotContains(t, got, point{"retries", ""}, "it followed no failure")
	})
}

func TestAfterCloseNothingIsObserved(t *testing.T) {
	provider, reader := meter(t)
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a:8080"}, Metrics: provider, Name: "orders",
		Base: tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
	})
	_, _ = get(t, p)
	got, _ := collect(t, reader)
	require.Contains(t, got, point{"ready", atA})
	require.NoError(t, p.Close())
	_, _ = get(t, p)
	got, _ = collect(t, reader)
	assert.Equal(t, map[point]int64{as("success", atA): 1}, got, "what was counted stands, and a closed pool attempts nothing")
}

// Endpoints come and go: their series must not pile up.
func TestARemovedEndpointIsObservedNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, reader := meter(t)
		targets := newTargets("http://a:8080", "http://b")
		newPool(t, balancer.Config{
			Resolver: targets, Metrics: provider, Name: "orders",
			Base: tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
		})
		synctest.Wait()
		got, _ := collect(t, reader)
		require.Contains(t, got, point{"ready", atB})
		time.Sleep(time.Minute)
		targets.become("http://a:8080")
		synctest.Wait()
		got, _ = collect(t, reader)
		assert.Equal(t, map[point]int64{
			{"active_requests", atA}: 0, {"ready", atA}: 1, {"ejections", atA}: 0, {"panics", ofPool}: 0,
		}, got)
	})
}

func TestMetricsThatGoNowhereDoNoHarm(t *testing.T) {
	for _, c := range []balancer.Config{{}, {Metrics: noop.NewMeterProvider()}} {
		c.Targets = []string{"http://a"}
		c.Base = tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil })
		p := newPool(t, c)
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
		require.NoError(t, p.Close())
	}
}

func TestAnIPv6AddressIsMeasured(t *testing.T) {
	provider, reader := meter(t)
	p := newPool(t, balancer.Config{
		Targets: []string{"http://[::1]:8080"}, Metrics: provider,
		Base: tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
	})
	_, _ = get(t, p)
	got, _ := collect(t, reader)
	assert.EqualValues(t, 1, got[point{"attempt.duration", "gateway.outcome=success,server.address=::1,server.port=8080,url.scheme=http"}])
}
