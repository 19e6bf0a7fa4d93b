// Package rawpath judges and edits URL paths in their escaped form, the form in
// which a gateway has to forward them.
//
// The attack it stands against: the gateway reads a path one way and applies the
// policy of one route, the backend reads it another way and serves a different
// resource. What no two parsers read alike is refused; what some parsers read
// differently can be read the other ways by [Readings], and compared.
package rawpath

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/gatewright/gateway/internal/field"
)

// What Check returns.
var (
	ErrDot     = errors.New("the path has a dot segment")
	ErrEmpty   = errors.New("the path has an empty segment")
	ErrControl = errors.New("the path has a backslash or a control character")
)

// rounds is how often a path is decoded in search of hidden characters. A backend
// behind another proxy decodes twice; nobody was seen to decode four times.
const rounds = 3

// Check refuses an escaped path that two parsers can read differently: dot
// segments in any encoding, also before a ";" parameter or behind an encoded
// slash; empty segments; backslashes, NUL and controls in any encoding.
func Check(escaped string) error {
	if plain(escaped) {
		return nil
	}
	if hasEmpty(escaped) {
		return ErrEmpty
	}
	for range rounds {
		if err := checkDecoded(escaped); err != nil {
			return err
		}
		next := decode(escaped)
		if next == escaped {
			return nil
		}
		escaped = next
	}
	return checkDecoded(escaped)
}

// Ambiguous reports whether a lenient parser could see other segments in escaped
// than a strict one: only then are the Readings worth more matches.
func Ambiguous(escaped string) bool {
	if strings.IndexByte(escaped, ';') >= 0 {
		return true
	}
	for s := escaped; ; {
		i := strings.IndexByte(s, '%')
		if i < 0 || i+2 >= len(s) {
			return false
		}
		switch strings.ToLower(s[i+1 : i+3]) {
		case "2f", "3b", "25":
			return true
		}
		s = s[i+1:]
	}
}

// Readings yields the paths that backends between the strict one and the most careless
// one would take escaped for, each in escaped form: decoded once or more often, so that
// encoded slashes divide segments, and each time with and without the parameters that
// ";" begins. Empty segments are left out.
func Readings(escaped string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range rounds + 1 {
			if !yield(tidy(escaped, false)) || !yield(tidy(escaped, true)) {
				return
			}
			next := decode(escaped)
			if next == escaped {
				return
			}
			escaped = next
		}
	}
}

// tidy returns path without empty segments, and without parameters if they are to be cut.
func tidy(path string, cut bool) string {
	var b strings.Builder
	open := true // the path ends in a slash, so far
	for seg := range strings.SplitSeq(path, "/") {
		if cut {
			seg, _, _ = strings.Cut(seg, ";")
		}
		if open = seg == ""; !open {
			b.WriteByte('/')
			b.WriteString(seg)
		}
	}
	if open {
		b.WriteByte('/')
	}
	return b.String()
}

// Escaped returns u's path as the client has escaped it, if that is known and can stand
// in a request line. The URL's own EscapedPath would escape once more what is not quite by
// the book, as "|" is.
func Escaped(u *url.URL) string {
	if raw := u.RawPath; raw != "" && isPath(raw) {
		if path, err := url.PathUnescape(raw); err == nil && path == u.Path {
			return raw
		}
	}
	return u.EscapedPath()
}

// Target returns the origin form of u (RFC 9112 section 3.2.1): the path as [Escaped]
// returns it, and the query as it is. It is what a backend is sent.
func Target(u *url.URL) string { return string(AppendTarget(nil, u)) }

// AppendTarget appends the [Target] of u.
func AppendTarget(b []byte, u *url.URL) []byte {
	path := Escaped(u)
	if path == "" || path[0] != '/' && path[0] != '*' {
		b = append(b, '/')
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// isPath reports whether s has no white space and no controls, and no query in it.
func isPath(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] == 0x7f || s[i] == '?' {
			return false
		}
	}
	return true
}

// Strict returns u's path as [Escaped] does, but with what is not quite by the book escaped,
// and every other byte as it is: what the URL's own EscapedPath would leave alone. That one,
// if there is such a byte, decodes all slashes, and so divides segments that are forwarded
// as one.
func Strict(u *url.URL) string {
	if u.RawPath == "" {
		return u.EscapedPath()
	}
	escaped := Escaped(u)
	if escaped == u.EscapedPath() {
		return escaped
	}
	return conform(escaped)
}

func conform(escaped string) string {
	var b strings.Builder
	for i := range len(escaped) {
		switch c := escaped[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@/[]%", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Strip removes the segments of prefix from the front of u's path, whichever way
// the client spelled them, and leaves the bytes of the rest as they are. It
// reports whether u's path lay below prefix; if not, u is unchanged.
func Strip(u *url.URL, prefix string) bool {
	rest := Escaped(u)
	for want := range strings.SplitSeq(strings.Trim(prefix, "/"), "/") {
		var seg string
		seg, rest = cutSegment(rest)
		if got, err := url.PathUnescape(seg); err != nil || got != want {
			return false
		}
	}
	return Set(u, "/"+strings.TrimPrefix(rest, "/"))
}

// Set makes escaped the path of u and reports whether it is a valid one.
func Set(u *url.URL, escaped string) bool {
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return false
	}
	u.Path, u.RawPath = path, escaped
	return true
}

// Join returns the escaped path that results from appending path to base, both escaped.
func Join(base, path string) string {
	base = strings.TrimSuffix(base, "/")
	if path == "" || strings.HasPrefix(path, "/") {
		return base + path
	}
	return base + "/" + path
}

func cutSegment(path string) (seg, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// plain is the quick answer for nearly every path: nothing in it needs a closer look.
func plain(path string) bool {
	if path != "" && path[0] == '.' {
		return false
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%', c == ';', c == '\\', c < 0x20, c == 0x7f:
			return false
		case c == '/' && i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.'):
			return false
		}
	}
	return true
}

// hasEmpty reports whether a segment but the last is empty, or would be once its
// parameters are cut off.
func hasEmpty(path string) bool {
	path = strings.TrimPrefix(path, "/")
	for {
		seg, rest, more := strings.Cut(path, "/")
		if !more {
			return false
		}
		if seg == "" || seg[0] == ';' {
			return true
		}
		path = rest
	}
}

func checkDecoded(path string) error {
	for seg := range strings.SplitSeq(path, "/") {
		seg, _, _ = strings.Cut(seg, ";")
		if seg == "." || seg == ".." {
			return ErrDot
		}
	}
	for i := range len(path) {
		if c := path[i]; c == '\\' || c < 0x20 || c == 0x7f {
			return ErrControl
		}
	}
	return nil
}

// decode undoes one round of percent-encoding and leaves what is not an encoding.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := field.Hex(s[i+1]), field.Hex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
