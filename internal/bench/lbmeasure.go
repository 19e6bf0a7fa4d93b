package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gatewright/gateway/balancer"
	"github.com/gatewright/gateway/internal/lbsim"
)

// lbQuantities are what is measured, in the order of the report.
var lbQuantities = []string{"p50", "p90", "p99", "mean", "errors", "asked"}

// lbSample is one measurement, by quantity: milliseconds, the share that failed, and the
// attempts that were made for a request.
type lbSample map[string]float64

// lbRepeat is the samples of one repeat by scenario and policy. Of void ones there is none.
type lbRepeat map[string]map[string]lbSample

// mostAgain is how often a void measurement is made anew.
const mostAgain = 2

// measure returns the repeats. What goes wrong in a measurement is told on stderr; the
// error is for what keeps all of them from being made.
func (o *lbOptions) measure(ctx context.Context, stderr io.Writer) (repeats []lbRepeat, err error) {
	p, err := start(ctx, lbBackendRole, setup{Listeners: lbBackends})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for i := range o.repeats {
		repeat := lbRepeat{}
		for _, s := range o.scenarios {
			repeat[s.name] = o.scenario(ctx, s, p.addrs, i, stderr)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		repeats = append(repeats, repeat)
	}
	return repeats, nil
}

// scenario measures every policy once, with the same arrivals and the same work.
func (o *lbOptions) scenario(ctx context.Context, s lbScenario, addrs []string, repeat int, stderr io.Writer) map[string]lbSample {
	samples := make(map[string]lbSample)
	for i, policy := range s.policies {
		if !o.wants(i, policy) {
			continue
		}
		sample, err := o.policy(ctx, s, policy, addrs, repeat)
		for again := 0; err != nil && ctx.Err() == nil && again < mostAgain; again++ {
			fmt.Fprintf(stderr, "repeat %d: %s %s is void: %v\n", repeat+1, s.name, policy.name, err)
			sample, err = o.policy(ctx, s, policy, addrs, repeat)
		}
		if err != nil {
			continue
		}
		samples[policy.name] = sample
		fmt.Fprintf(stderr, "repeat %d: %s %s:", repeat+1, s.name, policy.name)
		for _, q := range lbQuantities {
			fmt.Fprintf(stderr, " %s %.4g", q, sample[q])
		}
		fmt.Fprintln(stderr)
	}
	return samples
}

func (o *lbOptions) policy(ctx context.Context, s lbScenario, policy lbPolicy, addrs []string, repeat int) (lbSample, error) {
	hosts := s.hosts(o.time)
	targets := make([]string, len(addrs))
	for i, addr := range addrs {
		targets[i] = "http://" + addr
		if err := become(ctx, targets[i], lbHost{hosts[i], s.workers, lbQueue}); err != nil {
			return nil, err
		}
	}
	rate := s.load * float64(s.workers) * lbsim.Power(hosts, o.time) / s.law.Mean.Seconds() / float64(s.legs)
	load := lbsim.Draw(uint64(repeat), rate, o.time, s.legs, s.law)
	load.Timeout = lbTimeout
	pools, clients := make([]*balancer.Pool, lbPools), make([]http.RoundTripper, lbPools)
	for i := range pools {
		c := policy.config()
		c.Targets = targets
		pools[i] = balancer.Must(c)
		defer pools[i].Close()
		clients[i] = pools[i]
	}
	results := load.Play(ctx, clients...)
	stats := lbsim.Between(results, time.Duration(lbDropped*float64(o.time)), o.time)
	switch {
	case stats.Count == 0:
		return nil, errors.New("no request was left to count")
	case stats.Late > o.late:
		return nil, fmt.Errorf("the generator was late by %v", stats.Late)
	}
	return lbSample{
		"p50": millis(stats.P50), "p90": millis(stats.P90), "p99": millis(stats.P99), "mean": millis(stats.Mean),
		"errors": stats.Failed, "asked": float64(attempts(pools)) / float64(len(load.Work)),
	}, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// attempts is how many requests the pools have sent.
func attempts(pools []*balancer.Pool) (sum int64) {
	for _, p := range pools {
		for _, e := range p.Snapshot().Endpoints {
			sum += e.Attempts
		}
	}
	return sum
}

// become has a backend begin anew as a host.
func become(ctx context.Context, url string, h lbHost) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}
