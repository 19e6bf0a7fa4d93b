package cache

import (
	"net/http"
	"slices"
	"strings"
)

// bypass says why r is a request that the cache has no part in: it is neither answered
// from the store nor is its response stored. It is empty if the cache has.
func bypass(r *http.Request, asked directives) string {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "method"
	case asked.noStore:
		return "no-store"
	case hasContent(r):
		return "content"
	case r.URL.Opaque != "":
		return "target"
	case isStream(r):
		return "stream"
	}
	for _, name := range outside {
		if r.Header[name] != nil {
			return strings.ToLower(name)
		}
	}
	return ""
}

// aside is [bypass], but for who only wants what is stored: nothing that the request says
// can then reach an origin.
func aside(r *http.Request, asked directives) string {
	why := bypass(r, asked)
	if asked.onlyIfCached && why != fwdMethod && why != "content" {
		return ""
	}
	return why
}

// hasContent reports whether r has a body. On GET it has no meaning that a cache
// could know, so an origin that heeds it would poison the key (a "fat" GET).
func hasContent(r *http.Request) bool {
	return r.ContentLength != 0 || r.Body != nil && r.Body != http.NoBody
}

// isStream reports whether r asks for events, which have no end to wait for.
func isStream(r *http.Request) bool {
	for _, v := range r.Header["Accept"] {
		if len(v) >= len("text/event-stream") && strings.Contains(strings.ToLower(v), "text/event-stream") {
			return true
		}
	}
	return false
}

// outside are the request fields that say so: conditions that only the origin can judge
// (RFC 9111 section 4.3.2); other protocols; and the fields by which frameworks replace
// the method or the path, for which GET / could be anything.
var outside = []string{
	"If-Match", "If-Unmodified-Since", "Upgrade",
	"X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url",
}

// isSafe reports whether a method is known to change nothing at the origin (RFC
// 9110 section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// isForEverybody reports whether the origin allows others the response to a request
// with credentials (RFC 9111 section 3.5), if it has any. must-revalidate does not
// do so for cookies: origins that send it there mean the one browser.
func isForEverybody(r *http.Request, cc directives) bool {
	switch {
	case cc.public, cc.sMaxAge.given:
		return true
	case r.Header["Cookie"] != nil:
		return false
	case r.Header["Authorization"] != nil, r.URL.User != nil, isAuthenticated(r):
		return cc.mustRevalidate
	}
	return true
}

// maxHeader is how many bytes the fields of a stored response may have.
const maxHeader = 64 << 10

func isLarge(h http.Header) bool {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n > maxHeader
}

// isDelimited reports whether the end of res's body can be told from a connection
// that broke. Where only closing marks the end, a half looks whole (RFC 9112
// section 8). Trailers are not kept, so what has some is not either.
func isDelimited(res *http.Response) bool {
	if len(res.Trailer) > 0 {
		return false
	}
	return res.ContentLength >= 0 || !res.Close || slices.Contains(res.TransferEncoding, "chunked")
}
