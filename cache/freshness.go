package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxHeuristic bounds what nobody has said (RFC 9111 section 4.2.2).
const maxHeuristic = 24 * time.Hour

// explicit returns how long a response says that it is fresh, counted from when it was
// made (RFC 9111 section 4.2.1), and whether it says so; unclear is zero.
func explicit(h http.Header, cc directives, targeted bool) (time.Duration, bool) {
	switch {
	case cc.sMaxAge.given:
		return cc.sMaxAge.Duration, true
	case cc.maxAge.given:
		return cc.maxAge.Duration, true
	case targeted || h["Expires"] == nil:
		return 0, false
	case len(h["Expires"]) != 1:
		return 0, true
	}
	expires, ok := parseDate(h.Get("Expires"))
	made, known := parseDate(h.Get("Date"))
	if !ok || !known {
		return 0, true
	}
	return min(max(expires.Sub(made), 0), maxDelta), true
}

// guess returns how long a response is taken for fresh that does not say: a share of how
// long it had not changed when it was made (RFC 9111 section 4.2.2).
func guess(h http.Header, share float64) time.Duration {
	modified, ok := parseDate(h.Get("Last-Modified"))
	made, known := parseDate(h.Get("Date"))
	if !ok || !known || share <= 0 {
		return 0
	}
	return min(max(time.Duration(float64(made.Sub(modified))*share), 0), maxHeuristic)
}

// initialAge returns how old a response was when it arrived, given when it was
// asked for (RFC 9111 section 4.2.3).
func initialAge(h http.Header, sent, received time.Time) time.Duration {
	age := statedAge(h) + received.Sub(sent)
	if made, ok := parseDate(h.Get("Date")); ok {
		// In whole seconds, as the Date is, or what is fresh for one would have none left.
		age = max(age, received.Truncate(time.Second).Sub(made))
	}
	return min(max(age, 0), maxDelta)
}

// statedAge returns the first Age stated; what is no number is ignored (RFC 9111 section
// 5.1), and the Date still counts.
func statedAge(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	age, _ := parseSeconds(strings.TrimSpace(first))
	return age
}

// understood are the statuses whose meaning for caching is known here: all that RFC 9110
// has, but the partial ones (RFC 9111 section 5.2.2.3).
func understood(status int) bool {
	return http.StatusText(status) != "" && status != http.StatusPartialContent && status != http.StatusNotModified
}

// heuristic are the statuses that are cacheable by default (RFC 9110 section 15.1), but 206.
var heuristic = []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}

func isHeuristic(status int) bool { return slices.Contains(heuristic, status) }

// negative are the statuses that say that there is nothing.
var negative = []int{404, 405, 410, 414, 501}

func isNegative(status int) bool { return slices.Contains(negative, status) }
