package middleware

import (
	"fmt"
	"net/http"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// BodyLimit returns a middleware that limits the request body to max bytes. A
// longer Content-Length is answered 413 before the handler runs; a body that turns
// out longer fails to be read with [http.MaxBytesError], which gateway.Fail, and so
// gateway.Proxy, answers with 413. It panics if max is negative.
func BodyLimit(max int64) gateway.Middleware {
	if max < 0 {
		panic(fmt.Errorf("middleware: body limit %d is negative", max))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			if r.ContentLength > max {
				if r.ProtoMajor == 1 {
					// What the client goes on sending is not read, so the connection is spent.
					x.Header().Set("Connection", "close")
				}
				gateway.Fail(x, r, &http.MaxBytesError{Limit: max})
				return
			}
			if r.Body != nil && r.Body != http.NoBody {
				limited := *r
				limited.Body = http.MaxBytesReader(x, r.Body, max)
				r = &limited
			}
			next.ServeHTTP(x, r)
		})
	}
}
