package cache

import (
	"context"
	"io"
	"net/http"
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
	busy    *recent // keys of which the last response was for one only: nobody waits for the next
	changed *recent // keys that were invalidated
	purges  purges
	renewal chan struct{} // one for each that is under way in the background
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

// close is for who does not write the reply.
func (a *reply) close() {
	if a.body != nil {
		_ = a.body.Close()
	}
	if a.res != nil {
		_ = a.res.Body.Close()
	}
}

// lookup finds what is stored for q and was not purged.
func (g *engine) lookup(q *query) {
	if g.ignoreClient {
		q.asked = directives{onlyIfCached: q.asked.onlyIfCached}
	}
	q.key, q.uri = g.keyer.of(q.r)
	known := g.follow(q.r.Context())
	q.found = g.find(q.r, q.key)
	if known != nil {
		<-known
	}
	if e := q.found.entry; e != nil && !g.purges.holds(e) {
		q.found.entry, q.found.why = nil, fwdURIMiss
	}
}

// ready answers a request that the cache has a part in, if it can without the origin.
func (g *engine) ready(q *query) (reply, bool) {
	g.lookup(q)
	now := time.Now()
	e := q.found.entry
	if e == nil {
		q.why = q.found.why
	} else if q.why = e.refusal(q.asked, now); q.why == "" {
		return reply{Result: Result{Outcome: outcomeOf(e, now), Age: e.ageAt(now)}, entry: e, hit: true}, true
	}
	switch {
	case q.asked.onlyIfCached:
		return reply{Result: Result{Outcome: Miss, Reason: onlyIfCached, detail: "detail=only-if-cached"}, res: notCached(q.r)}, true
	case q.why == fwdStale && e.within(e.whileRevalidate, now):
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
		f := g.launch(q.r, q)
		go g.fly(f)
		return g.await(f, q, true)
	}
	f, first := g.flights.join(q.found.key, func() *flight { return g.launch(q.r, q) })
	if first {
		go g.fly(f)
	}
	return g.await(f, q, first)
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
	return g.busy.since(q.found.key, time.Now().Add(-busyFor))
}

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
	if e == nil || res.StatusCode != e.status {
		return
	}
	h := canonical(res.Header, time.Now())
	if cc, _ := responseControl(h, g.policy.targeted); !g.policy.allows(q.r, cc) {
		return
	}
	same := e.isSelectedBy(h) && (h["Content-Length"] == nil || res.ContentLength < 0 || res.ContentLength == int64(len(e.body)))
	if !same {
		g.forget(e)
		return
	}
	if fresh, refused := g.updated(q.r, e, h, sent); refused == "" {
		g.store(q.r, q.key, fresh)
	}
}

// await returns what f brings to one who waits for it.
func (g *engine) await(f *flight, q *query, first bool) (reply, error) {
	select {
	case <-f.landed:
	case <-q.r.Context().Done():
		f.exit()
		return reply{}, context.Cause(q.r.Context())
	}
	switch {
	case f.err != nil:
		f.exit()
		if a, ok := g.rescue(q); ok {
			return a, nil
		}
		return reply{}, f.err
	case f.entry != nil && (first || f.refused == "" && g.suits(f.entry, q, f.lead)):
		return f.shared(q, first), nil
	case !first:
		f.exit()
		q.why = q.found.why
		if q.why == "" {
			q.why = fwdStale
		}
		alone := g.launch(q.r, q)
		go g.fly(alone)
		return g.await(alone, q, true)
	}
	return g.own(f, q)
}

// shared returns the entry that f has brought, to one of those who wait.
func (f *flight) shared(q *query, first bool) reply {
	a := reply{Result: Result{Outcome: Miss, Reason: f.why, Collapsed: !first, detail: f.detail}, entry: f.entry}
	if f.body == nil {
		a.Outcome = Revalidated
		f.exit()
		return a
	}
	a.length = f.length
	var trailer http.Header // is not judged, so it is for the first alone
	if first {
		a.header, trailer = f.header, make(http.Header)
	}
	a.body = f.body.reader(q.r.Context(), trailer, f.exit)
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
func (g *engine) own(f *flight, q *query) (reply, error) {
	res := f.take()
	if isFailure(res.StatusCode) {
		if a, ok := g.rescue(q); ok {
			_ = res.Body.Close()
			f.exit()
			return a, nil
		}
	}
	stop := context.AfterFunc(q.r.Context(), f.cancel)
	res.Body = &handedOver{ReadCloser: res.Body, done: func() { stop(); f.exit() }}
	return reply{Result: Result{Outcome: Miss, Reason: f.refused, detail: f.detail}, res: res}, nil
}

// handedOver is a body whose flight ends with it.
type handedOver struct {
	io.ReadCloser
	done func()
}

// Buffered is asked before a Read that might wait.
func (b *handedOver) Buffered() int {
	if c, ok := b.ReadCloser.(interface{ Buffered() int }); ok {
		return c.Buffered()
	}
	return 0
}

// Close is part of [io.Closer].
func (b *handedOver) Close() error {
	err := b.ReadCloser.Close()
	if b.done != nil {
		b.done()
		b.done = nil
	}
	return err
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
	if e == nil || !e.within(e.ifError, now) || !g.purges.holds(e) {
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
	f, first := g.flights.join(q.found.key, func() *flight { return g.launch(behind.r, &behind) })
	if !first {
		f.exit()
		<-g.renewal
		return
	}
	go func() {
		defer func() { <-g.renewal }()
		timer := time.AfterFunc(renewalTime, f.cancel)
		defer timer.Stop()
		if s := exchange.From(f.lead.Context()); s != nil {
			s.Interim = nil
		}
		g.fly(f)
		f.exit()
	}()
}
