package lbsim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

// A brownout: for ten seconds half of all attempts fail, after all the work was done. The
// queues are long and the backends deaf, so that what is given up costs as much as what
// is not.
const (
	brownFrom = 4 * time.Second
	brownTo   = brownFrom + 10*time.Second
	brownEnd  = brownTo + 4*time.Second
)

func brownout(hosts, gateways int, config balancer.Config) trial {
	spell := lbsim.Spell{From: brownFrom, To: brownTo, Failing: 0.5}
	return trial{
		hosts: lbsim.During(hosts, spell), gateways: gateways, workers: 2, queue: 1000, deaf: true,
		rate: 0.7 * full(hosts, 2, wide), law: wide, lasts: brownEnd,
		config: func() balancer.Config { return config },
	}
}

// tryTimeout is of one attempt. What fails by it is sent again as well.
const tryTimeout = 500 * time.Millisecond

// brown is a brownout in numbers.
type brown struct {
	okDuring, okAfter   float64 // shares; after is from one second after the end on
	amplified           float64 // attempts for a request, during
	base, during, after time.Duration
}

func (p outcome) brown() brown {
	base, during := p.between(brownFrom/2, brownFrom), p.between(brownFrom, brownTo)
	after := p.between(brownTo+time.Second, brownEnd)
	return brown{
		okDuring: 1 - during.Failed, okAfter: 1 - after.Failed,
		amplified: float64(p.fleet.Asked(brownFrom, brownTo)) / float64(during.Count),
		base:      base.P99, during: during.P99, after: after.P99,
	}
}

// brownoutTrial is a trial.
type brownoutTrial struct {
	name     string
	gateways int
	config   balancer.Config
	raced    bool // also under the race detector
}

// brownouts are the trials. That of a single gateway is the harder one: what it ejects is
// ejected for all.
var brownouts = []brownoutTrial{
	{"one gateway, defaults", 1, balancer.Config{Retry: balancer.Retry{Timeout: tryTimeout}}, true},
	{"one gateway, PowerOfTwo", 1, balancer.Config{
		Balancer: balancer.PowerOfTwo(), Retry: balancer.Retry{Timeout: tryTimeout},
	}, false},
	{"8 gateways, defaults", 8, balancer.Config{Retry: balancer.Retry{Timeout: tryTimeout}}, false},
	{"8 gateways, defaults but no ejection", 8, balancer.Config{
		Retry: balancer.Retry{Timeout: tryTimeout}, Ejection: balancer.Ejection{Off: true},
	}, false},
}

func playedBrownouts() []brownoutTrial {
	return played(brownouts, func(b brownoutTrial) bool { return b.raced })
}

var browned = map[string]brown{}

func (b brownoutTrial) measure(t *testing.T) brown {
	t.Helper()
	got, ok := browned[b.name]
	if !ok {
		got = brownout(20, b.gateways, b.config).play(t, firstSeed).brown()
		browned[b.name] = got
	}
	return got
}

func TestRetriesDoNotKeepABrownoutUp(t *testing.T) {
	for _, b := range playedBrownouts() {
		t.Run(b.name, func(t *testing.T) {
			got := b.measure(t)
			assert.LessOrEqual(t, got.amplified, 1.25, "attempts for a request")
			assert.Greater(t, got.okDuring, 0.55, "and a fifth more helps some: 50 %% would be well without")
			assert.GreaterOrEqual(t, got.okAfter, 0.99)
			assert.Less(t, got.after, 2*got.base, "p99 a second after the end")
		})
	}
}

// insistent retries whatever fails, three times, as many programs do.
type insistent struct{ http.RoundTripper }

func (v insistent) RoundTrip(r *http.Request) (res *http.Response, err error) {
	for range 4 {
		res, err = v.RoundTripper.RoundTrip(r)
		if r.Context().Err() != nil || err == nil && res.StatusCode == http.StatusOK {
			break
		}
	}
	return res, err
}

func TestWithoutABudgetABrownoutOutlastsItsCause(t *testing.T) {
	x := brownout(5, 1, balancer.Config{
		Retry: balancer.Retry{Attempts: 1, Timeout: tryTimeout}, Ejection: balancer.Ejection{Off: true}, MaxInFlight: -1,
	})
	x.wrap = func(pool http.RoundTripper) http.RoundTripper { return insistent{pool} }
	got := x.play(t, firstSeed).brown()
	assert.Greater(t, got.amplified, 2.5)
	assert.Less(t, got.okAfter, 0.1)
}
