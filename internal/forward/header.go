package forward

import (
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// hopByHop are the fields that belong to one connection (RFC 9110 section 7.6.1),
// and their predecessors that are still seen.
var hopByHop = map[string]bool{
	"Connection":          true,
	"Keep-Alive":          true,
	"Proxy-Authenticate":  true,
	"Proxy-Authorization": true,
	"Proxy-Connection":    true,
	"Te":                  true,
	"Trailer":             true,
	"Transfer-Encoding":   true,
	"Upgrade":             true,
}

// forwarding reports whether name says where a request came from. Such fields are
// the gateway's to write; "_" is read as "-", as CGI-like backends do.
func forwarding(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	return name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-")
}

// requestHeader returns the header to send for r. It shares r's values, which
// nobody may change in place, and adds what the gateway says of the client after
// the client's own claims are gone.
func requestHeader(r *http.Request) http.Header {
	listed := listedNames(r.Header)
	h := make(http.Header, len(r.Header)+4)
	for name, values := range r.Header {
		if !hopByHop[name] && !listed[name] && !forwarding(name) {
			h[name] = values[:len(values):len(values)]
		}
	}
	if hasToken(r.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if token := upgradeToken(r.Header); token != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{token}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // or the transport would put its own name
	}
	if peer, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{peer}
	}
	if r.Host != "" {
		h["X-Forwarded-Host"] = []string{r.Host}
	}
	h["X-Forwarded-Proto"] = []string{scheme(r)}
	return h
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// copyHeader adds what src says to dst, without the fields of src's connection. A
// field of the upstream replaces one that dst has, but for lists that both extend.
func copyHeader(dst, src http.Header) {
	listed := listedNames(src)
	for name, values := range src {
		if hopByHop[name] || listed[name] {
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

func copyAll(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values
	}
}

// listedNames returns the names that h's Connection field declares to belong to the
// connection, or nil. "close", "keep-alive" and "upgrade" are no field names.
func listedNames(h http.Header) map[string]bool {
	var listed map[string]bool
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			switch name {
			case "", "Close", "Keep-Alive", "Upgrade":
				continue
			}
			if listed == nil {
				listed = make(map[string]bool)
			}
			listed[name] = true
		}
	}
	return listed
}

// StripListed removes the fields that h's Connection field lists, and their names
// from it. Done before anything else, it keeps a client from naming, and so having
// removed, a field that the gateway will add (golang/go#50580).
func StripListed(h http.Header) {
	listed := listedNames(h)
	if listed == nil {
		return
	}
	for name := range listed {
		delete(h, name)
	}
	var kept []string
	for _, token := range []string{"close", "keep-alive", "upgrade"} {
		if hasToken(h["Connection"], token) {
			kept = append(kept, token)
		}
	}
	delete(h, "Connection")
	if len(kept) > 0 {
		h["Connection"] = kept
	}
}

// upgradeToken returns the protocol that h asks to change to, if it is one that
// may pass. Only WebSocket is: "h2c" would open a tunnel past every check
// (golang/go#80416).
func upgradeToken(h http.Header) string {
	if !hasToken(h["Connection"], "upgrade") {
		return ""
	}
	if v := h.Get("Upgrade"); strings.EqualFold(v, "websocket") {
		return v
	}
	return ""
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}
