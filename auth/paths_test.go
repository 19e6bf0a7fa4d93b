package auth_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// careless imitates the backends that read a path in other ways than the gateway: it
// decodes twice, cuts parameters off, resolves dots and runs slashes together, and it
// counts a request as one for the secret if any of these readings is.
func careless(secret *int) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		for range 3 {
			segments := strings.Split(p, "/")
			for i := range segments {
				segments[i], _, _ = strings.Cut(segments[i], ";")
			}
			for _, reading := range []string{p, strings.Join(segments, "/"), strings.ReplaceAll(p, `\`, "/")} {
				if strings.HasPrefix(path.Clean(reading)+"/", "/admin/") {
					*secret++
					return
				}
			}
			decoded, err := url.PathUnescape(p)
			if err != nil {
				return
			}
			p = decoded
		}
	})
}

func TestNoSpellingOfAPathReachesAGuardedRouteWithoutCredentials(t *testing.T) {
	secret := 0
	to := gateway.Proxy(gateway.Local(careless(&secret)))
	open := auth.Allow(auth.If(gateway.Not(gateway.Path("/admin/")))) // of the gateway that has one route
	two, one := gateway.New(), gateway.New()
	two.Handle("/admin", to, auth.Require(annJWT))
	two.Handle("/admin/", to, auth.Require(annJWT))
	two.Handle("/", to)
	one.Handle("/", to, open)

	targets := []string{
		"/admin/x", "//admin/x", "/./admin/x", "/x/../admin/x", "/%2e/admin/x", "/x/%2e%2e/admin/x", "/x/.%2E/admin/x",
		"/%61dmin/x", "/%2561dmin/x", "/admin%2fx", "/admin%2Fx", "/admin%252fx", "/x%2f..%2fadmin%2fx", "/%2fadmin/x", "/;/admin/x",
		"/admin;a=b/x", "/admin;/x", "/x/..;/admin/x", "/x/..;a=b/admin/x", `/\admin/x`, "/%5cadmin/x", "/admin%5cx", `/x/..\admin/x`,
		"/x/%252e%252e/admin/x", "/x/%25252e%25252e/admin/x", "/admin//x", "/admin/./x", "/admin/%2e/x", "/admin%00/x", "/admin%0a/x",
		"/admin%3b/x", "/admin%253ba/x", "/x//../admin/x", "/.;/admin/x", "/%2e;/admin/x", "http://shop.test/admin/x", "http://shop.test//admin/x",
	}
	for name, gw := range map[string]http.Handler{"two routes": two, "one route": one} {
		s := httptest.NewServer(gw)
		defer s.Close()
		for _, target := range targets {
			t.Run(name+" "+target, func(t *testing.T) {
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				require.NoError(t, err)
				defer c.Close()
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", target)
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				require.NoError(t, err)
				defer res.Body.Close()
				assert.Contains(t, []int{400, 401, 403}, res.StatusCode)
			})
		}
	}
	assert.Zero(t, secret)
	// Names that a backend without regard to case, or one that drops dots, takes for the
	// same are others to the gateway: the open route has them, under the name they came by.
	w := httptest.NewRecorder()
	two.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ADMIN./x", nil))
	assert.Equal(t, 200, w.Code)

	two.ServeHTTP(w, func() *http.Request {
		r := withBearer(signRSA(rs256, ann))
		r.URL.Path = "/admin/x"
		return r
	}())
	assert.Equal(t, 1, secret, "with credentials")
}
