// Package gateway is the kernel of Gatewright, a library with which a Go team
// builds its own API gateway or backend-for-frontend in code.
//
// Everything inbound is a [http.Handler], everything outbound a
// [http.RoundTripper], and six arrows join them:
//
//	                   inbound                                   outbound
//	Middleware :  Handler -> Handler              Transport :  RoundTripper -> RoundTripper
//
//	Proxy      :  RoundTripper -> Handler         Pool      :  addresses          -> RoundTripper
//	Local      :  Handler -> RoundTripper         compose   :  many RoundTrippers -> Handler
//
// So a gateway is a program:
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"log/slog"
//		"os"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/balancer"
//		"github.com/gatewright/gateway/middleware"
//	)
//
//	func main() {
//		users := balancer.To("http://users-1:8080", "http://users-2:8080")
//		tokens := auth.JWT{Issuer: "https://id.shop.test", Audience: "app", Key: []byte(os.Getenv("TOKEN_KEY"))}
//
//		gw := gateway.New(middleware.RequestID, middleware.AccessLog(slog.Default()), middleware.Recover)
//		app := gw.Group("/app", auth.Require(tokens))
//		app.Handle("/users/", gateway.Proxy(users, gateway.StripPrefix("/app")))
//
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// # The way of a request
//
// The route is found first, so [http.Request.Pattern] and PathValue are set in
// every middleware. Then the middlewares run in the order they were written: the
// Gateway's own, the Group's, the route's, the handler. Write them from the edge
// inwards: request id, trace, access log, metrics, recover; then authentication;
// then limits, which may be by principal; then caching. Recover stands inside the
// log, so that what it answers is logged.
//
// # Paths
//
// A path is matched by its decoded segments and forwarded byte for byte. What two
// parsers can read differently is refused with 400 before any route is chosen:
// dot segments in any encoding, empty segments, backslashes and control
// characters. A path with %2F or ";" is served as it stands, unless a more lenient
// reader would find another route behind it: then it is refused too, so that a
// guarded route has no second spelling. A route whose values hold slashes says so
// with a wildcard for the rest, as in "/files/{name...}".
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/forward"
	"github.com/gatewright/gateway/internal/router"
	"github.com/gatewright/gateway/internal/server"
)

// Middleware wraps a handler in a policy. It is called when a route is registered,
// once for each; what it has to remember lives in the closure that made it.
type Middleware = func(http.Handler) http.Handler

// Gateway is a [http.Handler] over a table of routes that can be exchanged while
// it serves. Make one with [New]. All methods may be called concurrently. A route costs
// about 0.6 KB (BenchmarkRoutes), and among 10,000 one is found about as fast as among 10
// (BenchmarkMatch in internal/router).
type Gateway struct {
	// DrainTimeout is how long Serve lets requests finish once its context has
	// ended. Set it before Serve; zero means 30 seconds.
	DrainTimeout time.Duration

	// ErrorLog is where Serve's server logs errors of connections, and where
	// middleware.Recover logs panics. Set it before Serve; nil is the standard logger.
	ErrorLog *log.Logger

	middleware []Middleware
	missed     http.Handler
	mu         sync.Mutex // held to change the table
	table      atomic.Pointer[table]
}

// New returns a Gateway without routes. The middlewares, outermost first, apply to
// every request, also to those that find no route.
func New(mw ...Middleware) *Gateway {
	g := &Gateway{middleware: slices.Clone(mw)}
	missed, err := wrap(http.HandlerFunc(serveMissed), mw)
	if err != nil {
		panic(fmt.Errorf("gateway: new: %w", err))
	}
	g.missed = missed
	g.table.Store(newTable())
	return g
}

// Handle adds a route. The pattern is one of [http.ServeMux]: "[METHOD ][HOST]/[PATH]".
// It panics if the pattern is invalid, or conflicts with one that is there, or if
// the handler or a middleware is nil: a route is a literal of the program.
func (g *Gateway) Handle(pattern string, h http.Handler, mw ...Middleware) {
	if err := g.add(Route{Pattern: pattern, Handler: h, Middleware: mw}); err != nil {
		panic(err)
	}
}

func (g *Gateway) add(route Route) error {
	h, err := route.wrap(g.middleware)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.Load().add(route, h)
}

// Group returns a view of g that puts prefix before the path of every pattern and
// mw, outermost first, around every handler. It panics if prefix is not a path.
func (g *Gateway) Group(prefix string, mw ...Middleware) *Group {
	return &Group{gateway: g, prefix: checkPrefix(prefix), middleware: slices.Clone(mw)}
}

// Routes returns the table in the order of registration, a Group's prefix and
// middlewares included: what SetRoutes would need to make the same table again.
func (g *Gateway) Routes() []Route {
	g.mu.Lock()
	defer g.mu.Unlock()
	routes := slices.Clone(g.table.Load().routes)
	for i := range routes {
		routes[i].Middleware = slices.Clone(routes[i].Middleware)
	}
	return routes
}

// SetRoutes replaces the whole table, including what Handle has added. All routes
// are validated first; the error joins every fault found, and then nothing has
// changed. Requests that are being served finish on the table they came in by.
func (g *Gateway) SetRoutes(routes ...Route) error {
	t := newTable()
	var faults []error
	for _, route := range routes {
		h, err := route.wrap(g.middleware)
		if err == nil {
			err = t.add(route, h)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.Store(t)
	return nil
}

// ServeHTTP finds the route for r and serves it. What finds none is answered with a
// [Problem]: 404, 405 with Allow, or 400 for a path that is ambiguous; or, as by
// [http.ServeMux], with 307 if there is one with a slash behind the path.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := exchange.Join(w, r)
	h, miss := g.table.Load().Match(r)
	if h == nil {
		r = r.WithContext(context.WithValue(r.Context(), missKey{}, miss))
		h = g.missed
	}
	h.ServeHTTP(x, r)
}

type missKey struct{}

// serveMissed answers a request without a route. It is a handler, so that the
// Gateway's middlewares see these requests as well.
func serveMissed(w http.ResponseWriter, r *http.Request) {
	miss, _ := r.Context().Value(missKey{}).(router.Miss)
	if miss.Allow != "" {
		w.Header().Set("Allow", miss.Allow)
	}
	if miss.Location != "" {
		w.Header().Set("Location", miss.Location)
		w.WriteHeader(miss.Status)
		return
	}
	Fail(w, r, &Problem{Status: miss.Status, Detail: miss.Detail})
}

// Serve listens on addr and serves until ctx ends; then it accepts nothing new,
// waits up to DrainTimeout for the requests under way, and returns nil if they
// all finished. Any other end is an error. Request headers are limited to 64 KiB
// and 10 seconds, idle connections to 2 minutes; bodies have no time limit, as a stream
// may last, so use middleware.Timeout on routes that do not stream. Serve is a convenience: a Gateway
// is a [http.Handler] for any server with settings of its own, TLS among them.
func (g *Gateway) Serve(ctx context.Context, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return g.ServeListener(ctx, l)
}

// ServeListener is Serve on a listener that is already open. It closes l.
func (g *Gateway) ServeListener(ctx context.Context, l net.Listener) error {
	err := server.Serve(ctx, l, server.Config{Handler: g, Drain: g.DrainTimeout, ErrorLog: g.ErrorLog})
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// Group is a part of a Gateway's routes with a common prefix and middlewares.
type Group struct {
	gateway    *Gateway
	prefix     string
	middleware []Middleware
}

// Handle adds a route below the group's prefix; otherwise it is [Gateway.Handle].
func (g *Group) Handle(pattern string, h http.Handler, mw ...Middleware) {
	r := g.Route(pattern, h, mw...)
	g.gateway.Handle(r.Pattern, r.Handler, r.Middleware...)
}

// Route returns what Handle would add, for [Gateway.SetRoutes].
func (g *Group) Route(pattern string, h http.Handler, mw ...Middleware) Route {
	return Route{Pattern: g.join(pattern), Handler: h, Middleware: slices.Concat(g.middleware, mw)}
}

// Group returns a group within g: prefixes and middlewares add up, g's outermost.
func (g *Group) Group(prefix string, mw ...Middleware) *Group {
	return &Group{
		gateway:    g.gateway,
		prefix:     g.prefix + checkPrefix(prefix),
		middleware: slices.Concat(g.middleware, mw),
	}
}

// join puts the prefix before the path of pattern, which may begin with a method and a host.
func (g *Group) join(pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		panic(fmt.Errorf("gateway: pattern %q has no path", pattern))
	}
	return pattern[:i] + g.prefix + pattern[i:]
}

func checkPrefix(prefix string) string {
	if !strings.HasPrefix(prefix, "/") {
		panic(fmt.Errorf("gateway: prefix %q does not begin with a slash", prefix))
	}
	return strings.TrimSuffix(prefix, "/")
}

// table is the routes, as values and as what matches them.
type table struct {
	*router.Table
	routes []Route
}

func newTable() *table { return &table{Table: router.New()} }

// add puts a route into the table that is served by h, or says what is wrong with it.
func (t *table) add(route Route, h http.Handler) error {
	if err := t.Add(route.Pattern, h); err != nil {
		return fmt.Errorf("gateway: route %q: %w", route.Pattern, err)
	}
	route.Middleware = slices.Clone(route.Middleware)
	t.routes = append(t.routes, route)
	return nil
}

// wrap returns the route's handler in its middlewares and the outer ones.
func (r Route) wrap(outer []Middleware) (h http.Handler, err error) {
	defer func() {
		if v := recover(); v != nil { // a middleware may refuse the handler it is given
			err = fmt.Errorf("%v", v)
		}
		if err != nil {
			err = fmt.Errorf("gateway: route %q: %w", r.Pattern, err)
		}
	}()
	h, err = wrap(r.Handler, r.Middleware)
	if err != nil {
		return nil, err
	}
	return wrap(h, outer)
}

func wrap(h http.Handler, mw []Middleware) (http.Handler, error) {
	if h == nil {
		return nil, errors.New("nil handler")
	}
	for i := len(mw) - 1; i >= 0; i-- {
		if mw[i] == nil {
			return nil, fmt.Errorf("middleware %d is nil", i)
		}
		if h = mw[i](h); h == nil {
			return nil, fmt.Errorf("middleware %d returned a nil handler", i)
		}
	}
	return h, nil
}

// Fault says whose fault a failure is, and in which phase of the exchange with an
// upstream it happened. The same word is the error.type of metrics and spans, the
// "fault" of the access log, what retries go by, and the end of a Problem's type.
type Fault string

// The faults. Those of the upstream are in the order of the phases of an attempt.
const (
	ClientRequest  Fault = "client_request"  // refused for what it asks, or for who asks
	ClientBody     Fault = "client_body"     // its body broke off, was too large or too slow
	ClientCanceled Fault = "client_canceled" // left before the answer was complete; counts against nobody

	GatewayInternal Fault = "gateway_internal" // a defect here: a panic, or an error nobody placed

	UpstreamUnavailable Fault = "upstream_unavailable" // no endpoint was ready: nothing was sent
	UpstreamDial        Fault = "upstream_dial"        // no connection: nothing was sent
	UpstreamWrite       Fault = "upstream_write"       // the connection broke while the request was sent
	UpstreamHeader      Fault = "upstream_header"      // no response, or not one of HTTP
	UpstreamStatus      Fault = "upstream_status"      // a whole response, with a status that says it failed
	UpstreamBody        Fault = "upstream_body"        // the response broke off, or is not what it should be
	UpstreamTimeout     Fault = "upstream_timeout"     // no response in time
)

// problemType comes before the fault in the type of a Problem.
const problemType = "urn:problem-type:gateway:"

// Problem is a failure and the answer to it: a problem document (RFC 9457) with
// media type application/problem+json. It is an error, so a policy returns it and
// [Fail] writes it. A Problem must not be changed once it is returned.
type Problem struct {
	Type     string // URI of the kind of problem; empty: from an upstream's Fault, or "about:blank"
	Title    string // summary, the same for every problem of the type; empty: the status text
	Detail   string // what happened this time, for the client to read: never an upstream's name; empty: left out
	Instance string // URI of this occurrence; empty: left out
	Status   int    // status of the response; zero: 500

	Fault      Fault         // zero: ClientRequest for a 4xx, GatewayInternal otherwise
	Err        error         // the cause, for logs: never sent; nil: none
	RetryAfter time.Duration // sent as Retry-After in whole seconds, rounded up; zero: not sent
}

// Error describes the problem for a log: the cause too, which clients do not see.
func (p *Problem) Error() string {
	s := strconv.Itoa(p.status()) + " " + p.title()
	for _, more := range []string{p.Detail, string(p.Fault)} {
		if more != "" {
			s += ": " + more
		}
	}
	if p.Err != nil {
		s += ": " + p.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

func (p *Problem) status() int {
	if p.Status < 400 || p.Status > 599 {
		return http.StatusInternalServerError
	}
	return p.Status
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	if p.status() == statusClientClosedRequest {
		return "Client Closed Request"
	}
	return http.StatusText(p.status())
}

func (p *Problem) fault() Fault {
	switch {
	case p.Fault != "":
		return p.Fault
	case p.status() < 500:
		return ClientRequest
	}
	return GatewayInternal
}

func (p *Problem) uri() string {
	switch {
	case p.Type != "":
		return p.Type
	case strings.HasPrefix(string(p.Fault), "upstream_"):
		return problemType + string(p.Fault)
	}
	return "about:blank"
}

// MarshalJSON returns the problem document (RFC 9457 section 3).
func (p *Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type     string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail,omitempty"`
		Instance string `json:"instance,omitempty"`
	}{p.uri(), p.title(), p.status(), p.Detail, p.Instance})
}

// statusClientClosedRequest is for the log: the client is no longer there to see it.
const statusClientClosedRequest = 499

// ProblemOf returns the Problem that err is or wraps, or makes one: 413 for
// [http.MaxBytesError], 499 for a cancelled and 504 for an expired context, 500
// for what it does not know. The Problem is complete: Status and Fault are set.
func ProblemOf(err error) *Problem {
	var p *Problem
	var tooLarge *http.MaxBytesError
	var body *forward.BodyError
	var cut *forward.CopyError
	switch {
	case errors.As(err, &p):
		complete := *p
		p = &complete
	case errors.As(err, &tooLarge):
		p = &Problem{Status: http.StatusRequestEntityTooLarge, Fault: ClientBody, Err: err}
	case errors.As(err, &body):
		p = &Problem{Status: http.StatusBadRequest, Fault: ClientBody, Err: err}
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			p.Status = http.StatusRequestTimeout
		}
	case errors.Is(err, context.Canceled), errors.As(err, &cut) && !cut.Upstream: // nobody takes the answer
		p = &Problem{Status: statusClientClosedRequest, Fault: ClientCanceled, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		p = &Problem{Status: http.StatusGatewayTimeout, Fault: UpstreamTimeout, Err: err}
	default:
		p = &Problem{Err: err}
	}
	p.Status, p.Fault = p.status(), p.fault()
	return p
}

// Fail answers r with err as a problem document, by [ProblemOf]; the one place
// where errors become responses. The access log and the metrics see err as well.
// If the header is already out, the response cannot be taken back: Fail then
// panics with [http.ErrAbortHandler], so that it does not look complete. It knows that
// where a Gateway, or any middleware of ours, serves r.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	s := exchange.From(r.Context())
	if s != nil {
		s.Err = p
	}
	if x := exchange.Of(w); x != nil && x.Status() != 0 {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control", "Trailer"} {
		h.Del(name) // of the response that did not come about
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if s != nil && p.Status == http.StatusUnauthorized && len(s.Challenge) > 0 && h["Www-Authenticate"] == nil {
		h["Www-Authenticate"] = slices.Clone(s.Challenge) // which a 401 must have (RFC 9110 section 15.5.2)
	}
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	// A client that does not read its error is not worth another.
	_ = json.NewEncoder(w).Encode(p)
}
