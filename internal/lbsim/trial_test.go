package lbsim_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

var update = flag.Bool("update", false, "write testdata/report.md anew")

// What may run at the same virtual time runs in the same order each time if only one
// thing runs at all. Chance is left to the balancers, which draw among equals.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// firstSeed is the report's. The others are those that the bounds were found with as well.
const firstSeed = 1000

func seeds() []uint64 {
	return played([]uint64{firstSeed, 1001, 1002, 1003}, func(seed uint64) bool { return seed == firstSeed })
}

// lasts is for how long a load lasts.
const lasts = 20 * time.Second

// played returns those of all that are played under the race detector, if it is there.
func played[T any](all []T, raced func(T) bool) []T {
	if !underRace {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !raced(x) })
}

// trial is a load on backends, through as many pools as there are gateways.
type trial struct {
	hosts    []lbsim.Host
	gateways int
	workers  int
	queue    int
	deaf     bool
	rate     float64 // arrivals a second
	legs     int     // of each
	law      lbsim.Law
	lasts    time.Duration
	config   func() balancer.Config
	wrap     func(http.RoundTripper) http.RoundTripper // what stands before a pool; nil: nothing
}

// short and wide are how much work requests are: 10 ms, the slowest hundredth more than 47
// or 28.
var (
	wide  = lbsim.Law{Mean: 10 * time.Millisecond, Sigma: 0.8}
	short = lbsim.Law{Mean: 10 * time.Millisecond, Sigma: 0.5}
)

// patience is how long clients wait.
const patience = 2 * time.Second

// outcome is what came of a trial.
type outcome struct {
	results  []lbsim.Result
	fleet    *lbsim.Fleet
	requests int // of the load, all legs
}

func (x trial) play(t *testing.T, seed uint64) (p outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.fleet = &lbsim.Fleet{Hosts: x.hosts, Workers: x.workers, Queue: x.queue, Deaf: x.deaf, Seed: seed}
		load := lbsim.Draw(seed, x.rate, x.lasts, max(1, x.legs), x.law)
		load.Timeout = patience
		pools := make([]http.RoundTripper, x.gateways)
		for i := range pools {
			c := x.config()
			c.Targets, c.Base = p.fleet.Targets(), p.fleet
			pool, err := balancer.New(c)
			require.NoError(t, err)
			defer pool.Close()
			pools[i] = pool
			if x.wrap != nil {
				pools[i] = x.wrap(pool)
			}
		}
		p.results = load.Play(t.Context(), shuffled(seed, pools)...)
		p.requests = len(load.Work)
	})
	return p
}

// shuffled returns the pools in so long a random order that no two of them meet the same
// requests again and again: gateways that take turns may march in step, or never.
func shuffled(seed uint64, pools []http.RoundTripper) []http.RoundTripper {
	random := rand.New(rand.NewPCG(seed, 31))
	order := make([]http.RoundTripper, 0, 1009)
	for range cap(order) {
		order = append(order, pools[random.IntN(len(pools))])
	}
	return order
}

func (p outcome) between(from, to time.Duration) lbsim.Stats {
	return lbsim.Between(p.results, from, to)
}

// settled is the numbers without the first fifth, in which balancers learn.
func (p outcome) settled(x trial) lbsim.Stats { return p.between(x.lasts/5, x.lasts) }

// full is how many requests a second of a law keep n hosts busy.
func full(n, workers int, law lbsim.Law) float64 {
	return float64(n*workers) / law.Mean.Seconds()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
