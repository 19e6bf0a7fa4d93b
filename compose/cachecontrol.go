package compose

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

var noStore = []string{"no-store"}

// lifetime is what a part's response, or all so far, allow a cache (RFC 9111).
type lifetime struct {
	store   bool // it may be stored
	private bool // by one user's cache only
	recheck bool // and not used once it is stale, whatever happens
	fresh   time.Duration
}

// cacheControl returns the strictest of what the parts allow. A part that failed or was
// replaced allows nothing: the next answer may be whole.
func (x *run) cacheControl() []string {
	all := lifetime{store: true, fresh: 1<<63 - 1}
	for i := range x.results {
		res := &x.results[i]
		if res.skipped {
			continue
		}
		if method := x.agg.plan.steps[i].method; res.err != nil || res.header == nil || method != http.MethodGet {
			return noStore[:1:1]
		}
		l := lifetimeOf(res.header)
		all.store = all.store && l.store
		all.private = all.private || l.private
		all.recheck = all.recheck || l.recheck
		all.fresh = min(all.fresh, l.fresh)
	}
	if !all.store || all.fresh < time.Second || all.fresh == 1<<63-1 {
		return noStore[:1:1]
	}
	scope := "public"
	if all.private || x.personal() {
		scope = "private"
	}
	value := scope + ", max-age=" + strconv.FormatInt(int64(all.fresh/time.Second), 10)
	if all.recheck {
		value += ", must-revalidate"
	}
	return []string{value}
}

// personal reports whether the answer may depend on who asks: also that to somebody unknown
// does, if a part takes a claim, without which it was skipped.
func (x *run) personal() bool {
	if x.state != nil && x.state.Principal != nil || len(x.request.Header["Authorization"]) > 0 || len(x.request.Header["Cookie"]) > 0 {
		return true
	}
	for i := range x.agg.plan.steps {
		for _, t := range x.agg.plan.steps[i].templates() {
			if slices.ContainsFunc(t.holes, func(h hole) bool { return h.source == fromClaim }) {
				return true
			}
		}
	}
	return false
}

// lifetimeOf reads what h allows. What it cannot read allows nothing.
func lifetimeOf(h http.Header) lifetime {
	l := lifetime{fresh: -1}
	if len(h["Set-Cookie"]) > 0 || len(h["Cache-Control"]) == 0 || field.HasToken(h["Vary"], "*") {
		return l
	}
	const unsaid = 1<<63 - 1
	l.store, l.fresh = true, unsaid
	for directive := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			l.store = false
		case "private":
			l.private = true
		case "max-age", "s-maxage": // given twice, too
			l.fresh = min(l.fresh, seconds(value))
		case "must-revalidate", "proxy-revalidate":
			l.recheck = true
		}
	}
	if l.fresh == unsaid {
		l.fresh = -1
	}
	if age := h.Get("Age"); age != "" {
		l.fresh -= max(0, seconds(age))
	}
	return l
}

// seconds returns -1 s for what is no number of them.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(s, `"`), 10, 31)
	if err != nil {
		return -1
	}
	return time.Duration(n) * time.Second
}
