package oidc

import (
	"net/url"
	"strings"
)

const maxReturn = 2 << 10 // bytes of a return path

// local returns target if it is a path of this site, with or without a query, that leads
// nobody elsewhere however it is read, and "/" otherwise. What lies below base, the
// login's own pages, is no place to return to.
func local(target, base string) string {
	if len(target) > maxReturn || !strings.HasPrefix(target, "/") || strings.ContainsFunc(target, notURL) {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	path := u.EscapedPath()
	for range 4 { // what is behind us may decode again
		if !plain(path) || path == base || strings.HasPrefix(path, base+"/") {
			return "/"
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return "/"
		}
		if decoded == path {
			return target
		}
		path = decoded
	}
	return "/"
}

// notURL reports whether c has no place in a URL; browsers drop some of these, and take a
// backslash for a slash.
func notURL(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }

// plain reports whether a path, decoded or not, has nothing in it that resolving it would
// change: "/.//evil.test" is on its way to "//evil.test".
func plain(path string) bool {
	if strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) || strings.Contains(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return strings.HasPrefix(path, "/")
}
