package middleware

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/forward"
)

// TrustProxies returns a middleware that believes what the proxies in front of the
// gateway say of where a request came from: those whose addresses lie in the prefixes.
// If the connection's other end is one, the client's address, for the log, limits and
// gateway.ClientIP, is that of the last hop in X-Forwarded-For, or else in Forwarded
// (RFC 7239), that is not such a proxy itself; and gateway.Proxy keeps those fields and
// adds to them. Give it to gateway.New, before all others. From anybody else the fields
// are not believed. It panics if there is no prefix, or an invalid one.
func TrustProxies(prefixes ...netip.Prefix) gateway.Middleware {
	if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return !p.IsValid() }) {
		panic(errors.New("middleware: trust proxies: no prefix, or an invalid one"))
	}
	prefixes = slices.Clone(prefixes)
	trusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			if peer, ok := exchange.PeerIP(r); ok && trusted(peer) {
				x.Trusted = true
				if client, ok := forward.ClientOf(r.Header, trusted); ok {
					x.Client = client
				}
			}
			next.ServeHTTP(x, r)
		})
	}
}
