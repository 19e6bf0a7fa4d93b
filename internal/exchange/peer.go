package exchange

import (
	"net/http"
	"net/netip"
)

// PeerIP returns the address of the other end of r's connection, IPv4 as IPv4 and
// without a zone, and whether it could be read. In-process requests have none.
func PeerIP(r *http.Request) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}
