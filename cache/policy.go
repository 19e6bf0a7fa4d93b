package cache

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// policy is what the fields of a Transport come to.
type policy struct {
	targeted        []string
	heuristic       float64
	negative        time.Duration
	whileRevalidate time.Duration
	ifError         time.Duration
	cookies         bool
	maxBody         int64
	by              func(*http.Request) string
}

// verdict is what a response's header says of storing it.
type verdict struct {
	cc       directives
	targeted bool
	lifetime time.Duration
	refused  string // why it is not stored; empty: it is
}

// notTheirs is why a response is not stored that only the one who has asked may have. It says
// nothing of what is stored for others, which nobody is to remove by showing a cookie.
const notTheirs = "credentials"

// judge decides about the response to r (RFC 9111 section 3). The header is canonical.
func (p *policy) judge(r *http.Request, status int, h http.Header) verdict {
	cc, targeted := responseControl(h, p.targeted)
	v := verdict{cc: cc, targeted: targeted}
	if cc.mustUnderstand && understood(status) {
		cc.noStore = false // RFC 9111 section 5.2.2.3
	}
	names, comparable := varyNames(h)
	if comparable {
		_, comparable = variantOf(names, r)
	}
	var said bool
	v.lifetime, said = p.lifetime(status, h, cc, targeted)
	switch {
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified:
		v.refused = "status"
	case isLarge(h):
		v.refused = "size"
	case cc.mustUnderstand && !understood(status):
		v.refused = "must-understand"
	case cc.noStore:
		v.refused = "no-store"
	case cc.private:
		v.refused = "private"
	case !p.cookies && (gives(h, cc, "Set-Cookie") || gives(h, cc, "Set-Cookie2")):
		v.refused = "set-cookie"
	case !p.allows(r, cc):
		v.refused = notTheirs
	case !comparable:
		v.refused = "vary"
	case !said && !isHeuristic(status) && !cc.public:
		v.refused = "no freshness"
	}
	return v
}

// allows reports whether a response to r may be stored as far as r's credentials go: it is
// for everybody, or the key tells apart for whom it is.
func (p *policy) allows(r *http.Request, cc directives) bool {
	return isForEverybody(r, cc) || p.by != nil && p.by(r) != ""
}

// gives reports whether the response has the field and would be stored with it.
func gives(h http.Header, cc directives, name string) bool {
	return h[name] != nil && !slices.Contains(cc.unshared, name)
}

// lifetime returns how long the response is fresh, and whether it says so itself.
func (p *policy) lifetime(status int, h http.Header, cc directives, targeted bool) (time.Duration, bool) {
	d, said := explicit(h, cc, targeted)
	switch {
	case cc.noCache:
		return 0, said // stored for validation only
	case said:
		return d, true
	case isNegative(status) && p.negative > 0:
		return p.negative, true
	case isHeuristic(status) || cc.public:
		return guess(h, p.heuristic), false
	}
	return 0, false
}

// entry describes a response of which the body is yet to come. The header is canonical,
// and the entry's from now on.
func (p *policy) entry(v verdict, status int, h http.Header, sent, received time.Time) *entry {
	e := &entry{
		born: sent, received: received, age: initialAge(h, sent, received), lifetime: v.lifetime, status: status, header: h,
		// s-maxage means proxy-revalidate as well (RFC 9111 section 5.2.2.10).
		strict:          v.cc.noCache || v.cc.mustRevalidate || v.cc.proxyRevalidate || v.cc.sMaxAge.given,
		whileRevalidate: allowance(v.cc.whileRevalidate, p.whileRevalidate),
		ifError:         allowance(v.cc.ifError, p.ifError),
		groups:          groupsOf(h, "Cache-Groups"),
	}
	for _, name := range v.cc.unshared {
		if !field.Guards(name) { // it has to be looked at again
			delete(h, name)
		}
	}
	e.strip()
	return e
}

func allowance(said delta, otherwise time.Duration) time.Duration {
	if said.given {
		return said.Duration
	}
	return otherwise
}
