package cache

import (
	"cmp"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/exchange"
)

// Key says what tells the responses to one request from those to another, besides the
// scheme, the host, the path and the query, and what X-Forwarded-Host, -Proto, -Port,
// -Prefix, -Scheme, -Server and -Ssl, X-Host and Forwarded say of these. What changes the
// answer and is in none of them must be in the response's Vary, or a client can have its own
// stored for everybody. The zero value adds nothing.
type Key struct {
	Headers     []string                   // request fields by whose values responses are told apart, and by which a POST invalidates only what has the same; nil: none
	By          func(*http.Request) string // a tenant, or auth.Subject: requests for which it differs share nothing; what is personal may then be stored, see Transport.Key; nil: none
	IgnoreQuery []string                   // names of query parameters that do not matter, with "*" at the end for all that begin so; nil: all matter
	SortQuery   bool                       // the order of query parameters with different names does not matter; false: it does
}

// keyer builds primary keys.
type keyer struct {
	name    string
	headers []string
	by      func(*http.Request) string
	ignored []string
	sorted  bool
}

func newKeyer(name string, k Key) keyer {
	y := keyer{name: name, by: k.By, ignored: slices.Clone(k.IgnoreQuery), sorted: k.SortQuery}
	for _, h := range k.Headers {
		y.headers = append(y.headers, http.CanonicalHeaderKey(h))
	}
	return y
}

// of returns the primary key of what r asks for (RFC 9111 section 2), under the name of
// whose cache it is. The method is always GET.
//
// A request inside the gateway may not have a host yet, so it is the name that keeps the
// upstreams apart. The client's host and scheme count too, wherever they are, and what
// else links and redirects are built from: a client could otherwise have its own stored
// for everybody. Each part but the last has its length before it, so that none can reach
// into the next.
func (y *keyer) of(r *http.Request) (key, uri string) {
	b := make([]byte, 0, 256)
	b = appendPart(b, y.name)
	b = append(b, schemeOf(r)...)
	b = append(b, 0)
	b = appendPart(b, lower(r.URL.Host))
	b = appendPart(b, lower(cmp.Or(r.Host, r.URL.Host)))
	b = appendLines(b, r.Header["X-Forwarded-Host"])
	b = appendLines(b, r.Header["X-Forwarded-Proto"])
	b = appendClaims(b, r.Header)
	for _, name := range y.headers {
		b = appendValues(b, r.Header[name])
	}
	if y.by != nil {
		b = appendPart(b, y.by(r))
	}
	start := len(b)
	key = string(y.appendURI(b, r.URL))
	return key, key[start:]
}

// appendURI adds the path and what of the query matters, as they stand in an entry.
func (y *keyer) appendURI(b []byte, u *url.URL) []byte {
	b = append(b, u.EscapedPath()...)
	if query := y.query(u.RawQuery); query != "" || u.ForceQuery {
		b = append(append(b, '?'), query...)
	}
	return b
}

// claimed are the other fields from which frameworks take what a link begins with.
var claimed = []string{
	"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Host",
}

// appendClaims is for what a client, or a proxy, may say of where it has come to. Nearly
// always it is nothing, or what [gateway.Proxy] has written.
func appendClaims(b []byte, h http.Header) []byte {
	for i, name := range claimed {
		if lines := h[name]; lines != nil {
			b = appendValues(append(b, byte(i+1)), lines)
		}
	}
	b = append(b, 0)
	for _, line := range h["Forwarded"] { // RFC 7239
		b = appendForwarded(b, line)
	}
	return append(b, 0)
}

// appendForwarded adds what of the line is not about the client or a proxy, which would
// tell each client's responses apart. It is cut wherever a parameter could begin.
func appendForwarded(b []byte, line string) []byte {
	for line != "" {
		end := strings.IndexAny(line, ";,")
		if end < 0 {
			end = len(line)
		}
		pair := textproto.TrimString(line[:end])
		if len(pair) < 4 || !strings.EqualFold(pair[:4], "for=") && !strings.EqualFold(pair[:3], "by=") {
			b = appendPart(append(b, 1), pair)
		}
		line = line[min(end+1, len(line)):]
	}
	return b
}

func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

func appendValues(b []byte, lines []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(lines)))
	for _, l := range lines {
		b = appendPart(b, l)
	}
	return b
}

// appendLines is for what has no case.
func appendLines(b []byte, lines []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(lines)))
	for _, l := range lines {
		b = appendPart(b, lower(l))
	}
	return b
}

// lower is for hosts, nearly all of which are lower case.
func lower(s string) string { return strings.ToLower(s) }

func schemeOf(r *http.Request) string {
	switch {
	case r.URL.Scheme != "":
		return strings.ToLower(r.URL.Scheme)
	case r.TLS != nil:
		return "https"
	}
	return ""
}

// query returns what of the query matters, in an order that does not if that is so.
func (y *keyer) query(raw string) string {
	if raw == "" || len(y.ignored) == 0 && !y.sorted {
		return raw
	}
	if strings.Contains(raw, ";") {
		return raw // an origin that divides there too would see a parameter that the key has not
	}
	parts := strings.Split(raw, "&")
	parts = slices.DeleteFunc(parts, func(p string) bool { return y.ignores(parameter(p)) })
	if y.sorted {
		slices.SortStableFunc(parts, func(a, b string) int { return cmp.Compare(parameter(a), parameter(b)) })
	}
	return strings.Join(parts, "&")
}

// parameter returns the decoded name of one, or what stands there if it is none.
func parameter(part string) string {
	name, _, _ := strings.Cut(part, "=")
	if decoded, err := url.QueryUnescape(name); err == nil {
		return decoded
	}
	return name
}

func (y *keyer) ignores(name string) bool {
	return slices.ContainsFunc(y.ignored, func(rule string) bool {
		if prefix, ok := strings.CutSuffix(rule, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return rule == name
	})
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
