package balancer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Health asks each endpoint from time to time whether it is well. An endpoint that
// is not gets no requests; until its first checks it counts as well. The checks are
// GET requests through the pool's Base; any 2xx is a pass.
type Health struct {
	// Path is what is asked for, below the target's path, with or without a query.
	// Empty means no checks.
	Path string

	// Every is the time between two rounds of checks, give or take a tenth; the
	// first is made at once. Zero means 10 seconds.
	Every time.Duration

	// Timeout is how long one check may take. Zero means 2 seconds.
	Timeout time.Duration

	// Fall is how many failures in a row make an endpoint unhealthy. Zero means 3.
	Fall int

	// Rise is how many passes in a row make it healthy again. Zero means 2.
	Rise int
}

const (
	defaultEvery   = 10 * time.Second
	defaultTimeout = 2 * time.Second
	defaultFall    = 3
	defaultRise    = 2

	maxHealthBody = 64 << 10 // read so that the connection can be used again
)

func (h *Health) check() []error {
	faults := []error{
		notNegative("Health.Every", h.Every),
		notNegative("Health.Timeout", h.Timeout),
		notNegative("Health.Fall", h.Fall),
		notNegative("Health.Rise", h.Rise),
	}
	if h.Path == "" {
		return faults
	}
	if _, err := url.ParseRequestURI(h.Path); err != nil || !strings.HasPrefix(h.Path, "/") {
		faults = append(faults, fmt.Errorf("balancer: Health.Path %q is not a path", h.Path))
	}
	return faults
}

// checker makes the checks of one pool. It is one goroutine between the rounds,
// however many endpoints there are. It may be nil, which checks nothing.
type checker struct {
	Health
	url    *url.URL
	base   http.RoundTripper
	rows   []row
	cancel context.CancelFunc
	done   chan struct{}
}

// row counts the checks of one endpoint that ended the same way.
type row struct {
	endpoint *Endpoint
	passed   bool
	length   int
}

func startChecker(h Health, base http.RoundTripper, endpoints []*Endpoint) *checker {
	if h.Path == "" {
		return nil
	}
	h.Every = cmp.Or(h.Every, defaultEvery)
	h.Timeout = cmp.Or(h.Timeout, defaultTimeout)
	h.Fall = cmp.Or(h.Fall, defaultFall)
	h.Rise = cmp.Or(h.Rise, defaultRise)
	k := &checker{Health: h, base: base, done: make(chan struct{})}
	k.url, _ = url.ParseRequestURI(h.Path) // Config.check has seen that it parses
	for _, e := range endpoints {
		k.rows = append(k.rows, row{endpoint: e})
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	go k.run(ctx)
	return k
}

func (k *checker) stop() {
	if k != nil {
		k.cancel()
		<-k.done
	}
}

func (k *checker) run(ctx context.Context) {
	defer close(k.done)
	for {
		k.round(ctx)
		// Gateways that were started together must not check together for ever.
		if !sleep(ctx, k.Every*9/10+rand.N(k.Every/5+1)) {
			return
		}
	}
}

// round checks all endpoints at once and waits for the last.
func (k *checker) round(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range k.rows {
		wg.Go(func() {
			passed := k.ask(ctx, k.rows[i].endpoint)
			if ctx.Err() == nil { // Close cuts checks off, which says nothing about the endpoint
				k.rows[i].add(passed, k.Fall, k.Rise)
			}
		})
	}
	wg.Wait()
}

func (r *row) add(passed bool, fall, rise int) {
	if r.passed != passed {
		r.passed, r.length = passed, 0
	}
	r.length++
	switch {
	case passed && r.length >= rise:
		r.endpoint.unhealthy.Store(false)
	case !passed && r.length >= fall:
		r.endpoint.unhealthy.Store(true)
	}
}

// ask reports whether e says that it is well.
func (k *checker) ask(ctx context.Context, e *Endpoint) (passed bool) {
	// A panic here would end the process, where in a request it ends the request.
	defer func() {
		if recover() != nil {
			passed = false
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	u := new(url.URL)
	e.aim(u, k.url)
	r := (&http.Request{
		Method: http.MethodGet,
		URL:    u,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"gatewright-health"}},
	}).WithContext(ctx)
	res, err := k.base.RoundTrip(r)
	if err != nil || res == nil {
		return false
	}
	if res.Body != nil {
		defer res.Body.Close()
		_, _ = io.CopyN(io.Discard, res.Body, maxHealthBody)
	}
	return res.StatusCode >= 200 && res.StatusCode < 300
}
