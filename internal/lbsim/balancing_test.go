package lbsim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

// policy is a balancer.
type policy struct {
	name string
	make func() balancer.Balancer
}

var policies = []policy{
	{reference, balancer.RoundRobin},
	{"PowerOfTwo", balancer.PowerOfTwo},
	{"LeastRequest", balancer.LeastRequest},
	{"PeakEWMA", balancer.PeakEWMA},
	{leastLatency, balancer.LeastLatency},
}

const (
	reference    = "RoundRobin"
	leastLatency = "LeastLatency" // the default
)

// size is how many hosts there are and what they can do.
type size struct {
	hosts, workers, gateways int
	law                      lbsim.Law
}

var (
	// twenty has few workers a host, which is hard: a queue of one's own forms at once.
	twenty = size{hosts: 20, workers: 2, gateways: 8, law: wide}

	// loopback is what internal/bench has over real connections.
	loopback = size{hosts: 8, workers: 4, gateways: 8, law: lbsim.Law{Mean: 40 * time.Millisecond, Sigma: 0.8}}
)

// scenario is a trial of each policy. A request is sent once, so that only the choice is
// compared.
type scenario struct {
	name string
	size
	load      float64 // share of what the hosts can do
	make      func(n int, d time.Duration) []lbsim.Host
	uneject   bool
	raced     bool          // also under the race detector
	mostP99   time.Duration // zero: any
	mostError float64       // share
	p99, mean float64       // most of the reference's. Zero: any
}

func mixed(n int, d time.Duration) []lbsim.Host      { return lbsim.Mixed(n, d) }
func equal(n int, _ time.Duration) []lbsim.Host      { return lbsim.Equal(n) }
func oneSlow(n int, _ time.Duration) []lbsim.Host    { return lbsim.OneSlow(n) }
func twoSpeeds(n int, _ time.Duration) []lbsim.Host  { return lbsim.TwoSpeeds(n) }
func oneFailing(n int, _ time.Duration) []lbsim.Host { return lbsim.OneFailing(n) }

var many = size{hosts: 20, workers: 2, gateways: 64, law: wide}

var scenarios = []scenario{
	{name: "mixed 70 %", size: twenty, load: 0.7, make: mixed, raced: true, mostP99: 60 * time.Millisecond, mostError: 0.0005},
	{name: "64 gateways 70 %", size: many, load: 0.7, make: oneSlow, mostP99: 75 * time.Millisecond, mostError: 0.0005},
	{name: "equal 90 %", size: twenty, load: 0.9, make: equal, mostP99: 70 * time.Millisecond, mostError: 0.0005},
	{name: "one failing 60 %, no ejection", size: twenty, load: 0.6, make: oneFailing, uneject: true, raced: true, mostError: 0.001},

	{name: "loopback's mixed 70 %", size: loopback, load: 0.7, make: mixed, raced: true, mostError: 0.001, p99: 0.15, mean: 0.20},
	{name: "loopback's equal 90 %", size: loopback, load: 0.9, make: equal, mostError: 0.001, p99: 0.80},
	{name: "loopback's two speeds 60 %", size: loopback, load: 0.6, make: twoSpeeds, mostError: 0.001, p99: 0.60},
	{name: "loopback's one failing 60 %, no ejection", size: loopback, load: 0.6, make: oneFailing, uneject: true, mostError: 0.002},
}

func playedScenarios() []scenario {
	return played(scenarios, func(s scenario) bool { return s.raced })
}

func playedPolicies() []policy {
	return played(policies, func(p policy) bool { return p.name == reference || p.name == leastLatency })
}

// measured is the numbers by scenario, policy and seed that are known already: the report
// shows those that the bounds are asserted of.
var measured = map[string]lbsim.Stats{}

func (s scenario) measure(t *testing.T, policy string, seed uint64) lbsim.Stats {
	t.Helper()
	key := fmt.Sprint(s.name, policy, seed)
	stats, ok := measured[key]
	if !ok {
		stats = s.play(t, policy, seed)
		measured[key] = stats
	}
	return stats
}

func (s scenario) play(t *testing.T, policy string, seed uint64) lbsim.Stats {
	t.Helper()
	hosts := s.make(s.hosts, lasts)
	x := trial{
		hosts: hosts, gateways: s.gateways, workers: s.workers, queue: 50, law: s.law, lasts: lasts,
		rate: s.load * lbsim.Power(hosts, lasts) * full(1, s.workers, s.law),
		config: func() balancer.Config {
			c := balancer.Config{Retry: balancer.Retry{Attempts: 1}, Ejection: balancer.Ejection{Off: s.uneject}}
			for _, p := range policies {
				if p.name == policy {
					c.Balancer = p.make()
				}
			}
			return c
		},
	}
	return x.play(t, seed).settled(x)
}

func TestTheDefaultBalancerStaysWithinItsBounds(t *testing.T) {
	for _, s := range playedScenarios() {
		t.Run(s.name, func(t *testing.T) {
			for _, seed := range seeds() {
				got := s.measure(t, leastLatency, seed)
				assert.LessOrEqual(t, got.Failed, s.mostError, "failed, seed %d", seed)
				if s.mostP99 > 0 {
					assert.LessOrEqual(t, got.P99, s.mostP99, "p99, seed %d", seed)
				}
			}
			if s.p99 > 0 {
				assert.LessOrEqual(t, s.ratio(t, leastLatency, func(x lbsim.Stats) float64 { return ms(x.P99) }), s.p99, "p99")
			}
			if s.mean > 0 {
				assert.LessOrEqual(t, s.ratio(t, leastLatency, func(x lbsim.Stats) float64 { return ms(x.Mean) }), s.mean, "mean")
			}
		})
	}
}

// ratio is a policy's quantity to the reference's with the same seed: the median over the
// seeds.
func (s scenario) ratio(t *testing.T, policy string, of func(lbsim.Stats) float64) float64 {
	t.Helper()
	var ratios []float64
	for _, seed := range seeds() {
		ratios = append(ratios, of(s.measure(t, policy, seed))/of(s.measure(t, reference, seed)))
	}
	slices.Sort(ratios)
	n := len(ratios)
	return (ratios[(n-1)/2] + ratios[n/2]) / 2
}

// If the backends of the model were not nasty enough, everything would pass.
func TestWhatTheBoundsAreAboutHappensToOtherBalancers(t *testing.T) {
	slow, failing := scenarios[0], scenarios[3]
	for _, p := range playedPolicies() {
		if p.name != leastLatency && p.name != "PeakEWMA" {
			assert.Greater(t, failing.measure(t, p.name, firstSeed).Failed, 0.04, "%s goes to a failing host", p.name)
			assert.Greater(t, slow.measure(t, p.name, firstSeed).P99, slow.mostP99, "%s has slow hosts wait", p.name)
		}
	}
}
