package lbsim_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

// page is arrivals that wait for ten legs each, of hosts that pause now and then.
func page(hosts int, deaf bool, hedge balancer.Hedge) trial {
	return trial{
		hosts: lbsim.Pausing(hosts, lasts, firstSeed), gateways: 8, workers: 8, queue: 1000, deaf: deaf,
		rate: 0.4 * full(hosts, 8, short) / 10, legs: 10, law: short, lasts: lasts,
		config: func() balancer.Config { return balancer.Config{Hedge: hedge} },
	}
}

// fan is a page in numbers.
type fan struct {
	lbsim.Stats
	asked float64 // requests to the backends for each leg
}

// pageTrial is a trial with a hedge and without.
type pageTrial struct {
	name  string
	hosts int
	deaf  bool // the backend does not notice that the loser is no longer wanted
	raced bool // also under the race detector
}

var pages = []pageTrial{
	{"8 hosts, the loser aborted", 8, false, false},
	{"8 hosts, the loser not aborted", 8, true, true},
	{"20 hosts, the loser not aborted", 20, true, false},
}

func playedPages() []pageTrial {
	return played(pages, func(p pageTrial) bool { return p.raced })
}

var fans = map[string]fan{}

func (p pageTrial) measure(t *testing.T, after float64) fan {
	t.Helper()
	key := fmt.Sprint(p.name, after)
	got, ok := fans[key]
	if !ok {
		x := page(p.hosts, p.deaf, balancer.Hedge{After: after})
		out := x.play(t, firstSeed)
		got = fan{out.settled(x), float64(out.fleet.Asked(0, 2*x.lasts)) / float64(out.requests)}
		fans[key] = got
	}
	return got
}

func TestHedgesHalveTheTailOfAPage(t *testing.T) {
	for _, p := range playedPages() {
		t.Run(p.name, func(t *testing.T) {
			without := p.measure(t, 0)
			with := p.measure(t, 0.95)
			assert.LessOrEqual(t, with.P99, without.P99/2)
			assert.LessOrEqual(t, with.asked, 1.06)
			assert.Zero(t, with.Failed)
		})
	}
}

const (
	slowFrom = 5 * time.Second
	slowTo   = slowFrom + 10*time.Second
	slowEnd  = slowTo + 4*time.Second
)

// slowdown is all hosts slower for a while, so that they are nearly full without any hedge.
func slowdown(config balancer.Config) trial {
	spell := lbsim.Spell{From: slowFrom, To: slowTo, Slower: 1.7}
	return trial{
		hosts: lbsim.During(10, spell), gateways: 4, workers: 2, queue: 1000, deaf: true,
		rate: 0.55 * full(10, 2, short), law: short, lasts: slowEnd,
		config: func() balancer.Config { return config },
	}
}

func TestHedgesDoNotBringDownWhatIsSlow(t *testing.T) {
	p := slowdown(balancer.Config{Hedge: balancer.Hedge{After: 0.95}}).play(t, firstSeed)
	during, after := p.between(slowFrom, slowTo), p.between(slowTo+time.Second, slowEnd)
	assert.LessOrEqual(t, during.Failed, 0.001)
	assert.Zero(t, after.Failed)
	assert.Less(t, after.P99, 2*p.between(slowFrom/2, slowFrom).P99)
	assert.LessOrEqual(t, float64(p.fleet.Asked(slowFrom, slowTo))/float64(during.Count), 1.11)
}

// impatient sends a request again whenever it takes longer than a delay that somebody has
// once found good.
type impatient struct {
	http.RoundTripper
	delay time.Duration
}

func (h impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	type arrival struct {
		res *http.Response
		err error
	}
	arrivals := make(chan arrival, 2)
	send := func() {
		res, err := h.RoundTripper.RoundTrip(r.WithContext(ctx))
		arrivals <- arrival{res, err}
	}
	go send()
	timer := time.NewTimer(h.delay)
	defer timer.Stop()
	select {
	case first := <-arrivals:
		return first.res, first.err
	case <-timer.C:
		go send()
	}
	first := <-arrivals
	return first.res, first.err
}

func TestHedgesWithoutABudgetBringDownWhatIsSlow(t *testing.T) {
	x := slowdown(balancer.Config{Retry: balancer.Retry{Attempts: 1}, Ejection: balancer.Ejection{Off: true}, MaxInFlight: -1})
	x.wrap = func(pool http.RoundTripper) http.RoundTripper { return impatient{pool, 25 * time.Millisecond} }
	p := x.play(t, firstSeed)
	assert.Greater(t, p.between(slowFrom, slowTo).Failed, 0.5)
	assert.Greater(t, p.between(slowTo+time.Second, slowEnd).Failed, 0.9)
}
