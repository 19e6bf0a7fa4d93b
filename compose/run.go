package compose

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"go.opentelemetry.io/otel/trace"
)

// result is what became of a part.
type result struct {
	json    []byte        // nil: there is none
	items   [][]byte      // of a part with Each: the answer for each element, nil where there is none
	err     *partError    // of a part that failed, whether or not there is something in its place
	skipped bool          // a value was missing, and that is no failure
	stale   bool          // json is the last good answer, of a part that failed
	header  http.Header   // of the response; nil: it is not one, or of many
	start   time.Duration // since the whole began
	took    time.Duration
	buffer  *[]byte // of which json is a piece; nil: of none that is used again
}

// partError is why a part failed: the problem of the whole, should the part be required.
type partError struct {
	part    string
	problem *gateway.Problem
}

// run is one request and its parts under way.
type run struct {
	agg     *Aggregator
	request *http.Request
	state   *exchange.State // of the request; nil: there is none
	ctx     context.Context
	cancel  context.CancelFunc
	began   time.Time
	results []result
	waiting []atomic.Int32 // for how many parts each one waits
	left    atomic.Int32   // parts that have not ended
	decided chan struct{}  // closed when all have ended or a required one has failed
	tracer  trace.Tracer   // of the request's span; nil: it is not recorded
	ended   func(i int)    // told of each part that has ended, one at a time; nil: nobody

	mu       sync.Mutex
	failures []int // required parts that have failed
	over     bool  // decided is closed

	few struct { // what the slices are of, where the parts are few
		results [fewParts]result
		waiting [fewParts]atomic.Int32
	}
}

const fewParts = 8

func newRun(a *Aggregator, r *http.Request) *run {
	x := &run{agg: a, request: r, state: exchange.From(r.Context()), decided: make(chan struct{})}
	x.tracer = tracerOf(r.Context())
	n := len(a.plan.steps)
	if n <= fewParts {
		x.results, x.waiting = x.few.results[:n], x.few.waiting[:n]
	} else {
		x.results, x.waiting = make([]result, n), make([]atomic.Int32, n)
	}
	x.left.Store(int32(n))
	for i := range a.plan.steps {
		x.waiting[i].Store(int32(len(a.plan.steps[i].after)))
	}
	return x
}

// do fetches every part, each as soon as those it waits for are there, and returns when
// all have ended or a required one has failed. The context then ends, and with it every
// call, which may be a moment after do has returned.
func (x *run) do() error {
	here := -1
	for i := range x.agg.plan.steps {
		s := &x.agg.plan.steps[i]
		switch {
		case len(s.after) > 0:
		case here < 0 && s.obeys:
			here = i
		default:
			go x.follow(i)
		}
	}
	if here >= 0 {
		x.follow(here) // on this goroutine, which would only wait
	}
	<-x.decided
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.failures) > 0 {
		return x.results[slices.Min(x.failures)].err.problem
	}
	return nil
}

// follow runs part i and one of those that have waited for it, and so on; the others get
// goroutines of their own.
func (x *run) follow(i int) {
	for i >= 0 {
		x.step(i)
		next := -1
		for _, j := range x.agg.plan.steps[i].before {
			switch {
			case x.waiting[j].Add(-1) > 0:
			case next < 0 && x.agg.plan.steps[j].obeys:
				next = j
			default:
				go x.follow(j)
			}
		}
		i = next
	}
}

// step runs part i to its end.
func (x *run) step(i int) {
	s, res := &x.agg.plan.steps[i], &x.results[i]
	begin := time.Now()
	res.start = begin.Sub(x.began)
	x.fetch(s, res)
	res.took = time.Since(begin)
	required := res.json == nil && res.err != nil && !s.optional
	x.mu.Lock()
	defer x.mu.Unlock()
	if required && !x.over { // those that are cancelled because of it fail too
		x.failures = append(x.failures, i)
	}
	if x.ended != nil && !x.over {
		x.ended(i)
	}
	if left := x.left.Add(-1); (left == 0 || required) && !x.over {
		x.over = true
		if left > 0 {
			x.cancel()
		}
		close(x.decided)
	}
}

// whole reports whether every part has ended, so that nobody uses the results any more.
func (x *run) whole() bool { return x.left.Load() == 0 }

// fetch gets part s and says in res what became of it.
func (x *run) fetch(s *step, res *result) {
	ctx, span := x.span(s)
	defer span.end(s, res)
	var err error
	if s.many {
		err = x.fetchEach(ctx, s, res)
	} else {
		err = x.fetchOne(ctx, s, res)
	}
	if err == nil {
		return
	}
	res.json, res.items = nil, nil
	if s.absent && errors.As(err, new(missing)) {
		res.skipped = true
		return
	}
	res.err = s.failure(err)
	if old, ok := s.keep.get(x, s, res.err); ok {
		res.json, res.stale = old, true
	} else if s.fallback != nil && !s.many {
		res.json = s.fallback
	}
}

func (x *run) fetchOne(ctx context.Context, s *step, res *result) error {
	sc := scope{r: x.request, results: x.results}
	a, err := x.call(ctx, s, &sc)
	if err != nil {
		return err
	}
	res.json, res.header, res.buffer = a.json, a.header, a.buffer
	if s.keep != nil {
		s.keep.put(x, &a)
	}
	return nil
}
