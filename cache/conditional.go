package cache

import (
	"maps"
	"net/http"
	"strings"
)

// hasValidator reports whether the origin can be asked if this is still the
// representation (RFC 9111 section 4.3.1).
func hasValidator(h http.Header) bool {
	if h.Get("Etag") != "" {
		return true
	}
	_, ok := parseDate(h.Get("Last-Modified"))
	return ok
}

// plain returns r without conditions and ranges: the whole is what we would store.
func plain(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = maps.Clone(r.Header)
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "Range", "If-Range"} {
		delete(out.Header, name)
	}
	return out
}

// conditional returns r with e's validators in place of the client's, which are
// for us to answer once the origin has.
func conditional(r *http.Request, e *entry) *http.Request {
	out := plain(r)
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	if tag := e.header.Get("Etag"); tag != "" {
		out.Header["If-None-Match"] = []string{tag}
	}
	if modified := e.header.Get("Last-Modified"); modified != "" {
		out.Header["If-Modified-Since"] = []string{modified}
	}
	return out
}

// isUnmodified reports whether the client has e already, by the conditions in its
// request (RFC 9111 section 4.3.2). They only hold for a success.
func (e *entry) isUnmodified(r *http.Request) bool {
	if e.status != http.StatusOK {
		return false
	}
	if tags := r.Header["If-None-Match"]; tags != nil {
		return matchesTag(tags, e.header.Get("Etag"))
	}
	lines := r.Header["If-Modified-Since"]
	if len(lines) != 1 {
		return false
	}
	since, ok := parseDate(lines[0])
	return ok && !e.modified().After(since)
}

// matchesTag reports whether an If-None-Match names tag, compared weakly (RFC 9110
// section 13.1.2). A list that is malformed matches up to where it is.
func matchesTag(lines []string, tag string) bool {
	for _, line := range lines {
		if strings.TrimSpace(line) == "*" {
			return true
		}
		for line != "" {
			var candidate string
			candidate, line = cutTag(line)
			if candidate != "" && sameTag(candidate, tag) {
				return true
			}
		}
	}
	return false
}

// cutTag cuts an entity tag from the front of a list. Tags may contain commas.
func cutTag(list string) (tag, rest string) {
	list = strings.TrimLeft(list, " \t,")
	start := 0
	if strings.HasPrefix(list, "W/") {
		start = 2
	}
	if len(list) <= start || list[start] != '"' {
		return "", ""
	}
	end := strings.IndexByte(list[start+1:], '"')
	if end < 0 {
		return "", ""
	}
	end += start + 2
	return list[:end], list[end:]
}

// sameTag is the weak comparison (RFC 9110 section 8.8.3.2).
func sameTag(a, b string) bool { return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/") }
