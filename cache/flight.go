package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// flights are the fetches under way that others may join, by the key of what they are for.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

// flight is one fetch from the origin, for the request that began it and those that have
// joined. It is nobody's: it goes on when the first leaves, and ends when all have.
type flight struct {
	key     string // under which it can be joined
	primary string // of what is asked for
	uri     string
	why     string        // it is made, in the word of Cache-Status
	lead    *http.Request // the first's, with the flight's context
	base    http.RoundTripper
	sought  time.Time // what is stored was looked up; zero: what is stored since does not suit
	begun   time.Time
	known   *entry // what is stored; nil: nothing is
	stale   *entry // whether it still holds is asked; nil: nothing is
	cancel  context.CancelFunc
	landed  chan struct{} // closed when what follows is known

	// What it has brought: an error, an entry, or else a response for one only.
	err     error
	entry   *entry
	header  http.Header // what came with it, for the first: with what is for nobody else
	body    *buffer     // of the entry, as it arrives
	flows   bool        // it does so; false: the entry has it all
	late    bool        // the entry was stored by another flight
	length  int64       // of the body, if it was declared; -1: it was not
	detail  string      // for Cache-Status
	refused string      // why it is for one only
	failed  bool        // it says that the origin has failed

	mu      sync.Mutex
	res     *http.Response // nil: it was taken
	waiting int            // for it to land, or for more of the body
	ended   bool           // nobody is
}

// join returns the flight for key with a seat in it, or a new one, which is to be started
// and has none yet.
func (g *engine) join(key string, ctx context.Context, begin func() *flight) (*flight, *reading) {
	g.flights.mu.Lock()
	defer g.flights.mu.Unlock()
	if running := g.flights.byKey[key]; running != nil && !g.isOutdated(running) {
		if seat := running.enter(ctx); seat != nil {
			return running, seat
		}
	}
	fresh := begin()
	g.flights.byKey[key] = fresh
	return fresh, nil
}

// isOutdated reports whether what f asks for was changed or purged since: who asks now must
// not get what was there before.
func (g *engine) isOutdated(f *flight) bool {
	return g.changed.since(f.primary, f.begun) || !g.purges.holds(&entry{uri: f.uri, born: f.begun})
}

// drop has nobody join the flight for a key any more: what it brings was asked for before
// that has changed.
func (f *flights) drop(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byKey, key)
}

// clear is drop for all.
func (f *flights) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byKey = make(map[string]*flight)
}

// leave has nobody join any more.
func (f *flights) leave(one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey[one.key] == one {
		delete(f.byKey, one.key)
	}
}

// enter returns a seat for one more, or nil if it is too late.
func (f *flight) enter(ctx context.Context) *reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil
	}
	f.waiting++
	return f.seat(ctx)
}

// seat is for one who waits, and then for the body, of which nothing is missed from now on.
// It is closed by who leaves.
func (f *flight) seat(ctx context.Context) *reading { return f.body.reader(ctx, f.exit) }

// exit is called once for each, when it has what it came for, or has left.
func (f *flight) exit() {
	f.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	f.ended = last
	f.mu.Unlock()
	if !last {
		return
	}
	f.cancel()
	if res := f.take(); res != nil {
		_ = res.Body.Close()
	}
}

// launch begins a flight for r, which waits for it.
func (g *engine) launch(r *http.Request, q *query) *flight {
	ctx, cancel := context.WithCancel(detach(r.Context()))
	f := &flight{
		key: q.found.key, primary: q.key, uri: q.uri, why: q.why, known: q.found.entry, sought: q.began, begun: time.Now(),
		lead: r.Clone(ctx), base: q.base, cancel: cancel, landed: make(chan struct{}), body: newBuffer(g.policy.maxBody), waiting: 1,
	}
	if e := q.found.entry; e != nil && hasValidator(e.header) {
		f.stale = e
	}
	return f
}

// fly fetches, and stores what may be. It runs on a goroutine of its own.
func (g *engine) fly(f *flight) {
	defer g.flights.leave(f)
	defer func() {
		if recover() != nil { // it must end these requests, and not the process
			f.fail(errPanicked)
		}
	}()
	if !g.foundLate(f) {
		g.fetch(f)
	}
}

// foundLate has f land with what another flight has stored after what is stored was looked
// up for f, and before f began. So there is no gap in which one more reaches the origin.
func (g *engine) foundLate(f *flight) bool {
	if f.why == fwdRequest || f.sought.IsZero() || !g.stored.since(f.primary, f.sought) {
		return false
	}
	e, now := g.find(f.lead, f.primary).entry, time.Now()
	// An invalidation marks first and deletes then: what is found in between must not be what
	// those get who join after it.
	if e == nil || !g.stands(e, f.primary) || g.changed.since(f.primary, e.born) || e.refusal(requestControl(f.lead.Header), now) != "" {
		return false
	}
	f.entry, f.late, f.detail = e, true, "hit; ttl="+seconds(e.lifetime-e.ageAt(now))
	f.land()
	return true
}

var errPanicked = errors.New("cache: the Base panicked")

// detach returns ctx without its end and with a state of its own, as the request that it
// belongs to may be gone before what it has begun.
func detach(ctx context.Context) context.Context {
	s := exchange.From(ctx)
	ctx = exchange.Fork(context.WithoutCancel(ctx))
	if s != nil && s.Interim != nil {
		exchange.From(ctx).Interim = s.Interim // it knows itself when nobody takes any more
	}
	return ctx
}

// land lets those who wait have what f has brought.
func (f *flight) land() { close(f.landed) }

// fail lands without anything, unless f has landed.
func (f *flight) fail(err error) {
	select {
	case <-f.landed:
		if f.body != nil {
			f.body.end(err, nil)
		}
	default:
		f.err = err
		f.land()
	}
}

func (g *engine) fetch(f *flight) {
	sent := time.Now()
	r := f.lead
	if f.stale != nil {
		r = conditional(r, f.stale)
	}
	res, err := f.base.RoundTrip(r)
	switch {
	case err != nil:
		f.fail(err)
	case f.lead.Context().Err() != nil: // a Base that does not look at it: it would be late for all
		_ = res.Body.Close()
		f.fail(f.lead.Context().Err())
	case f.stale != nil && res.StatusCode == http.StatusNotModified:
		_ = res.Body.Close() // there is nothing in it
		if !g.freshen(f, res.Header, sent) {
			f.stale = nil // it was about something else: so the whole is fetched
			g.fetch(f)
		}
	default:
		g.receive(f, res, sent)
	}
}

// freshen has the stale entry updated by a 304 (RFC 9111 section 4.3.4). It reports
// whether the 304 was about that.
func (g *engine) freshen(f *flight, header http.Header, sent time.Time) bool {
	h := canonical(header, time.Now())
	if !f.stale.isSelectedBy(h) || !g.purges.holds(f.stale) {
		return false
	}
	e, refused := g.updated(f.lead, f.stale, h, sent)
	switch refused {
	case "":
		g.store(f.lead, f.primary, e)
	case notTheirs: // what is stored stays: this is for one, and says nothing of what all get
		g.busy.mark(f.key + withCredentials)
	default:
		g.forget(f.stale)
		g.busy.mark(f.key)
	}
	f.entry, f.refused, f.detail = e, refused, "fwd="+f.why+"; fwd-status=304"
	f.land()
	return true
}

// updated returns e with what a 304, or a HEAD's 200, says, and why it is not to be stored.
func (g *engine) updated(r *http.Request, e *entry, h http.Header, sent time.Time) (fresh *entry, refused string) {
	h = e.merged(h)
	v := g.policy.judge(r, e.status, h)
	fresh = g.policy.entry(v, e.status, h, sent, time.Now())
	fresh.groups = within(r, fresh.groups)
	fresh.uri, fresh.body = e.uri, e.body
	return fresh, v.refused
}

// receive takes a response of the origin: for all if it may be shared, and otherwise for
// the one who has asked.
func (g *engine) receive(f *flight, res *http.Response, sent time.Time) {
	if res.Body == nil {
		res.Body = http.NoBody
	}
	e, refused := g.storable(f.lead, res, sent)
	f.detail, f.failed = "fwd="+f.why, isFailure(res.StatusCode)
	if f.failed && f.known.rescues(time.Now()) {
		refused = "failure" // what is stored is better, however long this is fresh
	}
	if refused != "" {
		g.handOver(f, res, refused)
		return
	}
	e.uri = f.uri
	f.entry, f.header = e, res.Header.Clone()
	g.share(f, res)
}

// storable returns what would be stored of a response to r, and why it is not to be.
func (g *engine) storable(r *http.Request, res *http.Response, sent time.Time) (e *entry, refused string) {
	now := time.Now()
	h := canonical(res.Header, now)
	v := g.policy.judge(r, res.StatusCode, h)
	if v.refused != "" {
		return nil, v.refused
	}
	e = g.policy.entry(v, res.StatusCode, h, sent, now)
	e.groups = within(r, e.groups)
	switch {
	case !isDelimited(res):
		return nil, "no length"
	case res.ContentLength > g.policy.maxBody:
		return nil, "size"
	case e.keep(now) <= 0:
		return nil, "no freshness"
	}
	return e, ""
}

// handOver gives the response to the one who began the flight; the others have to ask
// themselves, and nobody is to wait for the next one of its kind.
func (g *engine) handOver(f *flight, res *http.Response, refused string) {
	if refused != notTheirs {
		g.replaced(f.stale, res.StatusCode)
	}
	switch refused {
	case "private", "no-store": // what is stored is older, and must not come back in a failure
		g.replaced(f.known, res.StatusCode)
		g.busy.mark(f.key)
	case "status", "failure": // a client's own condition may have been met; all may have what is stored
	case notTheirs:
		g.busy.mark(f.key + withCredentials)
	default:
		g.busy.mark(f.key)
	}
	g.flights.leave(f)
	f.mu.Lock()
	f.res, f.refused = res, refused
	abandoned := f.ended
	f.mu.Unlock()
	f.land()
	if abandoned {
		_ = res.Body.Close()
	}
}

// replaces reports whether a response with the status, which is not stored, says that what
// is stored is no more. An error that a client can provoke by what it sends does not.
func replaces(status int) bool {
	switch status {
	case http.StatusNotModified:
		return false
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return status < 400
}

// replaced removes an entry of which a response has taken the place that is not stored.
func (g *engine) replaced(e *entry, status int) {
	if e != nil && replaces(status) {
		g.forget(e)
	}
}

// take returns the response that was handed over; it is for the one who began.
func (f *flight) take() *http.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := f.res
	f.res = nil
	return res
}

// share passes the body on to all who wait. It is stored if it has arrived whole, and
// before anybody can know that it has: who asks again then finds it.
func (g *engine) share(f *flight, res *http.Response) {
	ctx := f.lead.Context()
	defer context.AfterFunc(ctx, func() { _ = res.Body.Close() })() // a Base may not look at it
	defer res.Body.Close()
	f.length, f.flows = res.ContentLength, true
	f.body.expect(res.ContentLength)
	f.body.over = func() { g.flights.leave(f) }
	f.land()
	err := f.body.fill(ctx, res.Body)
	body, within := f.body.whole()
	if err == io.EOF && f.body.received() < res.ContentLength {
		err = io.ErrUnexpectedEOF // and so must it look to all
	}
	if err == io.EOF && within && len(res.Trailer) == 0 && (res.ContentLength < 0 || res.ContentLength == int64(len(body))) {
		g.store(f.lead, f.primary, f.entry.with(body))
		g.busy.forget(f.key)
	} else if err == io.EOF || !within { // what broke, or was left, is no reason to let all ask at once
		g.busy.mark(f.key)
	}
	f.body.end(err, res.Trailer)
}
