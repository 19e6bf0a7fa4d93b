package cache

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// entry is a stored response. Once it is stored it is not changed, and what it holds is
// shared by all who are answered with it.
type entry struct {
	key      string    // of the store: compared on reading, as a store may mix its keys up
	uri      string    // what was asked for, of which a purge may be
	born     time.Time // when it was asked for: what is purged after that it is no more
	received time.Time
	age      time.Duration // when it was received
	lifetime time.Duration
	strict   bool // it must never be served stale

	whileRevalidate, ifError time.Duration // how long stale it may be served so

	status int
	header http.Header
	groups []string
	body   []byte

	lines atomic.Pointer[[]line]  // of header: nil until it is needed
	stamp atomic.Pointer[stamped] // nil until it is needed
}

// line is a field of the header, ready to be put into another.
type line struct {
	name   string
	values []string
	list   bool // others may be there already
}

// stamped is what changes every second.
type stamped struct {
	second int64
	age    []string
	status []string // Cache-Status of a hit
}

// unstored are the fields that belong to a connection or to a proxy (RFC 9111
// section 3.1), and those that are written anew whenever the entry is served.
var unstored = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Age", "Content-Length",
}

// strip removes what is not stored.
func (e *entry) strip() {
	field.StripListed(e.header)
	for _, name := range unstored {
		delete(e.header, name)
	}
}

// canonical returns a copy of h with a Date. A handler in this process may have
// written names that are not canonical, and net/http leaves space before the colon in the
// name (RFC 9112 section 5.1); "set-cookie" and "Vary " must not be overlooked.
func canonical(h http.Header, received time.Time) http.Header {
	c := make(http.Header, len(h)+1)
	for name, values := range h {
		name = http.CanonicalHeaderKey(strings.TrimRight(name, " \t"))
		c[name] = append(c[name], values...)
	}
	if _, ok := parseDate(c.Get("Date")); !ok {
		c.Set("Date", received.UTC().Format(imfFixdate)) // RFC 9110 section 6.6.1
	}
	return c
}

// notUpdated are the fields that describe the message of a 304, and e has another (RFC
// 9111 section 3.2).
var notUpdated = []string{"Content-Encoding", "Content-Range", "Content-Md5", "Cache-Groups"}

// merged returns e's header with what a 304, or a HEAD's 200, says (RFC 9111 sections
// 3.2, 4.3.4 and 4.3.5).
func (e *entry) merged(h http.Header) http.Header {
	age := h["Age"]
	field.StripListed(h)
	for _, name := range slices.Concat(unstored, notUpdated) {
		delete(h, name)
	}
	all := e.header.Clone()
	maps.Copy(all, h)
	if age != nil {
		all["Age"] = age
	}
	return all
}

// isSelectedBy reports whether the validators in a 304 are e's: a strong tag to the letter,
// and another as it compares (RFC 9111 section 4.3.4). One that has none is about what was
// asked for, which was e alone.
func (e *entry) isSelectedBy(h http.Header) bool {
	tag := h.Get("Etag")
	switch {
	case tag == "":
		return h.Get("Last-Modified") == "" || h.Get("Last-Modified") == e.header.Get("Last-Modified")
	case strings.HasPrefix(tag, "W/"):
		return sameTag(tag, e.header.Get("Etag"))
	}
	return tag == e.header.Get("Etag")
}

// matches reports whether all validators in a HEAD's response are e's (RFC 9111 section
// 4.3.5).
func (e *entry) matches(h http.Header) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if v := h.Get(name); v != "" && v != e.header.Get(name) {
			return false
		}
	}
	return true
}

// ageAt is the current age (RFC 9111 section 4.2.3).
func (e *entry) ageAt(now time.Time) time.Duration {
	return e.age + max(now.Sub(e.received), 0)
}

// staleFor is how long a response is kept once it is stale, if it does not say: the
// origin may yet say that it is still the right one, and a client may take it all the same.
const staleFor = time.Hour

// keep returns how long e is of use. Without freshness or a validator that is not at all.
func (e *entry) keep(now time.Time) time.Duration {
	if e.lifetime <= 0 && !hasValidator(e.header) {
		return 0
	}
	return max(e.lifetime-e.ageAt(now), 0) + max(staleFor, e.whileRevalidate, e.ifError)
}

// with returns e with its body.
func (e *entry) with(body []byte) *entry {
	return &entry{
		uri: e.uri, born: e.born, received: e.received, age: e.age, lifetime: e.lifetime, strict: e.strict,
		whileRevalidate: e.whileRevalidate, ifError: e.ifError,
		status: e.status, header: e.header, groups: e.groups, body: body,
	}
}

// size is how many bytes e keeps alive, about.
func (e *entry) size() int64 {
	n := len(e.key) + len(e.uri) + cap(e.body) + 400
	for name, values := range e.header {
		n += 2*len(name) + 120
		for _, v := range values {
			n += len(v) + 24
		}
	}
	for _, g := range e.groups {
		n += len(g) + 24
	}
	return int64(n)
}

// isList reports whether a field is one that a gateway adds to and does not replace.
func isList(name string) bool {
	switch name {
	case "Set-Cookie", "Vary", "Link", "Server-Timing", "Via", "Cache-Status":
		return true
	}
	return false
}

// fields returns e's header as lines, with its length.
func (e *entry) fields() []line {
	if known := e.lines.Load(); known != nil {
		return *known
	}
	all := make([]line, 0, len(e.header)+1)
	for _, name := range slices.Sorted(maps.Keys(e.header)) {
		values := e.header[name]
		all = append(all, line{name, values[:len(values):len(values)], isList(name)})
	}
	if e.status != http.StatusNoContent {
		all = append(all, line{"Content-Length", []string{strconv.Itoa(len(e.body))}, false})
	}
	e.lines.Store(&all)
	return all
}

// writeTo puts e's header into h, which may have fields already. What is shared has no
// room to grow, so whoever appends gets an array of their own.
func (e *entry) writeTo(h http.Header) {
	for _, l := range e.fields() {
		if l.list && h[l.name] != nil {
			h[l.name] = append(h[l.name], l.values...)
			continue
		}
		h[l.name] = l.values
	}
}

// at returns the fields that tell e's age in this second.
func (e *entry) at(now time.Time) *stamped {
	age := e.ageAt(now)
	second := int64(age / time.Second)
	if s := e.stamp.Load(); s != nil && s.second == second {
		return s
	}
	left := e.lifetime - age.Truncate(time.Second) // so that it adds up with Age
	s := &stamped{second, []string{seconds(age)}, []string{statusName + "hit; ttl=" + seconds(left)}}
	e.stamp.Store(s)
	return s
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// modified returns when e changed last, as far as is known.
func (e *entry) modified() time.Time {
	for _, name := range []string{"Last-Modified", "Date"} {
		if t, ok := parseDate(e.header.Get(name)); ok {
			return t
		}
	}
	return e.received
}

// refusal says why e may not answer a request without asking the origin (RFC 9111
// section 4), in the word of Cache-Status; it is empty if e may.
func (e *entry) refusal(asked directives, now time.Time) string {
	age := e.ageAt(now)
	left := e.lifetime - age
	switch {
	case left <= 0 && (e.strict || !asked.maxStale.given || -left > asked.maxStale.Duration):
		return fwdStale
	case e.displeases(asked, now):
		return fwdRequest
	}
	return ""
}

// displeases reports whether the client asks for another than e, fresh or stale.
func (e *entry) displeases(asked directives, now time.Time) bool {
	age := e.ageAt(now)
	return asked.noCache ||
		asked.maxAge.given && age > asked.maxAge.Duration ||
		asked.minFresh.given && e.lifetime-age < asked.minFresh.Duration
}

// within reports whether e, which is stale, is so for no longer than d.
func (e *entry) within(d time.Duration, now time.Time) bool {
	return !e.strict && d > 0 && e.ageAt(now)-e.lifetime <= d
}

// rescues reports whether e may take the place of a failure (RFC 5861 section 4).
func (e *entry) rescues(now time.Time) bool { return e != nil && e.within(e.ifError, now) }

// isBelow reports whether a purge of a prefix is of e.
func (e *entry) isBelow(prefix string) bool { return strings.HasPrefix(e.uri, prefix) }
