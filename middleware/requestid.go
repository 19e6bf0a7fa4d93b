package middleware

import (
	"crypto/rand"
	"net/http"

	"github.com/gatewright/gateway/internal/exchange"
)

const requestIDHeader = "X-Request-Id"

// maxRequestID is the longest id taken over from a client.
const maxRequestID = 128

// RequestID is a middleware that gives every request an id: in X-Request-Id of the
// request, so that it reaches the backends, and of the response, and in the access
// log. An id that the client sent is kept if it consists of 1 to 128 letters,
// digits and "-_.:+/=~"; anything else, or more than one, is replaced by 26 random
// characters (128 bits).
func RequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, r := exchange.Join(w, r)
		ids := r.Header[requestIDHeader]
		if len(ids) != 1 || !validRequestID(ids[0]) {
			ids = []string{rand.Text()}
			r.Header[requestIDHeader] = ids
		}
		x.RequestID = ids[0]
		serveWithHeader(next, x, r, func(h http.Header) { h[requestIDHeader] = ids }) // not the upstream's
	})
}

// validRequestID keeps out what could forge a log line or a header.
func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '+', c == '/', c == '=', c == '~':
		default:
			return false
		}
	}
	return true
}
