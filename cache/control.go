package cache

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// directives is a Cache-Control field (RFC 9111 section 5.2), of a request or of a
// response. Whatever is said twice, wrongly or unclearly has the stricter meaning.
type directives struct {
	noStore, noCache, private, public bool
	mustRevalidate, proxyRevalidate   bool
	mustUnderstand                    bool
	onlyIfCached                      bool

	maxAge, sMaxAge, minFresh, maxStale delta
	whileRevalidate, ifError            delta // RFC 5861

	unshared []string // fields that no-cache or private name: all of the response but these may be stored
}

// delta is a directive's number of seconds, which may be missing.
type delta struct {
	given bool
	time.Duration
}

// least keeps the smaller of what was given.
func (d *delta) least(v time.Duration) {
	if !d.given || v < d.Duration {
		*d = delta{true, v}
	}
}

// maxDelta is how far seconds are counted (RFC 9111 section 1.2.2).
const maxDelta = (1 << 31) * time.Second

// requestControl reads what a request asks of the cache. Pragma is only for
// requests that do not know Cache-Control (RFC 9111 section 5.4).
func requestControl(h http.Header) directives {
	lines, ok := h["Cache-Control"]
	if !ok {
		for _, v := range h["Pragma"] {
			for token := range strings.SplitSeq(v, ",") {
				if strings.EqualFold(textproto.TrimString(token), "no-cache") {
					return directives{noCache: true}
				}
			}
		}
	}
	return parseControl(lines)
}

func parseControl(lines []string) directives {
	var d directives
	for _, line := range lines {
		for line != "" {
			directive, rest, ok := cutDirective(line)
			name, arg, hasArg := strings.Cut(textproto.TrimString(directive), "=")
			if !ok || strings.Contains(name, `"`) || !isArgument(arg) {
				// Where a quote is astray nobody knows what it hides.
				d.noStore = true
			}
			d.add(strings.ToLower(textproto.TrimString(name)), arg, hasArg)
			line = rest
		}
	}
	return d
}

// cutDirective cuts s after its first directive. It is not ok if a quote does not end.
func cutDirective(s string) (directive, rest string, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", !quoted
}

// isArgument reports whether every quote in s is one around the whole of it.
func isArgument(s string) bool { return !strings.Contains(unquote(s), `"`) }

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func (d *directives) add(name, arg string, hasArg bool) {
	switch name {
	case "no-store":
		d.noStore = true
	case "no-cache":
		d.noCache = !d.name(arg) || d.noCache
	case "private":
		d.private = !d.name(arg) || d.private
	case "public":
		d.public = d.public || !hasArg
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "stale-while-revalidate":
		d.whileRevalidate.least(secondsOr(arg, 0))
	case "stale-if-error":
		d.ifError.least(secondsOr(arg, 0))
	case "max-age":
		d.maxAge.least(secondsOr(arg, 0))
	case "s-maxage":
		d.sMaxAge.least(secondsOr(arg, 0))
	case "min-fresh":
		d.minFresh = delta{true, max(d.minFresh.Duration, secondsOr(arg, maxDelta))}
	case "max-stale":
		if !hasArg { // however stale
			d.maxStale.least(maxDelta)
			return
		}
		d.maxStale.least(secondsOr(arg, 0))
	}
}

// name adds the fields of a list in quotes, and reports whether it is one (RFC 9111
// sections 5.2.2.4 and 5.2.2.7).
func (d *directives) name(arg string) bool {
	list := unquote(arg)
	if list == "" || list == arg {
		return false
	}
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = textproto.TrimString(name); name == "*" || !field.IsToken(name) {
			return false
		}
		names = append(names, http.CanonicalHeaderKey(name))
	}
	d.unshared = append(d.unshared, names...)
	return true
}

func secondsOr(arg string, invalid time.Duration) time.Duration {
	if v, ok := parseSeconds(unquote(arg)); ok {
		return v
	}
	return invalid
}

// parseSeconds reads delta-seconds: digits, and nothing else (RFC 9111 section 1.2.2).
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+time.Duration(c-'0'), maxDelta/time.Second)
	}
	return n * time.Second, true
}
