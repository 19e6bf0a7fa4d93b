package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/forward"
	"github.com/gatewright/gateway/internal/local"
	"github.com/gatewright/gateway/internal/rawpath"
)

// Route is one line of a Gateway's table. See [Gateway.Routes] and [Gateway.SetRoutes].
type Route struct {
	Pattern    string       // as of http.ServeMux: "[METHOD ][HOST]/[PATH]"
	Handler    http.Handler // required
	Middleware []Middleware // outermost first, inside the Gateway's own; nil: none
}

// Proxy returns a handler that forwards requests by to and answers with what comes
// back, each as a stream. The edits are applied in order to the outgoing request.
//
// The path and the query are forwarded byte for byte; the outgoing URL has no
// host, which a balancer.Pool gives it. The fields of the client's connection
// (RFC 9110 section 7.6.1) are removed, and so are Forwarded (RFC 7239), X-Forwarded-*
// and X-Real-Ip: Forwarded and X-Forwarded-For, -Host and -Proto are written anew, from
// what the gateway itself has seen. From a proxy that middleware.TrustProxies trusts
// they are kept and extended. Trailers, interim responses and WebSocket pass.
//
// The client's Host goes into X-Forwarded-Host; the backend is asked by its own name,
// unless an edit sets the request's Host. Edits see the request's context, and so the
// principal, and run last.
//
// An error of to is answered by [Fail]: 502, 504 if it was a timeout, or what a
// [Problem] in it says. If the upstream breaks off after the header, the response
// is aborted with [http.ErrAbortHandler].
//
// Proxy panics if to is nil or says that it is misconfigured: one with a method Check() error,
// as the transports of package auth have it, is asked once. Pools and package compose ask the
// same of what they are given.
func Proxy(to http.RoundTripper, edits ...func(*http.Request)) http.Handler {
	if to == nil {
		panic(errors.New("gateway: proxy: nil RoundTripper"))
	}
	if c, ok := to.(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			panic(fmt.Errorf("gateway: proxy: %w", err))
		}
	}
	return &forward.Forwarder{Transport: to, Edits: slices.Clone(edits), Fail: failUpstream}
}

// failUpstream answers for an error that came back from a RoundTripper or its body.
func failUpstream(w http.ResponseWriter, r *http.Request, err error) {
	Fail(w, r, UpstreamProblem(err))
}

// UpstreamProblem is [ProblemOf] for an error that a RoundTripper has returned. What
// ProblemOf cannot place is then the upstream's: 504 for a timeout, otherwise 502.
func UpstreamProblem(err error) *Problem {
	var placed *Problem
	var op *net.OpError
	var timeout net.Error
	var cut *forward.CopyError
	p := ProblemOf(err)
	switch {
	case p.Fault != GatewayInternal || errors.As(err, &placed):
		return p
	case errors.As(err, &op) && op.Op == "dial":
		return &Problem{Status: http.StatusBadGateway, Fault: UpstreamDial, Err: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Problem{Status: http.StatusGatewayTimeout, Fault: UpstreamTimeout, Err: err}
	case errors.As(err, &cut):
		return &Problem{Status: http.StatusBadGateway, Fault: UpstreamBody, Err: err}
	}
	return &Problem{Status: http.StatusBadGateway, Fault: UpstreamHeader, Err: err}
}

// StripPrefix returns an edit for [Proxy] that removes prefix from the front of
// the path, however the client encoded it, and leaves the rest byte for byte as
// it is. A path that does not lie below prefix is not changed. It panics if prefix
// is not a path with at least one segment.
func StripPrefix(prefix string) func(*http.Request) {
	if checkPrefix(prefix) == "" {
		panic(fmt.Errorf("gateway: prefix %q has no segment to strip", prefix))
	}
	return func(r *http.Request) { rawpath.Strip(r.URL, prefix) }
}

// AllowUpgrade returns an edit for [Proxy] that lets clients change to the protocols
// (RFC 9110 section 7.8), beside WebSocket, which always may pass. What is spoken then
// passes every check, so "h2c" is not allowed (golang/go#80416): AllowUpgrade panics on
// it, and on what is no token.
func AllowUpgrade(protocols ...string) func(*http.Request) {
	for _, p := range protocols {
		name, _, _ := strings.Cut(p, "/")
		if !field.IsToken(name) || strings.EqualFold(name, "h2c") {
			panic(fmt.Errorf("gateway: allow upgrade: %q cannot be", p))
		}
	}
	protocols = slices.Clone(protocols)
	return func(r *http.Request) {
		s := exchange.From(r.Context())
		if s != nil && slices.ContainsFunc(protocols, func(p string) bool { return strings.EqualFold(p, s.Upgrade) }) {
			forward.Upgrade(r.Header, s.Upgrade)
		}
	}
}

// Local returns a RoundTripper that serves requests by h in this process: a
// modular monolith today, a network service tomorrow, and a backend for a test
// that needs no socket. It is the inverse of [Proxy].
//
// h runs on a goroutine of its own and sees the request as if it had come from the
// network, but with the context's values, among them the caller's identity. The
// response is a stream. If h panics, the round trip or its body fails; the process
// goes on. Closing the response's body cancels the request's context.
func Local(h http.Handler) http.RoundTripper {
	if h == nil {
		panic(errors.New("gateway: local: nil handler"))
	}
	return &local.Transport{Handler: h}
}

// Predicate is a question about a request; routing and authorisation ask them. It
// must not change the request, and may be called concurrently.
type Predicate = func(*http.Request) bool

// Case is one way through [Choose]. Make it with [When] or [Otherwise].
type Case struct {
	when Predicate
	then http.Handler
}

// When returns the case that h serves the requests of which p holds.
func When(p Predicate, h http.Handler) Case { return Case{p, h} }

// Otherwise returns the case that h serves what no case before it did.
func Otherwise(h http.Handler) Case {
	return Case{func(*http.Request) bool { return true }, h}
}

// Choose returns a handler that serves a request by the first case that holds, for
// what a pattern cannot say. If none holds it answers 404. It panics if a case has
// no predicate or no handler.
func Choose(cases ...Case) http.Handler {
	for i, c := range cases {
		if c.when == nil || c.then == nil {
			panic(fmt.Errorf("gateway: choose: case %d has no predicate or no handler", i))
		}
	}
	cases = slices.Clone(cases)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range cases {
			if c.when(r) {
				c.then.ServeHTTP(w, r)
				return
			}
		}
		Fail(w, r, &Problem{Status: http.StatusNotFound})
	})
}

// And holds if all of ps do, and so if there are none.
func And(ps ...Predicate) Predicate {
	return func(r *http.Request) bool {
		return !slices.ContainsFunc(ps, func(p Predicate) bool { return !p(r) })
	}
}

// Or holds if one of ps does.
func Or(ps ...Predicate) Predicate {
	return func(r *http.Request) bool {
		return slices.ContainsFunc(ps, func(p Predicate) bool { return p(r) })
	}
}

// Not holds if p does not.
func Not(p Predicate) Predicate { return func(r *http.Request) bool { return !p(r) } }

// Method holds if the request's method is one of the names, which are upper case.
func Method(names ...string) Predicate {
	names = slices.Clone(names)
	return func(r *http.Request) bool { return slices.Contains(names, r.Method) }
}

// Path holds if the request's path is the pattern's, in the form that [http.ServeMux] has
// for paths: "/admin/{id}" is that one, "/admin/" what is below. It is compared decoded and
// with regard to case; and holds as well of a path that a lenient backend could take for
// one of the pattern, with "%2F" or ";" in it: a rule that denies by it is not got round.
// One that permits is best a route of its own; auth.If sees to it that such a path is
// permitted only if all readings are. It panics if the pattern is not a path.
func Path(pattern string) Predicate {
	p, err := rawpath.ParsePattern(pattern)
	if err != nil {
		panic(fmt.Errorf("gateway: path: %w", err))
	}
	return func(r *http.Request) bool { return p.Matches(rawpath.Strict(r.URL)) }
}

// Between holds from one time of day on, and until before the other, both as "15:04" on
// the clock of a place; until the next morning if the second is not after the first. With
// days, it holds on those that the time began on. It panics if a time or the place is none.
func Between(from, until string, place *time.Location, days ...time.Weekday) Predicate {
	start, err := time.Parse("15:04", from)
	end, err2 := time.Parse("15:04", until)
	if err := errors.Join(err, err2); err != nil || place == nil {
		panic(fmt.Errorf("gateway: between: no place, or %w", err))
	}
	days = slices.Clone(days)
	on := func(d time.Weekday) bool { return len(days) == 0 || slices.Contains(days, d) }
	minute := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	first, last := minute(start), minute(end)
	return func(*http.Request) bool {
		now := time.Now().In(place)
		m, today := minute(now), now.Weekday()
		if first < last {
			return first <= m && m < last && on(today)
		}
		return first <= m && on(today) || m < last && on((today+6)%7)
	}
}

// Header holds if a field line of that name has exactly that value.
func Header(name, value string) Predicate {
	name = http.CanonicalHeaderKey(name)
	return func(r *http.Request) bool { return slices.Contains(r.Header[name], value) }
}

// Query holds if a query parameter of that name has exactly that value, decoded.
func Query(name, value string) Predicate {
	return func(r *http.Request) bool { return slices.Contains(r.URL.Query()[name], value) }
}

// Cookie holds if a cookie of that name has exactly that value.
func Cookie(name, value string) Predicate {
	return func(r *http.Request) bool {
		return slices.ContainsFunc(r.CookiesNamed(name), func(c *http.Cookie) bool { return c.Value == value })
	}
}

// Host holds if the request is for that host, whatever the port and the case, and with a
// dot at the end as well as without.
func Host(name string) Predicate {
	return func(r *http.Request) bool {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		return strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(name, "."))
	}
}

// ClientIP holds if the client's address lies in one of the prefixes. The address is
// that of the connection's other end, or what proxies say that middleware.TrustProxies
// trusts. An address that cannot be read lies nowhere.
func ClientIP(prefixes ...netip.Prefix) Predicate {
	return func(r *http.Request) bool {
		ip, ok := exchange.ClientIP(r)
		return ok && slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
}
