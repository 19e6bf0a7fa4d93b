// Package lbsim is upstreams and load for balancers to be tried on. A [Fleet] is backends
// that are a queue with workers each, as a [http.RoundTripper]; a [Load] is requests that
// come when they come, whether or not earlier ones were answered. In a bubble of
// testing/synctest a minute of thousands of requests a second takes seconds, of the real
// balancer.Pool, and without a clock that would have to be passed around.
//
//	Load.Play ──▶ balancer.Pool ──▶ Fleet: waiting ──▶ workers, of the host's speed
//	 (Poisson)     (the real one)            │ no place: 503
//
// The loopback benchmark in internal/bench uses the same loads and hosts over real
// connections.
package lbsim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// WorkHeader is the field that says how much work a request is, in microseconds.
const WorkHeader = "X-Work-Us"

// Fleet is a [http.RoundTripper] to backends that exist only in time. They are called
// host-0, host-1 and so on. Its time begins with its first request.
type Fleet struct {
	Hosts   []Host
	Workers int // requests that a backend serves at a time
	Queue   int // requests that may wait at a backend; for more it answers 503

	// Deaf backends go on with a request whose client has gone, as most real ones do: it
	// keeps its place and its worker. Zero means that they stop.
	Deaf bool

	// Seed is of what is drawn, which is the requests that fail. Zero is a seed like any.
	Seed uint64

	once     sync.Once
	began    time.Time
	backends map[string]*backend

	mu     sync.Mutex
	random *rand.Rand
	asked  []int // requests by tallyEvery since the beginning
}

// tallyEvery is how finely a fleet counts its requests.
const tallyEvery = 100 * time.Millisecond

func (f *Fleet) begin() {
	f.began = time.Now()
	f.random = rand.New(rand.NewPCG(f.Seed, 13))
	f.backends = make(map[string]*backend)
	for i := range f.Hosts {
		f.backends[hostName(i)] = &backend{fleet: f, host: &f.Hosts[i]}
	}
}

func hostName(i int) string { return "host-" + strconv.Itoa(i) }

// Targets returns the backends' URLs.
func (f *Fleet) Targets() []string {
	targets := make([]string, len(f.Hosts))
	for i := range targets {
		targets[i] = "http://" + hostName(i)
	}
	return targets
}

// Asked returns how many requests the backends were sent between two times.
func (f *Fleet) Asked(from, to time.Duration) (sum int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, n := range f.asked {
		if at := time.Duration(i) * tallyEvery; from <= at && at < to {
			sum += n
		}
	}
	return sum
}

// RoundTrip implements [http.RoundTripper].
func (f *Fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	f.once.Do(f.begin)
	b := f.backends[r.URL.Host]
	micros, err := strconv.ParseInt(r.Header.Get(WorkHeader), 10, 64)
	if b == nil || err != nil {
		return nil, fmt.Errorf("lbsim: %s asked for %q", r.URL.Host, r.Header.Get(WorkHeader))
	}
	f.count()
	status, err := b.serve(r.Context(), time.Duration(micros)*time.Microsecond)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func (f *Fleet) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := int(time.Since(f.began) / tallyEvery)
	for len(f.asked) <= i {
		f.asked = append(f.asked, 0)
	}
	f.asked[i]++
}

// fails draws whether a request fails.
func (f *Fleet) fails(share float64) bool {
	if share == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.Float64() < share
}

// failFast is how long a host takes that fails everything.
const failFast = time.Millisecond

// backend is a queue with workers.
type backend struct {
	fleet *Fleet
	host  *Host

	mu    sync.Mutex
	busy  int
	queue []*job
}

// job is a request at a backend.
type job struct {
	work   time.Duration
	done   chan int    // gets the status
	timer  *time.Timer // of its end; nil: it has not begun
	status int
	over   bool
}

func (b *backend) serve(ctx context.Context, work time.Duration) (int, error) {
	if b.host.FailFast {
		time.Sleep(failFast)
		return http.StatusInternalServerError, ctx.Err()
	}
	j := &job{work: work, done: make(chan int, 1)}
	if !b.accept(j) {
		return http.StatusServiceUnavailable, nil
	}
	select {
	case status := <-j.done:
		return status, nil
	case <-ctx.Done():
		if !b.fleet.Deaf {
			b.abandon(j)
		}
		return 0, context.Cause(ctx)
	}
}

// accept begins j or has it wait, and reports whether there was a place.
func (b *backend) accept(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.busy < b.fleet.Workers:
		b.busy++
		b.start(j)
	case len(b.queue) < b.fleet.Queue:
		b.queue = append(b.queue, j)
	default:
		return false
	}
	return true
}

// start gives j a worker that is free. The lock is held.
func (b *backend) start(j *job) {
	at := time.Since(b.fleet.began)
	j.status = http.StatusOK
	if b.fleet.fails(b.host.Failing(at)) {
		j.status = http.StatusBadGateway
	}
	j.timer = time.AfterFunc(b.host.End(at, j.work)-at, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end(j)
	})
}

// end has j's worker go on with the next. The lock is held.
func (b *backend) end(j *job) {
	if j.over {
		return
	}
	j.over = true
	j.done <- j.status
	if len(b.queue) == 0 {
		b.busy--
		return
	}
	next := b.queue[0]
	b.queue = b.queue[1:]
	b.start(next)
}

// abandon ends j before it is done.
func (b *backend) abandon(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.timer != nil {
		j.timer.Stop()
		b.end(j)
		return
	}
	for i, waiting := range b.queue {
		if waiting == j {
			b.queue = append(b.queue[:i:i], b.queue[i+1:]...)
			return
		}
	}
}
