package cache

import (
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// engine is what the fields of a Transport come to.
type engine struct {
	shelf        shelf
	policy       policy
	keyer        keyer
	alone        bool // requests are not collapsed
	ignoreClient bool
	observe      func(*http.Request, Result)

	flights flights
	busy    *lately // keys of which the last response was for one only: nobody waits for the next
	changed *lately // keys that were invalidated
	stored  *lately // keys under which something was stored
	purges  purges
	held    [64]sync.Mutex // by key, while what is stored under it is changed
	seed    maphash.Seed   // of their choice
	renewal chan struct{}  // one for each that is under way in the background
}

const (
	busyFor     = 10 * time.Second
	maxRenewals = 64
	renewalTime = 30 * time.Second
)

// query is one request on its way through the cache.
type query struct {
	r     *http.Request
	base  http.RoundTripper
	asked directives
	key   string
	uri   string
	found found
	why   string // the origin is asked, in the word of Cache-Status
	began time.Time
	apart bool // another flight has turned out to be for another variant
}

// reply is the answer to a query: an entry, or a response of the origin's.
type reply struct {
	Result
	entry  *entry
	body   *reading    // of the entry, as it arrives; nil: it has it all
	length int64       // of the body that arrives; -1: not known
	header http.Header // of the one whose body arrives; nil: the entry's
	res    *http.Response
	hit    bool // the entry answers without the origin having been asked
}

// lookup finds what is stored for q and was not purged.
func (g *engine) lookup(q *query) {
	if g.ignoreClient {
		q.asked = directives{onlyIfCached: q.asked.onlyIfCached}
	}
	q.began = time.Now()
	q.key, q.uri = g.keyer.of(q.r)
	known := g.follow(q.r.Context())
	q.found = g.find(q.r, q.key)
	if known != nil {
		<-known
	}
	if e := q.found.entry; e != nil && !g.stands(e, q.key) {
		q.found.entry, q.found.why = nil, fwdURIMiss
	}
}

// ready answers a request that the cache has a part in, if it can without the origin.
func (g *engine) ready(q *query) (reply, bool) {
	g.lookup(q)
	now := q.began
	if g.shelf.objects == nil {
		now = time.Now() // the store may have taken its time
	}
	e := q.found.entry
	if e == nil {
		q.why = q.found.why
	} else if q.why = e.refusal(q.asked, now); q.why == "" {
		return reply{Result: Result{Outcome: outcomeOf(e, now), Age: e.ageAt(now)}, entry: e, hit: true}, true
	}
	switch {
	case q.asked.onlyIfCached:
		return reply{Result: Result{Outcome: Miss, Reason: onlyIfCached, detail: "detail=only-if-cached"}, res: notCached(q.r)}, true
	case q.why == fwdStale && !e.displeases(q.asked, now) && e.within(e.whileRevalidate, now):
		g.renew(q)
		return reply{Result: Result{Outcome: Stale, Reason: "stale-while-revalidate", Age: e.ageAt(now)}, entry: e, hit: true}, true
	}
	return reply{}, false
}

const onlyIfCached = "only-if-cached"

func outcomeOf(e *entry, now time.Time) Outcome {
	if e.ageAt(now) < e.lifetime {
		return Hit
	}
	return Stale
}

// ask has the origin asked: with others who ask the same, if that may be.
func (g *engine) ask(q *query) (reply, error) {
	if q.r.Method != http.MethodGet || q.r.Header["Range"] != nil && !q.validates() {
		return g.direct(q)
	}
	if g.alone || g.personal(q) {
		return g.lead(g.launch(q.r, q), q)
	}
	return g.board(q)
}

// board has q wait for the flight that others have begun for the same, or begin one.
func (g *engine) board(q *query) (reply, error) {
	f, seat := g.join(q.found.key, q.r.Context(), func() *flight { return g.launch(q.r, q) })
	if seat == nil {
		return g.lead(f, q)
	}
	return g.await(f, q, seat, false)
}

// lead begins f for q.
func (g *engine) lead(f *flight, q *query) (reply, error) {
	seat := f.seat(q.r.Context())
	go g.fly(f)
	return g.await(f, q, seat, true)
}

// validates reports whether the origin is asked if what is stored still holds.
func (q *query) validates() bool { return q.found.entry != nil && hasValidator(q.found.entry.header) }

// personal reports whether the response will likely be for q only: to a condition of the
// client's, or since the last of its kind was.
func (g *engine) personal(q *query) bool {
	h := q.r.Header
	if !q.validates() && (h["If-None-Match"] != nil || h["If-Modified-Since"] != nil) {
		return true
	}
	since := time.Now().Add(-busyFor)
	return g.busy.since(q.found.key, since) ||
		!g.policy.allows(q.r, directives{}) && g.busy.since(q.found.key+withCredentials, since)
}

// withCredentials is added to the key that is busy for those who have some, and not for the
// others: or any client could switch off for them that they are served together.
const withCredentials = " credentials"

// direct asks for q alone, and stores nothing: for a HEAD, or a part.
func (g *engine) direct(q *query) (reply, error) {
	sent := time.Now()
	res, err := q.base.RoundTrip(q.r)
	if err != nil || isFailure(res.StatusCode) {
		if a, ok := g.rescue(q); ok {
			if err == nil && res.Body != nil {
				_ = res.Body.Close()
			}
			return a, nil
		}
		if err != nil {
			return reply{}, err
		}
	}
	if q.r.Method == http.MethodHead {
		g.head(q, res, sent)
	}
	return reply{Result: Result{Outcome: Miss, Reason: q.why}, res: res}, nil
}

// head has what is stored updated by the response to a HEAD, or removed if that is about
// something else (RFC 9111 section 4.3.5).
func (g *engine) head(q *query, res *http.Response, sent time.Time) {
	e := q.found.entry
	if e == nil || res.StatusCode != e.status && res.StatusCode != http.StatusOK {
		return
	}
	h := canonical(res.Header, time.Now())
	if cc, _ := responseControl(h, g.policy.targeted); !g.policy.allows(q.r, cc) {
		return
	}
	same := res.StatusCode == e.status && e.matches(h) && (h["Content-Length"] == nil || res.ContentLength < 0 || res.ContentLength == int64(len(e.body)))
	if !same {
		g.forget(e)
		return
	}
	switch fresh, refused := g.updated(q.r, e, h, sent); refused {
	case "":
		g.store(q.r, q.key, fresh)
	case "credentials": // it is for one, and says nothing of what all get
	default:
		g.forget(e)
	}
}

// await returns what f brings to one who waits for it.
func (g *engine) await(f *flight, q *query, seat *reading, first bool) (reply, error) {
	select {
	case <-f.landed:
	case <-q.r.Context().Done():
		_ = seat.Close()
		return reply{}, context.Cause(q.r.Context())
	}
	switch {
	case f.err != nil:
		_ = seat.Close()
		if a, ok := g.rescue(q); ok {
			return a, nil
		}
		return reply{}, f.err
	case f.entry != nil && (first || f.refused == "" && g.suits(f.entry, q, f.lead)):
		return f.shared(seat, first), nil
	case !first:
		_ = seat.Close()
		if a, ok := g.rescue(q); ok && f.failed {
			return a, nil // rather than to have all ask an origin that is down
		}
		q.why = q.found.why
		if q.why == "" {
			q.why = fwdStale
		}
		if key, ok := g.variantIn(f, q); ok && !q.apart {
			q.found.key, q.apart = key, true
			return g.board(q)
		}
		q.began = time.Time{} // what was stored meanwhile is what it does not get
		return g.lead(g.launch(q.r, q), q)
	}
	return g.own(f, q, seat)
}

// variantIn returns the key of a flight for those who want the same variant as q, once f has
// shown what there is to vary in and brought another. It is not ok if it is not that which
// keeps q from what f has brought.
func (g *engine) variantIn(f *flight, q *query) (key string, ok bool) {
	if f.entry == nil || f.refused != "" {
		return "", false
	}
	cc, _ := responseControl(f.entry.header, g.policy.targeted)
	names, ok := varyNames(f.entry.header)
	if !ok || !g.policy.allows(q.r, cc) {
		return "", false
	}
	id, ok := variantOf(names, q.r)
	return f.primary + " varies " + id, ok
}

// shared returns the entry that f has brought, to one of those who wait.
func (f *flight) shared(seat *reading, first bool) reply {
	a := reply{Result: Result{Outcome: Miss, Reason: f.why, Collapsed: !first, detail: f.detail}, entry: f.entry}
	if !f.flows {
		a.Outcome = Revalidated
		if f.late {
			a.Result = Result{Outcome: Hit, Age: f.entry.ageAt(time.Now()), detail: f.detail}
		}
		_ = seat.Close()
		return a
	}
	if first { // a trailer is not judged, so it is for the first alone
		a.header, seat.trailer = f.header, make(http.Header)
	}
	a.body, a.length = seat, f.length
	return a
}

// suits reports whether e, which another has asked for, is for q too: by its credentials,
// and by what it varies in.
func (g *engine) suits(e *entry, q *query, lead *http.Request) bool {
	cc, _ := responseControl(e.header, g.policy.targeted)
	names, ok := varyNames(e.header)
	if !ok || !g.policy.allows(q.r, cc) {
		return false
	}
	theirs, ok := variantOf(names, lead)
	mine, also := variantOf(names, q.r)
	return ok && also && mine == theirs
}

// own returns the response that f has brought, for the one who has begun it.
func (g *engine) own(f *flight, q *query, seat *reading) (reply, error) {
	res := f.take()
	if f.failed {
		if a, ok := g.rescue(q); ok {
			_ = res.Body.Close()
			_ = seat.Close()
			return a, nil
		}
	}
	stop := context.AfterFunc(q.r.Context(), f.cancel)
	res.Body = handOver(res.Body, func() { stop(); _ = seat.Close() })
	return reply{Result: Result{Outcome: Miss, Reason: f.refused, detail: f.detail}, res: res}, nil
}

// handedOver is a body whose flight ends with it.
type handedOver struct {
	io.ReadCloser
	done func() // called once
}

// Close is part of [io.Closer].
func (b *handedOver) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// telling is a handedOver of a body that tells how much of it is there, which is asked
// before a Read that might wait.
type telling struct {
	handedOver
	buffered
}

type buffered interface{ Buffered() int }

func handOver(body io.ReadCloser, done func()) io.ReadCloser {
	h := handedOver{body, sync.OnceFunc(done)}
	if b, ok := body.(buffered); ok {
		return &telling{h, b}
	}
	return &h
}

// isFailure reports whether a status says that the origin has failed, in which a stale
// response may take its place (RFC 5861 section 4).
func isFailure(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// rescue returns the stale entry in place of a failure, if it may be.
func (g *engine) rescue(q *query) (reply, bool) {
	e, now := q.found.entry, time.Now()
	if !e.rescues(now) || !g.purges.holds(e) {
		return reply{}, false
	}
	return reply{Result: Result{Outcome: Stale, Reason: "stale-if-error", Age: e.ageAt(now), detail: "hit; ttl=" + seconds(e.lifetime-e.ageAt(now)) + "; detail=stale-if-error"}, entry: e}, true
}

// renew asks the origin in the background, unless that is being done, or too many are.
func (g *engine) renew(q *query) {
	select {
	case g.renewal <- struct{}{}:
	default:
		return
	}
	behind := *q
	behind.r = plain(q.r)
	behind.r.Method = http.MethodGet // the answer to a HEAD has no body to store
	f, seat := g.join(q.found.key, q.r.Context(), func() *flight { return g.launch(behind.r, &behind) })
	if seat != nil {
		_ = seat.Close()
		<-g.renewal
		return
	}
	go func() {
		defer func() { <-g.renewal }()
		leave := sync.OnceFunc(f.exit) // and others who have joined have it go on
		timer := time.AfterFunc(renewalTime, leave)
		defer timer.Stop()
		if s := exchange.From(f.lead.Context()); s != nil {
			s.Interim = nil
		}
		g.fly(f)
		leave()
	}()
}
