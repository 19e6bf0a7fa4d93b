package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/internal/lbsim"
)

func TestBalancersAreMeasuredAndComparedWithTheReference(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{
		lbCommand, "-json", "-repeats", "1", "-time", "400ms", "-late", "1m",
		"-only", "fail,fanout", "-policies", "least-latency,hedged",
	}
	require.NoError(t, run(t.Context(), args, nil, &stdout, &stderr), "%s", &stderr)
	var object map[string]any
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &object))
	for _, name := range []string{"fail_least_latency_errors", "fanout_hedged_p99_ratio", "fanout_hedged_asked_ratio"} {
		assert.IsType(t, 0.0, object[name], name)
	}
	list, _ := object["scenarios"].([]any)
	require.Len(t, list, 2)
	for _, entry := range list {
		s, _ := entry.(map[string]any)
		policies, _ := s["policies"].([]any)
		require.Len(t, policies, 2, "%v", s["name"])
		for _, entry := range policies {
			p, _ := entry.(map[string]any)
			values, _ := p["values"].(map[string]any)
			p50, _ := values["p50"].(map[string]any)
			median, _ := p50["median"].(float64)
			assert.Greater(t, median, 5.0, "%v %v: the backends have worked", s["name"], p["name"])
		}
	}
	// An eighth of a round robin goes to a host that fails everything.
	policies, _ := list[0].(map[string]any)["policies"].([]any)
	values, _ := policies[0].(map[string]any)["values"].(map[string]any)
	errors, _ := values["errors"].(map[string]any)
	assert.InDelta(t, 1./lbBackends, errors["median"], 0.06)
}

func TestALoadThatIsLateVoidsTheMeasurement(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{lbCommand, "-repeats", "1", "-time", "50ms", "-late", "1ns", "-only", "homog", "-policies", "least-latency"}
	assert.ErrorContains(t, run(t.Context(), args, nil, &stdout, &stderr), "all measurements are void: homog round-robin")
	assert.Contains(t, stderr.String(), "the generator was late by")
	assert.Contains(t, stdout.String(), "homog_least_latency_p99_ratio   0.8       -       false")
}

func TestBadArgumentsOfTheBalancersAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "nobody"}, {"-policies", "nobody"}, {"-repeats", "0"}, {"-time", "0s"}, {"more"}, {"-unknown"},
	} {
		assert.Error(t, run(t.Context(), append([]string{lbCommand}, args...), nil, io.Discard, io.Discard), "%q", args)
	}
}

func TestABoundIsOnTheMedianOfTheRatiosOfEachRepeat(t *testing.T) {
	s := lbScenarios[0]
	o := lbOptions{scenarios: []lbScenario{s}, policies: []string{leastLatency}}
	of := func(reference, p99, errors float64) lbRepeat {
		return lbRepeat{s.name: {
			s.policies[0].name: {"p99": reference, "mean": 100},
			leastLatency:       {"p99": p99, "mean": 10, "errors": errors},
		}}
	}
	r := newLBReport(o, []lbRepeat{of(1000, 100, 0), of(1000, 900, 0.5), of(100, 14, 0)})
	require.Len(t, r.scenarios[0].Policies, 2)
	assert.Equal(t, &spread{Median: 0.14, Min: 0.1, Max: 0.9}, r.scenarios[0].Policies[1].Ratios["p99"])
	assert.NoError(t, r.verdict(true), "errors: the median of none, none and half")

	r = newLBReport(o, []lbRepeat{of(1000, 160, 0)})
	assert.NoError(t, r.verdict(false))
	assert.ErrorContains(t, r.verdict(true), "mixed_least_latency_p99_ratio")
	assert.NotContains(t, r.verdict(true).Error(), "mean")

	r = newLBReport(o, []lbRepeat{{s.name: {leastLatency: {"p99": 1}}}})
	assert.ErrorContains(t, r.verdict(false), "void: mixed round-robin")
	assert.ErrorContains(t, r.verdict(true), "mixed_least_latency_p99_ratio", "which cannot be known")
}

func TestABackendIsTheHostThatItIsToldToBe(t *testing.T) {
	server := httptest.NewServer(&lbBackend{})
	defer server.Close()
	ask := func(micros int) (int, time.Duration) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		require.NoError(t, err)
		r.Header.Set(lbsim.WorkHeader, strconv.Itoa(micros))
		began := time.Now()
		res, err := server.Client().Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		if res.StatusCode == 200 {
			assert.Len(t, body, len(lbBody))
		}
		return res.StatusCode, time.Since(began)
	}
	status := func(micros int) int {
		status, _ := ask(micros)
		return status
	}
	assert.Equal(t, 500, status(1), "nobody yet")

	tell := func(h lbHost) { require.NoError(t, become(t.Context(), server.URL, h)) }
	tell(lbHost{lbsim.Host{Speed: 0.5}, 1, 0})
	got, took := ask(20_000)
	assert.Equal(t, 200, got)
	assert.Greater(t, took, 39*time.Millisecond)

	long := make(chan int)
	go func() {
		got := 503
		for got == 503 { // as long as a short one has the only place
			got = status(200_000)
		}
		long <- got
	}()
	for status(1) != 503 {
	}
	assert.Equal(t, 200, <-long)

	tell(lbHost{lbsim.Host{FailFast: true}, 1, 0})
	assert.Equal(t, 500, status(1_000_000))
	tell(lbHost{lbsim.Host{Spells: []lbsim.Spell{{To: time.Hour, Failing: 1}}}, 1, 0})
	assert.Equal(t, 502, status(1))
	assert.Error(t, become(t.Context(), server.URL+"/\x00", lbHost{}))
}
