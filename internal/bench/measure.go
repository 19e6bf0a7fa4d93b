package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// warmup is how long a scenario is loaded before it is measured: its connections are
// then open, its heap has its size and its tables what belongs in them.
const warmup = 500 * time.Millisecond

// sample is what one measurement has found.
type sample struct {
	rps      float64 // requests a second
	cpu      float64 // microseconds a request
	p50, p99 float64 // microseconds
}

// round is the samples of the scenarios by name. Of void measurements there is none.
type round map[string]sample

// bench is a run: what all its measurements share.
type bench struct {
	options
	backend *process
	key     []byte
	tokens  []string
	stderr  io.Writer
}

// measure returns the rounds. What goes wrong in a measurement is told on stderr; the
// error is for what keeps all of them from being made.
func (o options) measure(ctx context.Context, stderr io.Writer) (rounds []round, err error) {
	b := &bench{options: o, stderr: stderr}
	if b.key, b.tokens, err = issue(o.conns * usersPerConn); err != nil {
		return nil, err
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o750); err != nil {
			return nil, err
		}
	}
	if b.backend, err = start(ctx, backendRole, setup{Listeners: endpoints}); err != nil {
		return nil, err
	}
	for i := range o.rounds {
		rounds = append(rounds, b.round(ctx, i))
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), b.backend.stop())
		}
	}
	return rounds, b.backend.stop()
}

func (b *bench) round(ctx context.Context, i int) round {
	r := round{}
	first := i % len(b.scenarios)
	for _, s := range slices.Concat(b.scenarios[first:], b.scenarios[:first]) {
		sample, err := b.scenario(ctx, s, i)
		switch {
		case ctx.Err() != nil:
			return r
		case err != nil:
			fmt.Fprintf(b.stderr, "round %d: %s is void: %v\n", i+1, s.name, err)
		default:
			fmt.Fprintf(b.stderr, "round %d: %s %.0f requests/s, %.1f µs\n", i+1, s.name, sample.rps, sample.cpu)
			r[s.name] = sample
		}
	}
	return r
}

// scenario starts s, measures it and ends it.
func (b *bench) scenario(ctx context.Context, s scenario, i int) (_ sample, err error) {
	with := setup{Listeners: 1, Key: b.key}
	for _, addr := range b.backend.addrs {
		with.Backends = append(with.Backends, "http://"+addr)
	}
	if b.profiles != "" {
		with.Profile = filepath.Join(b.profiles, fmt.Sprintf("%s-%d.pprof", s.name, i+1))
	}
	p, err := start(ctx, s.name, with)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	var tokens []string
	if s.tokens {
		tokens = b.tokens
	}
	l, err := dial(p.addrs[0], b.conns, s, tokens)
	if err != nil {
		return sample{}, err
	}
	defer l.close()
	if err := l.prime(); err != nil {
		return sample{}, err
	}
	if _, err := l.run(min(warmup, b.time)); err != nil {
		return sample{}, err
	}
	return b.sample(p, l)
}

func (b *bench) sample(p *process, l load) (sample, error) {
	before, err := p.cpuTime()
	if err != nil {
		return sample{}, err
	}
	t, err := l.run(b.time)
	if err != nil {
		return sample{}, err
	}
	after, err := p.cpuTime()
	if err != nil {
		return sample{}, err
	}
	n := float64(t.took.count())
	return sample{
		rps: n / t.elapsed.Seconds(),
		cpu: micros(after-before) / n,
		p50: micros(t.took.quantile(0.50)),
		p99: micros(t.took.quantile(0.99)),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
