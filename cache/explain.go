package cache

import (
	"fmt"
	"net/http"
	"time"
)

// Explanation is what the cache would do with a request now, and why.
type Explanation struct {
	Result
	Key    string        // what the response is stored under, but for the host and what Key adds
	Stored bool          // a response that fits is in the store
	TTL    time.Duration // how long that is fresh; negative: it is stale; zero if there is none
}

// String is one line for a log.
func (x Explanation) String() string {
	s := fmt.Sprintf("%s %s", x.Outcome, x.Key)
	if x.Reason != "" {
		s += ": " + x.Reason
	}
	if x.Stored {
		s += fmt.Sprintf(" (age %v, ttl %v)", x.Age.Truncate(time.Second), x.TTL.Truncate(time.Second))
	}
	return s
}

// Explain says what would become of r, without asking Base or changing anything. A Miss is
// one that would go to Base, which then decides what is stored; Revalidated supposes that
// Base says that what is stored still holds.
func (t *Transport) Explain(r *http.Request) Explanation {
	if t.Store == nil {
		return Explanation{Result: Result{Outcome: Bypass, Reason: "no store"}, Key: r.URL.RequestURI()}
	}
	g := t.engine()
	q := query{r: r, asked: requestControl(r.Header)}
	if why := aside(r, q.asked); why != "" {
		_, uri := g.keyer.of(r)
		return Explanation{Result: Result{Outcome: Bypass, Reason: why}, Key: uri}
	}
	g.lookup(&q)
	x := Explanation{Key: q.uri}
	x.judge(&q, time.Now())
	return x
}

func (x *Explanation) judge(q *query, now time.Time) {
	e := q.found.entry
	x.Result = Result{Outcome: Miss, Reason: q.found.why}
	if e != nil {
		x.Stored, x.TTL = true, e.lifetime-e.ageAt(now)
		x.Result = Result{Outcome: outcomeOf(e, now), Reason: e.refusal(q.asked, now), Age: e.ageAt(now)}
	}
	switch {
	case x.Reason == "":
	case q.asked.onlyIfCached:
		x.Outcome, x.Reason = Miss, onlyIfCached
	case e == nil:
	case x.Reason == fwdStale && !e.displeases(q.asked, now) && e.within(e.whileRevalidate, now):
		x.Outcome, x.Reason = Stale, "stale-while-revalidate"
	case q.validates() && q.r.Method == http.MethodGet:
		x.Outcome = Revalidated
	default:
		x.Outcome = Miss
	}
}
