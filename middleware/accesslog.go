package middleware

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// AccessLog returns a middleware that logs one record for each request, at the end
// of its response. The attributes have the names of the OpenTelemetry conventions:
//
//	http.request.method, url.path (without the query, which may hold secrets),
//	http.response.status_code, http.response.body.size, duration (a [time.Duration]);
//	where there is one: http.route, client.address, request.id, user.id, error, error.type, aborted;
//	what was made up for: upstream.failed (attempts, in their order), compose.failed,
//	compose.undo_failed, ratelimit.error
//
// error.type is the [gateway.Fault], or the status of an upstream's answer of 500 and
// above; error is the cause, which may name an upstream.
// A status of 500 and above, or a response that was cut off for a reason other than
// the client's leaving, is logged at Error, all else at Info. It panics if logger is nil.
func AccessLog(logger *slog.Logger) gateway.Middleware {
	if logger == nil {
		panic(errors.New("middleware: access log: nil logger"))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			start := time.Now()
			observe(next, x, r, func(status int, aborted bool) {
				logRequest(logger, x, r, status, aborted, time.Since(start))
			})
		})
	}
}

func logRequest(logger *slog.Logger, x *exchange.Exchange, r *http.Request, status int, aborted bool, took time.Duration) {
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("http.request.method", r.Method),
		slog.String("url.path", r.URL.Path),
		slog.Int("http.response.status_code", status),
		slog.Int64("http.response.body.size", x.Bytes()),
		slog.Duration("duration", took),
	)
	if pattern := route(r); pattern != "" {
		attrs = append(attrs, slog.String("http.route", pattern))
	}
	if ip, ok := exchange.ClientIP(r); ok {
		attrs = append(attrs, slog.String("client.address", ip.String()))
	}
	if x.RequestID != "" {
		attrs = append(attrs, slog.String("request.id", x.RequestID))
	}
	if x.Principal != nil {
		if sub, ok := x.Principal.Claim("sub"); ok {
			attrs = append(attrs, slog.String("user.id", sub))
		}
	}
	kind := errorType(x, status)
	if x.Err != nil {
		p := gateway.ProblemOf(x.Err)
		kind = string(p.Fault) // also of the client's, which metrics do not count as errors
		attrs = append(attrs, slog.String("error", cause(p)))
	}
	if kind != "" {
		attrs = append(attrs, slog.String("error.type", kind))
	}
	if failed := x.Attempts.List(); failed != nil {
		attrs = append(attrs, slog.Any("upstream.failed", failed))
	}
	attrs = append(attrs, x.Notes...)
	if aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if status >= 500 || aborted && kind != string(gateway.ClientCanceled) {
		level = slog.LevelError
	}
	logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// cause is what the client was not told; or what it was, if there is no more to say.
func cause(p *gateway.Problem) string {
	if p.Err != nil {
		return p.Err.Error()
	}
	return p.Error()
}
