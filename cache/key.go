package cache

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// keyOf returns the primary key of what r asks for (RFC 9111 section 2), under the
// name of whose cache it is. The method is always GET.
//
// A request inside the gateway may not have a host yet, so it is the name that
// keeps the upstreams apart. The client's host and scheme count too, wherever they
// are: origins build links and redirects from them, and a client could otherwise
// have its own stored for everybody. All parts but the last are escaped, so that
// none can reach into the next.
func keyOf(name string, r *http.Request) string {
	var b strings.Builder
	for _, part := range [...]string{
		name,
		schemeOf(r),
		strings.ToLower(r.URL.Host),
		strings.ToLower(cmp.Or(r.Host, r.URL.Host)),
		strings.ToLower(strings.Join(r.Header["X-Forwarded-Host"], ",")),
		strings.ToLower(strings.Join(r.Header["X-Forwarded-Proto"], ",")),
	} {
		b.WriteString(url.QueryEscape(part))
		b.WriteByte(' ')
	}
	b.WriteString(r.URL.RequestURI())
	return b.String()
}

func schemeOf(r *http.Request) string {
	if r.URL.Scheme == "" && r.TLS != nil {
		return "https"
	}
	return strings.ToLower(r.URL.Scheme)
}
