package middleware

import (
	"fmt"
	"log"
	"net/http"
	"runtime/debug"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Recover is a middleware that answers a panic of the handler with a 500 problem.
// The panic and its stack go where net/http would have logged them: the server's
// ErrorLog, or the standard logger. If the header was already sent the response is
// aborted, as a cut response must not look complete. [http.ErrAbortHandler] is the
// server's own and passes.
func Recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, r := exchange.Join(w, r)
		defer func() {
			v := recover()
			switch v {
			case nil:
				return
			case http.ErrAbortHandler:
				panic(v)
			}
			logPanic(r, v)
			gateway.Fail(x, r, &gateway.Problem{
				Status: http.StatusInternalServerError,
				Fault:  gateway.GatewayInternal,
				Err:    fmt.Errorf("panic: %v", v),
			})
		}()
		next.ServeHTTP(x, r)
	})
}

func logPanic(r *http.Request, v any) {
	printf := log.Printf
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ErrorLog != nil {
		printf = s.ErrorLog.Printf
	}
	printf("gateway: panic serving %s: %v\n%s", r.Pattern, v, debug.Stack())
}
