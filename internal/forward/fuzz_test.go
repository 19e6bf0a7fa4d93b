package forward

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatewright/gateway/internal/field"
)

// Whatever a client sends in two fields, what goes on to the backend has nothing of the
// connection, and forwarding fields only as the gateway writes them.
func FuzzRequestHeadersCarryNothingOfTheClientsConnection(f *testing.F) {
	f.Add("Connection", "close, X-Foo", "X-Foo", "1")
	f.Add("X_Forwarded_For", "10.0.0.1", "Forwarded", "for=1")
	f.Add("Connection", "Upgrade", "Upgrade", "h2c")
	f.Add("Connection", "X-Forwarded-For", "Te", "trailers, gzip")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range map[string]string{name1: value1, name2: value2} {
			if !field.IsToken(name) || !field.IsValue(value) {
				return // net/http would not have let it in
			}
			r.Header.Add(name, value)
		}
		listed := field.Listed(r.Header)
		for name, values := range requestHeader(r) {
			switch {
			case name == "Te":
				if values[0] != "trailers" {
					t.Errorf("Te: %q", values)
				}
			case name == "Connection" || name == "Upgrade":
				if !strings.EqualFold(values[0], "Upgrade") && !strings.EqualFold(values[0], "websocket") {
					t.Errorf("%s: %q", name, values)
				}
			case field.OfConnection(name):
				t.Errorf("%s: %q passed", name, values)
			case forwarding(name):
				if len(values) != 1 || !ours(name, values[0]) {
					t.Errorf("%s: %q is the client's", name, values)
				}
			case listed[name] && name != "User-Agent":
				t.Errorf("%s: %q was listed in Connection", name, values)
			}
		}
	})
}

func ours(name, value string) bool {
	switch name {
	case "X-Forwarded-For":
		return value == "192.0.2.1"
	case "X-Forwarded-Host":
		return value == "example.com"
	case "X-Forwarded-Proto":
		return value == "http"
	case "Forwarded":
		return value == "for=192.0.2.1;host=example.com;proto=http"
	}
	return false
}

// The client's address is one that a trusted proxy reported, or there is none.
func FuzzClientOfNeverPanicsAndNeverSkipsAnUntrustedHop(f *testing.F) {
	f.Add("192.0.2.7, 10.0.0.2", "")
	f.Add("", `for="[2001:db8::7]:4711";proto=http, for=10.0.0.2`)
	f.Add("a,,b", "for=,;for")
	inside := netip.MustParsePrefix("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		h := http.Header{}
		if xff != "" {
			h.Set("X-Forwarded-For", xff)
		}
		h.Set("Forwarded", forwarded)
		asked := 0
		ip, ok := ClientOf(h, func(ip netip.Addr) bool { asked++; return inside.Contains(ip) })
		if ok != ip.IsValid() || ok != (asked > 0) {
			t.Errorf("%v %v after %d hops", ip, ok, asked)
		}
	})
}
