package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// CSRF returns a middleware that refuses, with 403, what a web page of another origin has
// a browser do with its user's cookies (cross-site request forgery). It goes by what
// browsers say of where a request comes from, in Sec-Fetch-Site or else in Origin against
// Host, as [http.CrossOriginProtection] does: there are no tokens. GET, HEAD and OPTIONS
// pass, so they must not change anything, but not if they open a WebSocket, which any page
// may do and read; and so do clients that are no browsers, which have no cookies that they
// did not get themselves.
//
// Trusted origins, such as "https://www.shop.test", pass as well; for their scripts to
// read answers they need [CORS] too, which goes before. Old browsers behind a proxy that
// changes Host are refused. CSRF panics, with all faults in one error, if an origin is none.
func CSRF(trustedOrigins ...string) gateway.Middleware {
	protection := http.NewCrossOriginProtection()
	var faults []error
	for _, origin := range trustedOrigins {
		err := protection.AddTrustedOrigin(origin)
		// They are compared byte by byte: what no browser sends would be trusted in vain.
		if err == nil && (strings.ContainsAny(origin, "*@ ") || strings.ToLower(origin) != origin) {
			err = fmt.Errorf("invalid origin %q", origin)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("middleware: csrf: %w", err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		panic(err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			if err := protection.Check(asChange(r)); err != nil {
				gateway.Fail(x, r, &gateway.Problem{
					Status: http.StatusForbidden,
					Detail: "Pages of other origins may not do this.",
					Err:    fmt.Errorf("middleware: csrf: %w", err),
				})
				return
			}
			next.ServeHTTP(x, r)
		})
	}
}

// asChange returns r, or what stands for it in the check if it asks to upgrade: whatever
// its method, it is not one that only reads.
func asChange(r *http.Request) *http.Request {
	if len(r.Header["Upgrade"]) == 0 {
		return r
	}
	change := *r
	change.Method = http.MethodPost
	return &change
}
