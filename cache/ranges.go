package cache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is the part of a body that a request asks for, from one byte to before another.
type span struct{ from, to int64 }

// rangeOf returns the part of e that r asks for (RFC 9110 section 14.2). It is not asked if
// r wants all, or something that we need not understand: another unit, several parts, or a
// part on a condition that does not hold (section 13.1.5). It is asked and empty if there
// is no such part.
func (e *entry) rangeOf(r *http.Request) (s span, asked bool) {
	lines := r.Header["Range"]
	if len(lines) != 1 || r.Method != http.MethodGet || e.status != http.StatusOK || !e.meets(r.Header["If-Range"]) {
		return span{}, false
	}
	return parseRange(lines[0], int64(len(e.body)))
}

// meets reports whether an If-Range, if there is one, is about e: a strong tag, or the
// very date, if that was past when e was made, or e could have changed twice in it (RFC 9110
// section 8.8.2.2).
func (e *entry) meets(lines []string) bool {
	switch {
	case len(lines) == 0:
		return true
	case len(lines) > 1:
		return false
	case strings.HasPrefix(lines[0], `"`):
		return lines[0] == e.header.Get("Etag")
	}
	modified, ok := parseDate(e.header.Get("Last-Modified"))
	since, valid := parseDate(lines[0])
	made, known := parseDate(e.header.Get("Date"))
	return ok && valid && known && modified.Equal(since) && made.Sub(modified) >= time.Second
}

func parseRange(s string, size int64) (part span, ok bool) {
	unit, spec, found := strings.Cut(s, "=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || !dash || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return span{}, false
	}
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	if first == "" { // the last so many
		n, ok := position(last)
		return span{max(size-n, 0), size}, ok
	}
	from, ok := position(first)
	if !ok {
		return span{}, false
	}
	to := size
	if last != "" {
		end, ok := position(last)
		if !ok || end < from {
			return span{}, false
		}
		to = min(end+1, size)
	}
	return span{from, max(to, from)}, true
}

// position reads digits, and nothing else. What is too large is beyond every body.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil {
		n = math.MaxInt64 >> 1
	}
	return n, true
}

func (s span) empty(size int64) bool { return s.from >= size || s.from >= s.to }

// contentRange is the field of that name (RFC 9110 section 14.4).
func (s span) contentRange(size int64) string {
	if s.empty(size) {
		return "bytes */" + strconv.FormatInt(size, 10)
	}
	return "bytes " + strconv.FormatInt(s.from, 10) + "-" + strconv.FormatInt(s.to-1, 10) + "/" + strconv.FormatInt(size, 10)
}
