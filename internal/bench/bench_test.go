package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The processes that the program starts are this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleFlag {
		main()
		return
	}
	// Under the race detector every process would otherwise end a second late.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// measured runs the program and returns its JSON object.
func measured(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"-json", "-rounds", "1", "-time", "100ms", "-conns", "4"}, args...)
	require.NoError(t, run(t.Context(), args, nil, &stdout, &stderr), "%s", &stderr)
	var object map[string]any
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &object))
	return object
}

func TestEveryScenarioIsMeasuredAndEveryRatioThere(t *testing.T) {
	object := measured(t)
	for _, name := range []string{
		"plain_cpu_ratio", "plain_rps_ratio", "full_cpu_ratio", "full_rps_ratio", "full_to_handwired_cpu_ratio",
		"handwired_cpu_ratio", "fasthttp_cpu_ratio", "aggregate4_cpu_ratio", "cache_hit_cpu_ratio",
	} {
		ratio, ok := object[name].(float64)
		assert.True(t, ok && ratio > 0.01 && ratio < 100, "%s: %v", name, object[name])
	}
	list, _ := object["scenarios"].([]any)
	require.Len(t, list, len(scenarios))
	for _, entry := range list {
		s, _ := entry.(map[string]any)
		assert.EqualValues(t, 1, s["rounds"], "%v", s)
		for _, quantity := range []string{"requests_per_second", "cpu_us_per_request", "p50_us", "p99_us"} {
			values, _ := s[quantity].(map[string]any)
			low, _ := values["min"].(float64)
			assert.Positive(t, low, "%s: %s", s["name"], quantity)
		}
	}
	machine, _ := object["machine"].(map[string]any)
	for name := range maps.Keys(machine) {
		assert.NotEmpty(t, machine[name], name)
	}
}

func TestARatioWithoutItsReferenceIsNullAndAProfileIsWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "profiles")
	object := measured(t, "-only", "gatewright-cache", "-cpuprofile", folder)
	assert.Len(t, object["scenarios"], 1)
	for _, name := range []string{"plain_cpu_ratio", "cache_hit_cpu_ratio", "cache_hit_rps_ratio"} {
		assert.Contains(t, object, name)
		assert.Nil(t, object[name])
	}
	profile, err := os.ReadFile(filepath.Join(folder, "gatewright-cache-1.pprof"))
	require.NoError(t, err)
	assert.NotEmpty(t, profile)
}

func TestTheTableNamesWhatWasMeasured(t *testing.T) {
	var stdout bytes.Buffer
	args := []string{"-rounds", "2", "-time", "20ms", "-conns", "2", "-only", "empty,gatewright-cache"}
	require.NoError(t, run(t.Context(), args, nil, &stdout, io.Discard))
	for _, want := range []string{"over 2 connections", "CPU µs/request", "gatewright-cache", "cache_hit"} {
		assert.Contains(t, stdout.String(), want)
	}
	assert.NotContains(t, stdout.String(), "plain")
}

func TestBadArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "nginx"}, {"-rounds", "0"}, {"-time", "-1s"}, {"-conns", "0"}, {"more"}, {"-unknown"},
		{roleFlag, "nobody"},
	} {
		assert.Error(t, run(t.Context(), args, bytes.NewBufferString(`{"Listeners":1}`), io.Discard, io.Discard), "%q", args)
	}
}

func TestWhatIsNeverMeasuredIsAnError(t *testing.T) {
	o := options{scenarios: []scenario{{name: "reverseproxy"}, {name: "gatewright-plain"}}}
	r := newReport(o, []round{{"reverseproxy": {rps: 1, cpu: 1}}, {}})
	assert.ErrorContains(t, r.complete(), "gatewright-plain")
	assert.NotContains(t, r.complete().Error(), "reverseproxy")
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	rounds := []round{
		{"a": {cpu: 10}, "b": {cpu: 20}},
		{"a": {cpu: 300}, "b": {cpu: 400}}, // the machine had other things to do
		{"b": {cpu: 1}},                    // and here a was void
		{"a": {cpu: 10}, "b": {cpu: 10}},
	}
	cpu := func(s sample) float64 { return s.cpu }
	assert.Equal(t, &spread{Median: 0.75, Min: 0.5, Max: 1}, ratio(rounds, "a", "b", cpu))
	assert.Nil(t, ratio(rounds, "a", "c", cpu))
	assert.Equal(t, &spread{Median: 15, Min: 1, Max: 400}, over(rounds, "b", cpu))
}

func TestTheDocumentIsJSONOfTheSizePromised(t *testing.T) {
	assert.Len(t, document, documentSize)
	assert.True(t, json.Valid(document), "%s", document)
}

// What is compared has to do the same work.
func TestBothFullRoutesDoAllThatIsAskedOfThem(t *testing.T) {
	for name, handler := range map[string]func(setup) (http.Handler, error){"gatewright": full, "by hand": handwired} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]http.Header{} // by endpoint
			key, tokens, err := issue(1)
			require.NoError(t, err)
			s := setup{Key: key}
			for range endpoints {
				backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					seen[r.Host] = r.Header
				}))
				defer backend.Close()
				s.Backends = append(s.Backends, backend.URL)
			}
			h, err := handler(s)
			require.NoError(t, err)

			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			assert.Equal(t, 401, w.Code, "without a token")
			assert.Empty(t, seen)

			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", "Bearer "+tokens[0])
			for range 100 {
				w = httptest.NewRecorder()
				h.ServeHTTP(w, r.Clone(t.Context()))
				require.Equal(t, 200, w.Code)
				assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Len(t, seen, endpoints)
			for _, got := range seen {
				assert.NotEmpty(t, got.Get("X-Request-Id"))
				assert.NotEmpty(t, got.Get("Traceparent"))
				assert.NotEmpty(t, got.Get("X-Forwarded-For"))
				assert.Empty(t, got.Get("Authorization"))
			}
		})
	}
}
