package cache

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// entry is a stored response.
type entry struct {
	key      string // of the store: compared on reading, as a store may mix its keys up
	received time.Time
	age      time.Duration // when it was received
	lifetime time.Duration
	strict   bool // it must never be served stale
	status   int
	header   http.Header
	body     []byte
}

// newEntry describes a response of which the body is yet to come. The header is
// canonical, and the entry's from now on.
func newEntry(status int, h http.Header, cc directives, sent, received time.Time) *entry {
	e := &entry{
		received: received,
		age:      initialAge(h, sent, received),
		lifetime: lifetime(h, cc),
		// s-maxage means proxy-revalidate as well (RFC 9111 section 5.2.2.10).
		strict: cc.noCache || cc.mustRevalidate || cc.proxyRevalidate || cc.sMaxAge.given,
		status: status,
		header: h,
	}
	field.StripListed(h)
	for _, name := range unstored {
		delete(h, name)
	}
	return e
}

// unstored are the fields that belong to a connection or to a proxy (RFC 9111
// section 3.1), and those that are written anew whenever the entry is served.
var unstored = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Age", "Content-Length",
}

// canonical returns a copy of h with a Date. A handler in this process may have
// written names that are not canonical, and "set-cookie" must not be overlooked.
func canonical(h http.Header, received time.Time) http.Header {
	c := make(http.Header, len(h)+1)
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	if _, ok := parseDate(c.Get("Date")); !ok {
		c.Set("Date", received.UTC().Format(imfFixdate)) // RFC 9110 section 6.6.1
	}
	return c
}

// freshen returns e with what a 304 says (RFC 9111 section 4.3.4). It is not ok if
// the 304 is about another representation than e's.
func (e *entry) freshen(h http.Header, sent, received time.Time) (*entry, bool) {
	h = canonical(h, received)
	if !e.isSelectedBy(h) {
		return nil, false
	}
	age := h["Age"]
	field.StripListed(h)
	for _, name := range append([]string{"Content-Encoding", "Content-Range"}, unstored...) {
		delete(h, name) // they describe a message, and e has another
	}
	merged := e.header.Clone()
	for name, values := range h {
		merged[name] = values
	}
	if age != nil {
		merged["Age"] = age
	}
	fresh := newEntry(e.status, merged, parseControl(merged["Cache-Control"]), sent, received)
	fresh.body = e.body
	return fresh, true
}

// isSelectedBy reports whether the validators in a 304 are e's.
func (e *entry) isSelectedBy(h http.Header) bool {
	if tag := h.Get("Etag"); tag != "" {
		return sameTag(tag, e.header.Get("Etag"))
	}
	return h.Get("Last-Modified") == "" || h.Get("Last-Modified") == e.header.Get("Last-Modified")
}

func (e *entry) ageAt(now time.Time) time.Duration {
	return e.age + max(now.Sub(e.received), 0)
}

// staleFor is how long a response with a validator is kept once it is stale: the
// origin may yet say that it is still the right one.
const staleFor = time.Hour

// keep returns how long e is of use. Without freshness or a validator that is not at all.
func (e *entry) keep(now time.Time) time.Duration {
	left := max(e.lifetime-e.ageAt(now), 0)
	if hasValidator(e.header) {
		left += staleFor
	}
	return left
}

// cacheable are the statuses that are cacheable by default (RFC 9110 section
// 15.1), but 206: parts are not kept.
var cacheable = []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}

func isCacheable(status int) bool { return slices.Contains(cacheable, status) }
