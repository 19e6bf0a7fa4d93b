package cache

import (
	"net/http"
	"slices"

	"github.com/gatewright/gateway/internal/exchange"
)

// isOutside reports whether r is a request that the cache has no part in: it is
// neither answered from the store nor is its response stored.
func isOutside(r *http.Request, asked directives) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return true
	}
	return asked.noStore || hasContent(r) || r.URL.Opaque != "" ||
		slices.ContainsFunc(outside, func(name string) bool { return r.Header[name] != nil })
}

// hasContent reports whether r has a body. On GET it has no meaning that a cache
// could know, so an origin that heeds it would poison the key (a "fat" GET).
func hasContent(r *http.Request) bool {
	return r.ContentLength != 0 || r.Body != nil && r.Body != http.NoBody
}

// outside are the request fields that say so: parts, which are not kept; conditions
// that only the origin can judge (RFC 9111 section 4.3.2); other protocols; and
// the fields by which frameworks replace the method or the path, for which GET /
// could be anything.
var outside = []string{
	"Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade",
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

// isShareable reports whether a response may be stored in a cache that everybody
// shares (RFC 9111 section 3). The header is canonical.
func isShareable(r *http.Request, status int, h http.Header, cc directives) bool {
	switch {
	case !isCacheable(status), cc.noStore, cc.private:
		return false
	case h["Set-Cookie"] != nil, h["Set-Cookie2"] != nil, h["Content-Range"] != nil:
		return false
	case !isForEverybody(r, cc):
		return false
	}
	names, ok := varyNames(h)
	if ok {
		_, ok = variantOf(names, r)
	}
	return ok
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

// isAuthenticated reports whether the gateway itself knows whom r speaks for, of
// which r's fields may no longer show anything.
func isAuthenticated(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return true
	}
	s := exchange.From(r.Context())
	return s != nil && s.Principal != nil
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
