package forward

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// addForwarded writes into h, which has none of them, the fields that say where r came
// from: what a trusted proxy said and we add to, or else what we have seen.
func addForwarded(h http.Header, r *http.Request) {
	peer := peerAddress(r)
	if s := exchange.From(r.Context()); s != nil && s.Trusted {
		for name, values := range r.Header {
			if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
				h[name] = slices.Clone(values)
			}
		}
	}
	values := &[4]string{element(peer, r), peer, r.Host, scheme(r)} // all that is added in one piece
	add := func(i int, name string, extend bool) {
		switch had := h[name]; {
		case values[i] == "", had != nil && !extend:
		case had != nil:
			h[name] = append(had, values[i])
		default:
			h[name] = values[i : i+1 : i+1]
		}
	}
	add(0, "Forwarded", true)
	add(1, "X-Forwarded-For", true)
	add(2, "X-Forwarded-Host", false)
	add(3, "X-Forwarded-Proto", false)
}

// peerAddress returns the address of the connection's other end as it is written; "" if
// there is none.
func peerAddress(r *http.Request) string {
	// Nearly every address is one that nothing has to be done to but to cut the port off.
	if host, _, ok := strings.Cut(r.RemoteAddr, ":"); ok && strings.Count(r.RemoteAddr, ":") == 1 {
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
			return host
		}
	}
	if ip, ok := exchange.PeerIP(r); ok {
		return ip.String()
	}
	return ""
}

// element is what Forwarded says of one hop (RFC 7239 section 4).
func element(peer string, r *http.Request) string {
	b := make([]byte, 0, 64)
	switch {
	case peer == "":
		b = append(b, "for=unknown"...)
	case strings.IndexByte(peer, ':') >= 0:
		b = append(append(append(b, `for="[`...), peer...), `]"`...)
	default:
		b = append(append(b, "for="...), peer...)
	}
	switch {
	case field.IsToken(r.Host):
		b = append(append(b, ";host="...), r.Host...)
	case r.Host != "" && !strings.ContainsAny(r.Host, `"\\`) && field.IsValue(r.Host):
		b = append(append(append(b, `;host="`...), r.Host...), '"')
	}
	return string(append(append(b, ";proto="...), scheme(r)...))
}

// ClientOf returns the address that the forwarding fields of h name as the client's: of
// the hops, from the last to the first, the first that is not trusted. What cannot be
// read ends the search, and the hop before it counts: so nobody gains an address of his
// choice by writing nonsense. It is not ok if there is no field.
func ClientOf(h http.Header, trusted func(netip.Addr) bool) (client netip.Addr, ok bool) {
	for _, hop := range slices.Backward(hops(h)) {
		ip, readable := parseNode(hop)
		if !readable {
			return client, ok
		}
		client, ok = ip, true
		if !trusted(ip) {
			return client, ok
		}
	}
	return client, ok
}

// hops returns those of X-Forwarded-For, or if there is none of Forwarded.
func hops(h http.Header) (hops []string) {
	for _, line := range h["X-Forwarded-For"] {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	if len(hops) > 0 {
		return hops
	}
	for _, line := range h["Forwarded"] {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, forParameter(hop))
		}
	}
	return hops
}

// forParameter returns the node of a Forwarded element; "" if it has none.
func forParameter(hop string) string {
	for pair := range strings.SplitSeq(hop, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseNode reads an address with or without a port, a zone and brackets.
func parseNode(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap().WithZone(""), err == nil
}
