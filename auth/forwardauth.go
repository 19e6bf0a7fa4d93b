package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// ForwardAuth asks another service whether a request may pass, as the forward
// authentication of several proxies does.
//
// The service gets a GET without content, with the fields of Send and X-Forwarded-Method,
// -Uri, -Host, -Proto and -For, which say what the gateway has seen and not what the
// client claims. If it answers with 2xx, the request passes, with the fields of Copy as
// the service has sent them. A 401, a 403 or a redirect (301, 302, 303, 307, 308) is the
// client's answer: the status, WWW-Authenticate, Location, Set-Cookie, Content-Type and
// the content, which must not be longer than 64 KiB. With anything else, and with none in
// time, the client gets a 502, 503 or 504 that does not name the service.
//
// It judges every request it is asked about, also those without credentials: give it to
// [Require] last. The fields of Copy, in every spelling, are removed from what the client
// has sent, whoever lets it in: so a backend may believe them. The Principal's Claims are
// those fields, but for Authorization and Cookie, by their canonical names, and an array if
// one is there several times.
//
// Nothing is remembered: each request is a request to the service. Require compiles the
// literal once. To call Authenticate on the literal compiles it each time: right, but slow.
type ForwardAuth struct {
	URL       string            // where the service answers, by http or https; required
	Transport http.RoundTripper // what asks the service, a balancer.Pool for instance; nil: a transport of its own, without proxies
	Timeout   time.Duration     // for the whole answer; zero: 5 seconds
	Send      []string          // the fields of the request that the service gets; nil: Authorization and Cookie
	Copy      []string          // the fields of the service's answer that go on with the request, in place of the client's; nil: none
	Subject   string            // the field of the answer, once and not empty, that holds the Principal's Subject; empty: it has none
	Forward   bool              // leave Authorization and Cookie on the request though they are sent to the service; false: they are removed
}

// Authenticate is part of [Authenticator]. See [ForwardAuth] for what it costs.
func (f ForwardAuth) Authenticate(r *http.Request) (*Principal, error) {
	a, err := f.compile()
	if err != nil {
		return nil, err
	}
	if t, ok := a.transport.(*http.Transport); ok && f.Transport == nil {
		defer t.CloseIdleConnections() // nobody else has it
	}
	return a.Authenticate(r)
}

func (f ForwardAuth) build() (Authenticator, error) { return f.compile() }

func (f ForwardAuth) compile() (*asker, error) {
	s, err := newService(f.URL, f.Transport, f.Timeout)
	a := &asker{service: s}
	send := f.Send
	if send == nil {
		send = []string{authorization, cookieField}
	}
	var subject []string
	if f.Subject != "" {
		subject = []string{f.Subject}
	}
	faults := []error{err}
	for _, names := range []struct {
		is    string
		given []string
		kept  *[]string
	}{{"Send", send, &a.send}, {"Copy", f.Copy, &a.copied}, {"Subject", subject, &a.subject}} {
		*names.kept, err = canonical(names.is, names.given)
		faults = append(faults, err)
	}
	if slices.ContainsFunc(a.copied, isForwarding) {
		faults = append(faults, errors.New("a name of Copy is one that gateway.Proxy writes itself"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: forward: %w", err)
	}
	a.removed = slices.Clone(a.copied)
	for _, name := range []string{authorization, cookieField} {
		if !f.Forward && slices.Contains(a.send, name) {
			a.removed = append(a.removed, name)
		}
	}
	return a, nil
}

// canonical returns names as http.Header has them, if they are of fields that one
// message may have from another.
func canonical(is string, names []string) ([]string, error) {
	names = slices.Clone(names)
	for i, name := range names {
		names[i] = http.CanonicalHeaderKey(name)
		if !field.IsToken(name) || field.OfConnection(names[i]) || names[i] == "Host" || names[i] == "Content-Length" {
			return nil, fmt.Errorf("a name of %s is not that of a field that can be passed on: %q", is, name)
		}
	}
	return names, nil
}

// isForwarding reports whether the field says where a request came from. Those are
// replaced on the way to a backend, whoever has set them.
func isForwarding(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "Client-Cert", "Client-Cert-Chain":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// asker is a compiled ForwardAuth.
type asker struct {
	service
	send    []string
	copied  []string
	subject []string // one, or none
	removed []string // what of the client's own does not go on
}

// clean removes also what it would have set, as a request that somebody else lets in
// must not bring it along.
func (a *asker) clean(r *http.Request) {
	for _, name := range a.removed {
		removeSent(r, name)
	}
}

// Authenticate is part of [Authenticator].
func (a *asker) Authenticate(r *http.Request) (*Principal, error) {
	// Not the state of r: what the service sends as an interim response is not for the client.
	ctx, cancel := context.WithTimeout(exchange.Fork(r.Context()), a.timeout)
	defer cancel()
	question, err := a.question(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("auth: forward: %w", err)
	}
	response, err := a.ask(question)
	if err != nil {
		return nil, unasked(err)
	}
	if status := response.StatusCode; 200 <= status && status < 300 {
		drain(response)
		return a.principal(response.Header)
	}
	if !isRefusal(response.StatusCode) {
		drain(response)
		return nil, unasked(&gateway.Problem{
			Status: http.StatusBadGateway, Fault: gateway.UpstreamStatus,
			Err: fmt.Errorf("the service answers with %d", response.StatusCode),
		})
	}
	body, err := read(ctx, response, maxReply)
	if err != nil {
		return nil, unasked(err)
	}
	return nil, refusedWith(response, body, r.Method)
}

func (a *asker) question(ctx context.Context, r *http.Request) (*http.Request, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range a.send {
		if values := r.Header[name]; len(values) > 0 {
			q.Header[name] = slices.Clone(values)
		}
	}
	for name := range q.Header {
		if isForwarding(name) {
			delete(q.Header, name) // the client's own
		}
	}
	q.Header["X-Forwarded-Method"] = []string{r.Method}
	q.Header["X-Forwarded-Uri"] = []string{target(r.URL)}
	q.Header["X-Forwarded-Host"] = []string{asSeen(r, "X-Forwarded-Host", r.Host)}
	q.Header["X-Forwarded-Proto"] = []string{asSeen(r, "X-Forwarded-Proto", scheme(r))}
	if ip, ok := exchange.ClientIP(r); ok {
		q.Header["X-Forwarded-For"] = []string{ip.String()}
	}
	return q, nil
}

// asSeen returns what a trusted proxy says of how the client has reached it, and
// otherwise what is seen here.
func asSeen(r *http.Request, name, here string) string {
	s := exchange.From(r.Context())
	if said := r.Header[name]; s != nil && s.Trusted && len(said) == 1 && field.IsValue(said[0]) {
		return said[0]
	}
	return here
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// target returns the path and the query as the client has written them, and as a backend
// gets them.
func target(u *url.URL) string {
	path := u.EscapedPath()
	if raw, err := url.PathUnescape(u.RawPath); err == nil && raw == u.Path && u.RawPath != "" && field.IsValue(u.RawPath) {
		path = u.RawPath // EscapedPath would escape once more what is not quite by the book
	}
	if u.ForceQuery || u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}

// principal returns who the service has let in with an answer of that header.
func (a *asker) principal(h http.Header) (*Principal, error) {
	p, header := &Principal{kind: otherCredential}, make(http.Header, len(a.copied))
	if len(a.copied) > 0 {
		p.Claims, p.header = make(claims, len(a.copied)), hide(header)
	}
	for _, name := range a.copied {
		values := slices.Clone(h[name])
		if slices.ContainsFunc(values, func(v string) bool { return !field.IsValue(v) }) {
			return nil, unasked(garbled(fmt.Errorf("the service sends a %s that is not valid", name)))
		}
		header[name] = values // that of the client is removed though the service has none
		switch {
		case len(values) == 0, name == authorization, name == cookieField: // claims are no place for secrets
		case len(values) == 1:
			p.Claims[name] = values[0]
		default:
			p.Claims[name] = list(values)
		}
	}
	for _, name := range a.subject {
		values := h[name]
		if len(values) != 1 || values[0] == "" {
			return nil, unasked(garbled(fmt.Errorf("the service does not say who it is: %d times %s, or an empty one", len(values), name)))
		}
		p.Subject = values[0]
	}
	return p, nil
}

func list(values []string) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}

// unasked is the answer to a request that the service has not judged.
func unasked(err error) error {
	p := *gateway.ProblemOf(err)
	p.Detail = ""
	p.Err = fmt.Errorf("auth: forward: %w", p.Err)
	return &p
}
