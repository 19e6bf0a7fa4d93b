package main

import (
	"time"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

const (
	lbBackends = 8
	lbPools    = 8  // as many gateways, none of which knows what the others do
	lbQueue    = 50 // requests that may wait at a backend
	lbTimeout  = 2 * time.Second
	lbDropped  = 0.2 // of the time, at the beginning
)

// lbScenario is backends and a load.
type lbScenario struct {
	name     string
	hosts    func(d time.Duration) []lbsim.Host
	load     float64 // share of what the hosts can do
	workers  int     // requests that a backend serves at a time
	legs     int     // requests of each arrival
	law      lbsim.Law
	policies []lbPolicy // the first is the reference
	bounds   []lbBound
}

// lbPolicy is a way to use the backends.
type lbPolicy struct {
	name   string
	config func() balancer.Config
}

// lbBound is what has to hold for a policy.
type lbBound struct {
	policy   string
	quantity string // one of lbQuantities
	ratio    bool   // to the reference
	most     float64
}

// In all but the last scenario a request is sent once, so that only the choice is
// compared: retries would hide what a bad one costs.
func balancing(j balancer.Ejection) []lbPolicy {
	with := func(name string, b func() balancer.Balancer) lbPolicy {
		return lbPolicy{name, func() balancer.Config {
			return balancer.Config{Balancer: b(), Retry: balancer.Retry{Attempts: 1}, Ejection: j}
		}}
	}
	return []lbPolicy{
		with("round-robin", balancer.RoundRobin),
		with("power-of-two", balancer.PowerOfTwo),
		with("least-request", balancer.LeastRequest),
		with("peak-ewma", balancer.PeakEWMA),
		with(leastLatency, balancer.LeastLatency),
	}
}

const (
	leastLatency = "least-latency"
	hedged       = "hedged"
)

// hedging is for pages of ten: everything by its defaults, but for hedges.
var hedging = []lbPolicy{
	{"unhedged", func() balancer.Config { return balancer.Config{} }},
	{hedged, func() balancer.Config { return balancer.Config{Hedge: balancer.Hedge{After: 0.95}} }},
}

// The laws of work: that of requests to one backend each, where a tenth of the time goes
// on a hundredth of the requests, and that of a page's parts.
var (
	lbLaw   = lbsim.Law{Mean: 40 * time.Millisecond, Sigma: 0.8}
	partLaw = lbsim.Law{Mean: 10 * time.Millisecond, Sigma: 0.5}
)

var lbScenarios = []lbScenario{
	{
		name: "mixed", load: 0.7, workers: 4, legs: 1, law: lbLaw, policies: balancing(balancer.Ejection{}),
		hosts: func(d time.Duration) []lbsim.Host { return lbsim.Mixed(lbBackends, d) },
		bounds: []lbBound{
			{leastLatency, "p99", true, 0.15}, {leastLatency, "mean", true, 0.20}, {leastLatency, "errors", false, 0.001},
		},
	},
	{
		name: "homog", load: 0.9, workers: 4, legs: 1, law: lbLaw, policies: balancing(balancer.Ejection{}),
		hosts:  func(time.Duration) []lbsim.Host { return lbsim.Equal(lbBackends) },
		bounds: []lbBound{{leastLatency, "p99", true, 0.80}},
	},
	{
		name: "hetero", load: 0.6, workers: 4, legs: 1, law: lbLaw, policies: balancing(balancer.Ejection{}),
		hosts:  func(time.Duration) []lbsim.Host { return lbsim.TwoSpeeds(lbBackends) },
		bounds: []lbBound{{leastLatency, "p99", true, 0.60}},
	},
	{
		name: "fail", load: 0.6, workers: 4, legs: 1, law: lbLaw, policies: balancing(balancer.Ejection{Off: true}),
		hosts:  func(time.Duration) []lbsim.Host { return lbsim.OneFailing(lbBackends) },
		bounds: []lbBound{{leastLatency, "errors", false, 0.002}},
	},
	{
		name: "fanout", load: 0.4, workers: 8, legs: 10, law: partLaw, policies: hedging,
		hosts:  func(d time.Duration) []lbsim.Host { return lbsim.Pausing(lbBackends, d, 1) },
		bounds: []lbBound{{hedged, "p99", true, 0.50}, {hedged, "asked", true, 1.06}},
	},
}

func lbNames() []string {
	names := make([]string, len(lbScenarios))
	for i, s := range lbScenarios {
		names[i] = s.name
	}
	return names
}
