package exchange

import (
	"net/http"
	"net/netip"
)

// ClientIP returns the address that r comes from, IPv4 as IPv4 and without a zone, and
// whether it is known. It is what trusted proxies said, if any did, and otherwise that
// of the connection's other end. In-process requests may have none.
func ClientIP(r *http.Request) (netip.Addr, bool) {
	if s := From(r.Context()); s != nil && s.Client.IsValid() {
		return s.Client, true
	}
	return PeerIP(r)
}

// PeerIP returns the address of the other end of r's connection.
func PeerIP(r *http.Request) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}
