package cache

import (
	"net/http"
	"strings"
	"time"
)

// lifetime returns how long a response is fresh from when it was made (RFC 9111
// section 4.2.1). It is zero if the response does not say, or not clearly.
func lifetime(h http.Header, cc directives) time.Duration {
	switch {
	case cc.noCache:
		return 0 // stored for validation only
	case cc.sMaxAge.given:
		return cc.sMaxAge.Duration
	case cc.maxAge.given:
		return cc.maxAge.Duration
	case len(h["Expires"]) != 1:
		return 0
	}
	expires, ok := parseDate(h.Get("Expires"))
	made, known := parseDate(h.Get("Date"))
	if !ok || !known {
		return 0
	}
	return min(max(expires.Sub(made), 0), maxDelta)
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

// statedAge returns the largest Age stated. What is no number is ignored (RFC 9111
// section 5.1), and the Date still counts.
func statedAge(h http.Header) time.Duration {
	var age time.Duration
	for _, line := range h["Age"] {
		for v := range strings.SplitSeq(line, ",") {
			if stated, ok := parseSeconds(strings.TrimSpace(v)); ok {
				age = max(age, stated)
			}
		}
	}
	return age
}

// refusal says why e may not answer a request without asking the origin (RFC 9111
// section 4), in the word of Cache-Status; it is empty if e may.
func (e *entry) refusal(asked directives, now time.Time) string {
	age := e.ageAt(now)
	left := e.lifetime - age
	switch {
	case left <= 0 && (e.strict || !asked.maxStale.given || -left > asked.maxStale.Duration):
		return fwdStale
	case asked.noCache,
		asked.maxAge.given && age > asked.maxAge.Duration,
		asked.minFresh.given && left < asked.minFresh.Duration:
		return fwdRequest
	}
	return ""
}
