package balancer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Health asks each endpoint from time to time whether it is well. One that is not gets no
// requests; until its first checks it counts as well. It is asked in one of three ways:
// Path, TCP or GRPC. That it passes does not end an [Ejection], which is about the
// requests that it was given.
//
// Close waits for checks that are under way, having ended their context.
type Health struct {
	// Path is what a GET through the pool's Base asks for, below the target's path, with or
	// without a query; any 2xx is a pass. Empty means not to ask so.
	Path string

	// TCP asks for a connection, to an https target with its TLS handshake, and closes it
	// again. It does not go through a Base. False means not to ask so.
	TCP bool

	// GRPC asks grpc.health.v1.Health/Check through the pool's Base, which must speak
	// HTTP/2 to the targets; SERVING is a pass. The pool's own transport does so for
	// targets whose scheme is h2c or https. False means not to ask so.
	GRPC bool

	// Service is whom GRPC asks about. Empty means the server as a whole.
	Service string

	// Every is the time between two rounds of checks, give or take a tenth; the first is
	// made at once, and that of an endpoint which comes later too. Zero means 10 seconds.
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
)

func (h *Health) check() []error {
	faults := []error{
		notNegative("Health.Every", h.Every),
		notNegative("Health.Timeout", h.Timeout),
		notNegative("Health.Fall", h.Fall),
		notNegative("Health.Rise", h.Rise),
	}
	switch kinds := h.kinds(); {
	case kinds > 1:
		faults = append(faults, errors.New("balancer: Health has more than one of Path, TCP and GRPC"))
	case kinds == 0 && *h != Health{}:
		faults = append(faults, errors.New("balancer: Health has none of Path, TCP and GRPC"))
	}
	if h.Service != "" && !h.GRPC {
		faults = append(faults, errors.New("balancer: Health.Service is for GRPC"))
	}
	if !utf8.ValidString(h.Service) {
		faults = append(faults, fmt.Errorf("balancer: Health.Service %q is not UTF-8", h.Service))
	}
	if h.Path == "" {
		return faults
	}
	if _, err := url.ParseRequestURI(h.Path); err != nil || !strings.HasPrefix(h.Path, "/") {
		faults = append(faults, fmt.Errorf("balancer: Health.Path %q is not a path", h.Path))
	}
	return faults
}

// kinds returns how many ways of asking are set.
func (h *Health) kinds() (n int) {
	for _, set := range []bool{h.Path != "", h.TCP, h.GRPC} {
		if set {
			n++
		}
	}
	return n
}

// checker makes the checks of one pool. It is one goroutine between the rounds,
// however many endpoints there are. It may be nil, which checks nothing.
type checker struct {
	Health
	pool     *Pool
	probe    func(context.Context, *Endpoint) error
	config   *tls.Config   // for connections of its own; nil: the zero value
	url      *url.URL      // what is asked for over HTTP
	news     chan struct{} // there may be endpoints that were never checked
	underWay sync.WaitGroup

	mu   sync.Mutex
	rows map[*Endpoint]*row
}

// row counts the checks of one endpoint that ended the same way.
type row struct {
	endpoint *Endpoint
	passed   bool
	length   int
	since    time.Time // when the check under way began; zero: there is none
}

// newChecker returns nil for no checks.
func newChecker(h Health, config *tls.Config, p *Pool) *checker {
	if h.kinds() == 0 {
		return nil
	}
	h.Every = cmp.Or(h.Every, defaultEvery)
	h.Timeout = cmp.Or(h.Timeout, defaultTimeout)
	h.Fall = cmp.Or(h.Fall, defaultFall)
	h.Rise = cmp.Or(h.Rise, defaultRise)
	k := &checker{Health: h, pool: p, config: config, rows: make(map[*Endpoint]*row), news: make(chan struct{}, 1)}
	switch {
	case h.TCP:
		k.probe = k.dial
	case h.GRPC:
		k.probe, k.url = k.askGRPC, &url.URL{Path: grpcCheck}
	default:
		k.probe = k.askHTTP
		k.url, _ = url.ParseRequestURI(h.Path) // Config.check has seen that it parses
	}
	return k
}

// kick has endpoints checked at once that have come.
func (k *checker) kick() {
	if k == nil {
		return
	}
	select {
	case k.news <- struct{}{}:
	default:
	}
}

func (k *checker) run(ctx context.Context) {
	defer k.underWay.Wait()
	k.round(ctx, true)
	timer := time.NewTimer(k.pause())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			k.round(ctx, true)
			timer.Reset(k.pause())
		case <-k.news:
			k.round(ctx, false)
		case <-ctx.Done():
			return
		}
	}
}

// pause differs, as gateways that were started together must not check together for ever.
func (k *checker) pause() time.Duration { return k.Every*9/10 + rand.N(k.Every/5+1) }

// round begins checks of all endpoints, or of those that were never checked. It waits for
// none: one that hangs must not hold up what is next for the others.
func (k *checker) round(ctx context.Context, all bool) {
	k.mu.Lock()
	var begin, stuck []*row
	for e := range k.rows {
		if e.has(removed) {
			delete(k.rows, e)
		}
	}
	for _, e := range k.pool.set.Load().endpoints {
		r := k.rows[e]
		switch {
		case r == nil:
			r = &row{endpoint: e}
			k.rows[e] = r
		case !all:
			continue
		case !r.since.IsZero():
			if time.Since(r.since) > 2*k.Timeout { // it is not just about to
				stuck = append(stuck, r)
			}
			continue
		}
		r.since = time.Now()
		begin = append(begin, r)
	}
	k.mu.Unlock()
	for _, r := range stuck {
		k.add(r, errStuck)
	}
	for _, r := range begin {
		k.underWay.Go(func() { k.check(ctx, r) })
	}
}

// errStuck is the verdict on a check whose transport does not obey its context.
var errStuck = errors.New("the check does not end")

// check makes a check and takes what it has shown.
func (k *checker) check(ctx context.Context, r *row) {
	err := k.ask(ctx, r.endpoint)
	k.mu.Lock()
	r.since = time.Time{}
	k.mu.Unlock()
	if ctx.Err() == nil { // Close cuts checks off, which says nothing about the endpoint
		k.add(r, err)
	}
}

// ask returns nil if e says that it is well, and otherwise what is wrong.
func (k *checker) ask(ctx context.Context, e *Endpoint) (err error) {
	// A panic here would end the process, where in a request it ends the request.
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	return k.probe(ctx, e)
}

// add takes the result of a check.
func (k *checker) add(r *row, err error) {
	p, e, passed := k.pool, r.endpoint, err == nil
	switch length := k.count(r, passed); {
	case e.has(removed): // it went while it was checked
	case passed && length >= k.Rise && e.setFlag(unhealthy, false):
		e.forget()
		e.warmUp(p.clock.now())
		p.emit(Event{Kind: Healthy, Endpoint: e})
	case !passed && length >= k.Fall && e.setFlag(unhealthy, true):
		p.emit(Event{Kind: Unhealthy, Endpoint: e, Err: err})
	}
}

// count returns how many checks in a row have ended like this one.
func (k *checker) count(r *row, passed bool) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.passed != passed {
		r.passed, r.length = passed, 0
	}
	r.length++
	return r.length
}

// request is one for what the checker asks of e.
func (k *checker) request(ctx context.Context, e *Endpoint, method string, h http.Header) *http.Request {
	u := new(url.URL)
	e.aim(u, k.url)
	h.Set("User-Agent", "gatewright-health")
	r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h}
	e.name(r)
	return r.WithContext(ctx)
}

// exchange sends r. The response has a body.
func (k *checker) exchange(r *http.Request) (*http.Response, error) {
	res, err := k.pool.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if res == nil {
		return nil, errors.New("neither a response nor an error")
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	return res, nil
}
