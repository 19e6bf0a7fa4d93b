// Package middleware holds the inbound policies of a gateway, one a file. Each is a
// func([http.Handler]) [http.Handler] and works around any handler by itself.
//
// The order in which they are given to gateway.New, Group or Handle is the nesting
// they get, the first outermost. From the edge inwards, this order is right:
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"log/slog"
//		"os"
//		"time"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/balancer"
//		"github.com/gatewright/gateway/middleware"
//		"go.opentelemetry.io/otel"
//	)
//
//	func main() {
//		gw := gateway.New(
//			middleware.RequestID,                         // before all that writes it down
//			middleware.Trace(otel.GetTracerProvider()),   // the log's context then holds the span
//			middleware.AccessLog(slog.Default()),         // sees what everything below answered
//			middleware.Metrics(otel.GetMeterProvider()),
//			middleware.Recover,                           // below the log, which so records its 500
//			middleware.SecureHeaders(middleware.Security{}), // completes the answers of all below
//			middleware.CORS(middleware.CORSPolicy{        // before authentication: a preflight has no token
//				Origins: []string{"https://shop.test"},
//			}),
//			middleware.CSRF("https://shop.test"),         // below CORS, which answers preflights
//		)
//		app := gw.Group("/app",
//			auth.Require(auth.JWT{Key: []byte(os.Getenv("TOKEN_KEY"))}), // before the limit, which is by subject
//			middleware.RateLimit(middleware.PerSecond(20).Burst(40).By(auth.Subject)),
//			middleware.BodyLimit(1<<20),
//			middleware.Timeout(10*time.Second),
//		)
//		app.Handle("/", gateway.Proxy(balancer.To("http://shop:8080"), gateway.StripPrefix("/app")))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// What a middleware refuses it answers with gateway.Fail, so every refusal is a
// problem document (RFC 9457) and is logged and counted in one way.
package middleware

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// observe serves r by next and then tells done the final status, 0 if there is none,
// and whether the handler panicked; the panic goes on.
func observe(next http.Handler, x *exchange.Exchange, r *http.Request, done func(status int, aborted bool)) {
	aborted := true
	defer func() {
		status := x.Status()
		if status == 0 && !aborted {
			status = http.StatusOK // net/http sends it for a handler that wrote nothing
		}
		done(status, aborted)
	}()
	next.ServeHTTP(x, r)
	aborted = false
}

// serveWithHeader serves r by next and has change applied to the response's header just
// before it is sent: the last word over the handler and the upstream. change may be
// called more than once.
func serveWithHeader(next http.Handler, x *exchange.Exchange, r *http.Request, change func(http.Header)) {
	x.OnHeader(change)
	next.ServeHTTP(x, r)
	if x.Status() == 0 {
		change(x.Header()) // the server sends it when the handler has returned
	}
}

// route returns the path of the pattern that r matched, as in http.route of the
// OpenTelemetry conventions: "/users/{id}" of "GET shop.test/users/{id}".
func route(r *http.Request) string {
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 {
		return r.Pattern[i:]
	}
	return ""
}

// errorType returns what went wrong with the exchange in one word, as in error.type
// of the conventions: the fault, or the status for a failure that is an answer of
// the upstream. It is empty for what is no failure of the server's.
func errorType(x *exchange.Exchange, status int) string {
	switch {
	case x.Err != nil:
		if p := gateway.ProblemOf(x.Err); p.Status >= 500 {
			return string(p.Fault)
		}
	case status >= 500:
		return strconv.Itoa(status)
	}
	return ""
}
