package main

import (
	"context"
	crypto "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/time/rate"
)

// handwired does what full does, with the libraries that a team would take today and
// the glue that it would write, by someone who knows how.
func handwired(s setup) (http.Handler, error) {
	key, err := parseKey(s.Key)
	if err != nil {
		return nil, err
	}
	logger, err := newLogger()
	if err != nil {
		return nil, err
	}
	proxy, err := newBreakingProxy(s.Backends)
	if err != nil {
		return nil, err
	}
	t := newTelemetry()
	observed := otelhttp.NewMiddleware("gateway",
		otelhttp.WithTracerProvider(t.traces),
		otelhttp.WithMeterProvider(t.metrics),
		otelhttp.WithPropagators(propagation.TraceContext{}))
	mux := http.NewServeMux()
	mux.Handle("/v1/", withRequestID(observed(withLog(logger, withToken(key, withLimit(proxy))))))
	return mux, nil
}

// userState is what the middlewares of a request tell the log.
type userState struct{ requestID, user string }

type userKey struct{}

func stateOf(r *http.Request) *userState {
	u, _ := r.Context().Value(userKey{}).(*userState)
	return u
}

func withRequestID(next http.Handler) http.Handler {
	const name = "X-Request-Id"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(name)
		if id == "" {
			id = crypto.Text()
			r.Header.Set(name, id)
		}
		w.Header().Set(name, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, &userState{requestID: id})))
	})
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	size   int64
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.size += int64(n)
	return n, err
}

func withLog(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		u := stateOf(r)
		logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("http.request.method", r.Method),
			slog.String("url.path", r.URL.Path),
			slog.String("http.route", r.Pattern),
			slog.Int("http.response.status_code", rec.status),
			slog.Int64("http.response.body.size", rec.size),
			slog.Float64("http.server.request.duration", time.Since(start).Seconds()),
			slog.String("client.address", client),
			slog.String("request.id", u.requestID),
			slog.String("user.id", u.user))
	})
}

func withToken(key any, next http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var claims jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil })
		if err != nil {
			w.Header().Set("Www-Authenticate", "Bearer")
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		stateOf(r).user = claims.Subject
		next.ServeHTTP(w, r)
	})
}

const userRate = 1_000_000 // requests a second of one user: never reached

func withLimit(next http.Handler) http.Handler {
	var limiters sync.Map // by user
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := stateOf(r).user
		limiter, ok := limiters.Load(user)
		if !ok {
			limiter, _ = limiters.LoadOrStore(user, rate.NewLimiter(userRate, userRate))
		}
		if !limiter.(*rate.Limiter).Allow() {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const breakerFailures = 5

// breakingTransport sends a request to one of the endpoints at random, each of which
// has a breaker.
type breakingTransport struct {
	base      http.RoundTripper
	endpoints []endpoint
}

type endpoint struct {
	url     *url.URL
	breaker *gobreaker.CircuitBreaker[*http.Response]
}

func newBreakingProxy(targets []string) (http.Handler, error) {
	t := &breakingTransport{base: newTransport()}
	for _, target := range targets {
		u, err := url.Parse(target)
		if err != nil {
			return nil, err
		}
		t.endpoints = append(t.endpoints, endpoint{u, gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		})})
	}
	w3c := propagation.TraceContext{}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			w3c.Inject(r.Out.Context(), propagation.HeaderCarrier(r.Out.Header))
		},
		Transport:  t,
		BufferPool: new(buffers),
	}, nil
}

var errUpstream = errors.New("the upstream failed")

func (t *breakingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	e := &t.endpoints[rand.IntN(len(t.endpoints))]
	// The request is the proxy's own copy, so it may be aimed in place.
	r.URL.Scheme, r.URL.Host, r.Host = e.url.Scheme, e.url.Host, ""
	res, err := e.breaker.Execute(func() (*http.Response, error) {
		res, err := t.base.RoundTrip(r)
		if err == nil && res.StatusCode >= http.StatusInternalServerError {
			return res, errUpstream
		}
		return res, err
	})
	if errors.Is(err, errUpstream) {
		return res, nil
	}
	return res, err
}
