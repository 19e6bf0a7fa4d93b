package forward

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// forwarding reports whether name says where a request came from, or who sent it as
// TLS knows (RFC 9440). Such fields are the gateway's to write; "_" is read as "-", as
// CGI-like backends do, and so is all that is no letter or digit, as some others do.
func forwarding(name string) bool {
	if strings.ContainsFunc(name, isOdd) {
		name = textproto.CanonicalMIMEHeaderKey(strings.Map(func(c rune) rune {
			if isOdd(c) {
				return '-'
			}
			return c
		}, name))
	}
	switch name {
	case "Forwarded", "X-Real-Ip", "Client-Cert", "Client-Cert-Chain":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// requestHeader returns the header to send for r. It shares r's values, which
// nobody may change in place, and adds what the gateway says of the client after
// the client's own claims are gone.
func requestHeader(r *http.Request) http.Header {
	listed := field.Listed(r.Header)
	h := make(http.Header, len(r.Header)+4)
	for name, values := range r.Header {
		if !field.OfConnection(name) && !listed[name] && !forwarding(name) {
			h[name] = values[:len(values):len(values)]
		}
	}
	if field.HasToken(r.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if token := upgradeToken(r.Header); token != "" && r.ProtoMajor == 1 && r.ProtoMinor >= 1 {
		if s := exchange.From(r.Context()); s != nil {
			s.Upgrade = token
		}
		if strings.EqualFold(token, "websocket") {
			Upgrade(h, token)
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = noUserAgent[:1:1] // or the transport would put its own name
	}
	addForwarded(h, r)
	return h
}

func isOdd(c rune) bool {
	return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

var noUserAgent = []string{""}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// copyHeader adds what src says to dst, without the fields of src's connection. A
// field of the upstream replaces one that dst has, but for lists that both extend.
func copyHeader(dst, src http.Header) {
	listed := field.Listed(src)
	for name, values := range src {
		if field.OfConnection(name) || listed[name] {
			continue
		}
		switch name {
		case "Set-Cookie", "Vary", "Link", "Server-Timing", "Via", "Cache-Status":
			dst[name] = append(dst[name], values...)
		default:
			dst[name] = values
		}
	}
}

// upgradeToken returns the protocol that h asks to change to, or says it changes to;
// "" if there is none, or more than one.
func upgradeToken(h http.Header) string {
	if v := h["Upgrade"]; len(v) == 1 && field.HasToken(h["Connection"], "upgrade") && !strings.Contains(v[0], ",") {
		return v[0]
	}
	return ""
}

// Upgrade has h ask to change to the protocol.
func Upgrade(h http.Header, token string) {
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{token}
}

// requestTrailer returns the trailers to announce for r: those of its own that a
// client may send. Their values come with the body's end.
func requestTrailer(r *http.Request) http.Header {
	var kept http.Header
	for name := range r.Trailer {
		switch {
		case field.OfConnection(name), forwarding(name), name == "Authorization", name == "Cookie":
			continue // what the header must not say of the client, the trailer must not either
		case kept == nil:
			kept = make(http.Header, len(r.Trailer))
		}
		kept[name] = nil
	}
	return kept
}
