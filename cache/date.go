package cache

import (
	"strings"
	"time"
)

// The three forms of an HTTP date (RFC 9110 section 5.6.7).
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850     = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime    = "Mon Jan _2 15:04:05 2006"
)

// parseDate reads an HTTP date. [http.ParseTime] is not used, as it takes any zone
// for GMT, fractions of a second and wrong weekdays, refuses leap seconds, and
// turns the two digits of a year at 69 and not by the present day.
func parseDate(s string) (time.Time, bool) {
	// Caches compare dates whatever their case (RFC 9111 section 4.2).
	if n := len(s) - len("GMT"); n > 0 && strings.EqualFold(s[n:], "GMT") {
		s = s[:n] + "GMT"
	}
	s = strings.Replace(s, ":60 ", ":59 ", 1) // rather earlier than later
	for _, layout := range []string{imfFixdate, rfc850, asctime} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if layout == rfc850 {
			t = inCentury(t, time.Now().UTC().Year())
		}
		return t, strings.EqualFold(t.Format(layout), s)
	}
	return time.Time{}, false
}

// inCentury moves t, of which the last two digits of the year are known, to where
// it is not more than 50 years ahead.
func inCentury(t time.Time, now int) time.Time {
	year := now - now%100 + t.Year()%100
	if year > now+50 {
		year -= 100
	}
	return t.AddDate(year-t.Year(), 0, 0)
}
