package auth

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// seenScheme returns the scheme by which the client has reached us: a trusted proxy's word,
// or what the connection is.
func seenScheme(r *http.Request) string {
	said := strings.ToLower(textproto.TrimString(told(r, "X-Forwarded-Proto")))
	switch {
	case said == "http" || said == "https":
		return said
	case r.TLS != nil:
		return "https"
	}
	return "http"
}

// seenHost returns the host that the client has asked for, in the same way.
func seenHost(r *http.Request) string {
	if said := told(r, "X-Forwarded-Host"); said != "" {
		return said
	}
	return r.Host
}

// told returns what a trusted proxy says in a field that is there once, or "".
func told(r *http.Request, name string) string {
	said := r.Header[name]
	if s := exchange.From(r.Context()); s == nil || !s.Trusted || len(said) != 1 || !field.IsValue(said[0]) {
		return ""
	}
	return said[0]
}
