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
//	http.request.method, url.path (without the query, which may hold secrets), http.route,
//	http.response.status_code, http.response.body.size, http.server.request.duration (seconds),
//	client.address, and where there is one: request.id, user.id, aborted, error.type, error
//
// error.type is the [gateway.Fault] and error its cause, which may name an upstream.
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
		slog.String("http.route", route(r)),
		slog.Int("http.response.status_code", status),
		slog.Int64("http.response.body.size", x.Bytes()),
		slog.Float64("http.server.request.duration", took.Seconds()),
	)
	if ip, ok := exchange.PeerIP(r); ok {
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
	fault := gateway.Fault("")
	if x.Err != nil {
		p := gateway.ProblemOf(x.Err)
		fault = p.Fault
		attrs = append(attrs, slog.String("error.type", string(fault)), slog.String("error", p.Error()))
	}
	if aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if status >= 500 || aborted && fault != gateway.ClientCanceled {
		level = slog.LevelError
	}
	logger.LogAttrs(r.Context(), level, "request", attrs...)
}
