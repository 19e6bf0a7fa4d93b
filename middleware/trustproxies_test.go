package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
)

var inside = netip.MustParsePrefix("10.0.0.0/8")

// where returns which address a gateway that trusts inside takes for the client's, and
// what the backend is told.
func where(change func(*http.Request)) (client string, told http.Header) {
	backend := gateway.Proxy(gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told = r.Header })))
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client = name
			backend.ServeHTTP(w, r)
		})
	}
	gw := gateway.New(middleware.TrustProxies(inside))
	gw.Handle("/", gateway.Choose(
		gateway.When(gateway.ClientIP(netip.MustParsePrefix("192.0.2.7/32")), named("v4")),
		gateway.When(gateway.ClientIP(netip.MustParsePrefix("2001:db8::7/128")), named("v6")),
		gateway.When(gateway.ClientIP(inside), named("inside")),
		gateway.Otherwise(named("other")),
	))
	r := httptest.NewRequest("GET", "http://shop.test/", nil)
	r.RemoteAddr = "10.0.0.1:1234"
	change(r)
	gw.ServeHTTP(httptest.NewRecorder(), r)
	return client, told
}

func TestTheClientIsTheLastHopThatIsNotTrusted(t *testing.T) {
	for _, test := range []struct{ field, value, want string }{
		{"X-Forwarded-For", "192.0.2.7", "v4"},
		{"X-Forwarded-For", "203.0.113.9, 192.0.2.7, 10.0.0.2", "v4"},
		{"X-Forwarded-For", "192.0.2.7:4711,10.0.0.2:80", "v4"},
		{"X-Forwarded-For", "[2001:db8::7]:4711", "v6"},
		{"X-Forwarded-For", "2001:db8::7%eth0", "v6"},
		{"X-Forwarded-For", "::ffff:192.0.2.7", "v4"},
		{"X-Forwarded-For", "10.0.0.3, 10.0.0.2", "inside"},
		{"X-Forwarded-For", "192.0.2.7, nonsense", "inside"},
		{"X-Forwarded-For", "192.0.2.7, nonsense, 10.0.0.2", "inside"},
		{"X-Forwarded-For", "", "inside"},
		{"Forwarded", `for=192.0.2.7;proto=https, for="10.0.0.2:80"`, "v4"},
		{"Forwarded", `proto=https;FOR="[2001:db8::7]:4711"`, "v6"},
		{"Forwarded", `for=unknown`, "inside"},
		{"Forwarded", `for=_hidden, for=10.0.0.2`, "inside"},
	} {
		got, _ := where(func(r *http.Request) { r.Header.Set(test.field, test.value) })
		assert.Equal(t, test.want, got, "%s: %s", test.field, test.value)
	}
}

func TestOnlyTrustedProxiesAreBelieved(t *testing.T) {
	got, told := where(func(r *http.Request) {
		r.RemoteAddr = "203.0.113.9:1"
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Forwarded", "for=192.0.2.7")
	})
	assert.Equal(t, "other", got)
	assert.Equal(t, []string{"203.0.113.9"}, told["X-Forwarded-For"])
	assert.Equal(t, []string{"http"}, told["X-Forwarded-Proto"])
	assert.Equal(t, []string{"for=203.0.113.9;host=shop.test;proto=http"}, told["Forwarded"])
}

func TestWhatTrustedProxiesSayIsKeptAndExtended(t *testing.T) {
	_, told := where(func(r *http.Request) {
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("X-Forwarded-Host", "www.shop.test")
		r.Header.Set("X-Forwarded-Port", "443")
		r.Header.Set("Forwarded", "for=192.0.2.7;proto=https")
	})
	assert.Equal(t, []string{"192.0.2.7", "10.0.0.1"}, told["X-Forwarded-For"])
	assert.Equal(t, []string{"https"}, told["X-Forwarded-Proto"])
	assert.Equal(t, []string{"www.shop.test"}, told["X-Forwarded-Host"])
	assert.Equal(t, []string{"443"}, told["X-Forwarded-Port"])
	assert.Equal(t, []string{"for=192.0.2.7;proto=https", "for=10.0.0.1;host=shop.test;proto=http"}, told["Forwarded"])
}

func TestTrustNeedsPrefixes(t *testing.T) {
	assert.Panics(t, func() { middleware.TrustProxies() })
	assert.Panics(t, func() { middleware.TrustProxies(netip.Prefix{}) })
}

func ExampleTrustProxies() {
	gw := gateway.New(middleware.TrustProxies(netip.MustParsePrefix("10.0.0.0/8")))
	gw.Handle("/", gateway.Choose(
		gateway.When(gateway.ClientIP(netip.MustParsePrefix("192.0.2.0/24")), ok),
	))
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:4711" // the load balancer
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 200
}
