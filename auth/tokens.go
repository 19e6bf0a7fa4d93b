package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gatewright/gateway"
)

const (
	minTokenAge = 5 * time.Second // before a token that a backend refuses is not to blame
	minTokenGap = time.Second     // from one failed fetch to the next, doubled each time
	maxTokenGap = 30 * time.Second
	maxMargin   = 10 * time.Second // before its end from when on a token is not used: it has yet to get there
)

// issued is a token for a backend. The zero one is none.
type issued struct {
	value string
	since time.Time
	renew time.Time // from when on it is to be replaced, while it is used
	until time.Time // from when on it is not used
}

// newIssued returns a token that was asked for at since and is good for as long as life.
func newIssued(value string, since time.Time, life time.Duration) issued {
	life -= min(maxMargin, life/10)
	return issued{value, since, since.Add(life * 4 / 5), since.Add(life)}
}

// ask is for what a token is wanted. Nothing of it is kept when the token is there.
type ask struct {
	subject   Secret
	principal *Principal
	audience  string
}

// supply is one token and its successors. A request never waits while the token is good;
// if there is none, one fetch is for all who wait, and a failure is remembered for a
// while. So whatever clients do, and whatever a backend answers, there is one fetch at a
// time, and after one that fails or is in vain none for some seconds.
type supply struct {
	// fetch gets a token. An error is best a [gateway.Problem]. It may be the user's code
	// that runs, so it is called without the lock.
	fetch   func(ctx context.Context, a ask) (issued, error)
	timeout time.Duration

	mu       sync.Mutex
	held     issued
	flight   *flight          // the fetch under way; nil: none
	failures int              // since the last success
	failed   *gateway.Problem // how the last fetch has failed; nil: it has not
	again    time.Time        // before when there is no further one
}

// flight is a fetch. Its outcome is there when done is closed.
type flight struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	token  issued
	err    error
}

// get returns a token, or the [gateway.Problem] why there is none. It waits for one no
// longer than ctx lasts.
func (s *supply) get(ctx context.Context, a ask) (issued, error) {
	now := time.Now()
	s.mu.Lock()
	t, f := s.held, s.flight
	good := now.Before(t.until)
	if f == nil && !now.Before(t.renew) {
		if now.Before(s.again) && !good {
			err := s.remembered(now)
			s.mu.Unlock()
			return issued{}, err
		}
		if !now.Before(s.again) {
			f = s.begin(a)
		}
	}
	s.mu.Unlock()
	if good {
		return t, nil
	}
	return f.wait(ctx)
}

// remembered is the failure of the last fetch, for a request that must not make another.
func (s *supply) remembered(now time.Time) error {
	p := *s.failed
	if p.Status >= http.StatusInternalServerError {
		p.RetryAfter = s.again.Sub(now)
	}
	return &p
}

// begin starts a fetch. It is not the request's that starts it, which may leave: it has
// a context of its own, without the request's state.
func (s *supply) begin(a ask) *flight {
	f := &flight{done: make(chan struct{})}
	f.ctx, f.cancel = context.WithTimeout(context.Background(), s.timeout)
	s.flight = f
	go s.run(f, a)
	return f
}

func (s *supply) run(f *flight, a ask) {
	f.err = errors.New("auth: the fetch of a token was ended")
	defer func() {
		if v := recover(); v != nil { // which here would end the process
			f.err = fmt.Errorf("auth: the fetch of a token: %w", panicked(v))
		}
		s.land(f)
	}()
	f.token, f.err = s.fetch(f.ctx, a)
}

func (s *supply) land(f *flight) {
	now := time.Now()
	s.mu.Lock()
	s.flight = nil
	if f.err == nil {
		s.held, s.failures, s.failed, s.again = f.token, 0, nil, time.Time{}
	} else {
		s.failed = gateway.ProblemOf(f.err)
		s.again = now.Add(min(max(minTokenGap<<min(s.failures, 5), s.failed.RetryAfter), maxTokenGap))
		s.failures++
		f.err = s.remembered(now)
	}
	s.mu.Unlock()
	close(f.done)
	f.cancel()
}

// wait returns what f brings. A transport that does not heed its context keeps the fetch
// from ending, and so from being begun again, but nobody from leaving.
func (f *flight) wait(ctx context.Context) (issued, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		left := gateway.ProblemOf(ctx.Err())
		left.Err = fmt.Errorf("auth: waiting for a token: %w", context.Cause(ctx))
		return issued{}, left
	case <-f.ctx.Done():
	}
	select {
	case <-f.done:
		return f.token, f.err
	default:
		return issued{}, noTokenInTime()
	}
}

func noTokenInTime() error {
	return &gateway.Problem{
		Status: http.StatusServiceUnavailable, Fault: gateway.UpstreamTimeout, RetryAfter: minTokenGap,
		Err: errors.New("auth: no token in time"),
	}
}

// reject takes back a token that a backend has refused, and reports whether another is to
// be had. A token that was just issued is as good as its successor would be: so a backend
// that refuses all of them does not make each request fetch one.
func (s *supply) reject(t issued) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.value != t.value {
		return true
	}
	if time.Since(t.since) < minTokenAge {
		return false
	}
	s.held = issued{}
	return true
}

// carry sends r by base as the bearer of a token, and once more with another if a backend
// refuses the first and r can be sent twice.
func (s *supply) carry(base http.RoundTripper, r *http.Request, a ask) (*http.Response, error) {
	t, err := s.get(r.Context(), a)
	if err != nil {
		return refused(r, err)
	}
	res, err := base.RoundTrip(bearing(r, t))
	if err != nil || res.StatusCode != http.StatusUnauthorized || !s.reject(t) || !replayable(r) {
		return res, err
	}
	t, err = s.get(r.Context(), a)
	if err != nil {
		return res, nil // which is an answer, if not a good one
	}
	out, err := replayed(r)
	if err != nil {
		return res, nil
	}
	_ = res.Body.Close()
	return base.RoundTrip(bearing(out, t))
}

func bearing(r *http.Request, t issued) *http.Request {
	out := without(r, authorization)
	out.Header[authorization] = []string{"Bearer " + t.value}
	return out
}

func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// replayed returns r with its body from the beginning.
func replayed(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	out := r.WithContext(r.Context())
	out.Body = body
	return out, nil
}

// supplies is a supply for each of many, those used last if there are too many.
type supplies[K comparable] struct {
	lru   *lru.Cache[K, *supply] // nil: none is kept
	fetch func(ctx context.Context, a ask) (issued, error)
	limit time.Duration
}

// newSupplies returns supplies for as many as size: for zero the default, and for a negative
// one none that is found again.
func newSupplies[K comparable](size int, timeout time.Duration, fetch func(context.Context, ask) (issued, error)) *supplies[K] {
	if size < 0 {
		return &supplies[K]{nil, fetch, timeout}
	}
	if size == 0 {
		size = defaultRemember
	}
	c, err := lru.New[K, *supply](size)
	if err != nil {
		panic(err) // only a size of zero is refused
	}
	return &supplies[K]{c, fetch, timeout}
}

func (s *supplies[K]) of(k K) *supply {
	if s.lru == nil {
		return &supply{fetch: s.fetch, timeout: s.limit}
	}
	if found, ok := s.lru.Get(k); ok {
		return found
	}
	made := &supply{fetch: s.fetch, timeout: s.limit}
	if found, ok, _ := s.lru.PeekOrAdd(k, made); ok {
		return found
	}
	return made
}
