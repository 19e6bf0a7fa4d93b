package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawpath"
)

// ForwardAuth asks another service whether a request may pass, as the forward
// authentication of several proxies does.
//
// The service gets a GET without content, with the fields of Credentials and Send and with
// X-Forwarded-Method, -Uri, -Host, -Proto and -For, which say what the gateway has seen and
// not what the client claims. If it answers with 2xx, the request passes, with the fields of
// Copy as the service has sent them. A 401, a 403 or a redirect (301, 302, 303, 307, 308) is
// the client's answer: the status, WWW-Authenticate, Location, Set-Cookie, Content-Type and
// the content, which must not be longer than 64 KiB. With anything else, and with none in
// time, the client gets a 502, 503 or 504 that does not name the service.
//
// It judges every request it is asked about, also those without credentials: give it to
// [Require] last. The fields of Copy, Subject and Roles, in every spelling, are removed from
// what the client has sent, whoever lets it in: so a backend may believe them. The
// Principal's Claims are the fields of Copy, but for Authorization and Cookie, and an array
// if one is there several times. Their names are the canonical ones ("X-Auth-Plan"), which is
// how rules have to write them: auth.Claim("X-Auth-Plan", "gold").
//
// Nothing is remembered: each request is a request to the service.
type ForwardAuth struct {
	// URL is where the service answers. http is accepted; use it on trusted networks only.
	// Required.
	URL string

	// Transport asks the service, a balancer.Pool for instance. Nil: one of its own,
	// without proxies.
	Transport http.RoundTripper

	// Timeout is for the whole answer. Zero: 5 seconds.
	Timeout time.Duration

	// Credentials are the fields of the request that hold credentials: the service gets
	// them, and they are removed from the request. Nil: Authorization and Cookie.
	Credentials []string

	// Send are other fields that the service gets, such as Accept-Language, and that stay
	// on the request. Nil: none.
	Send []string

	// Copy are the fields of the service's answer that go on with the request, in place of
	// the client's. Nil: none.
	Copy []string

	// Subject is the field of the answer that holds the Principal's Subject: it must be
	// there once, and not be empty. Empty: the Principal has none.
	Subject string

	// Roles is the field of the answer that holds the Principal's Roles, with commas
	// between. Empty: it has none.
	Roles string

	// Forward leaves the fields of Credentials on the request, for backends that read them
	// as well. False: they are removed.
	Forward bool
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
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
	credentials := f.Credentials
	if credentials == nil {
		credentials = []string{authorization, cookieField}
	}
	secret, secretErr := canonical("Credentials", credentials...)
	send, sendErr := canonical("Send", f.Send...)
	copied, copyErr := canonical("Copy", f.Copy...)
	subject, subjectErr := canonical("Subject", some(f.Subject)...)
	roles, rolesErr := canonical("Roles", some(f.Roles)...)
	faults := []error{err, secretErr, sendErr, copyErr, subjectErr, rolesErr}
	if slices.ContainsFunc(copied, isForwarding) {
		faults = append(faults, errors.New("a name of Copy is one that gateway.Proxy writes itself"))
	}
	if slices.ContainsFunc(send, func(name string) bool { return slices.Contains(secret, name) }) {
		faults = append(faults, errors.New("a name is in both Credentials and Send"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: forward: %w", err)
	}
	a.send, a.copied, a.subject, a.roles = slices.Concat(secret, send), copied, subject, roles
	a.removed = slices.Concat(copied, subject, roles)
	if !f.Forward {
		a.removed = append(a.removed, secret...)
	}
	return a, nil
}

// some returns a list of s, unless that is empty.
func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// canonical returns names as http.Header has them, if they are of fields that one
// message may have from another.
func canonical(is string, names ...string) ([]string, error) {
	names = slices.Clone(names)
	for i, name := range names {
		names[i] = http.CanonicalHeaderKey(name)
		if err := checkField(name); err != nil {
			return nil, fmt.Errorf("%s: %w", is, err)
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
	roles   []string // one, or none
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
	q.Header["X-Forwarded-Uri"] = []string{rawpath.Target(r.URL)}
	q.Header["X-Forwarded-Host"] = []string{seenHost(r)}
	q.Header["X-Forwarded-Proto"] = []string{seenScheme(r)}
	if ip, ok := exchange.ClientIP(r); ok {
		q.Header["X-Forwarded-For"] = []string{ip.String()}
	}
	return q, nil
}

// principal returns who the service has let in with an answer of that header.
func (a *asker) principal(h http.Header) (*Principal, error) {
	p, header := &Principal{kind: otherCredential}, make(http.Header, len(a.copied))
	if len(a.copied) > 0 {
		p.Claims, p.header = make(claims, len(a.copied)), hide(header)
	}
	for _, name := range slices.Concat(a.copied, a.subject, a.roles) {
		if slices.ContainsFunc(h[name], func(v string) bool { return !field.IsValue(v) }) {
			return nil, unasked(garbled(fmt.Errorf("the service sends a %s that is not valid", name)))
		}
	}
	for _, name := range a.copied {
		values := slices.Clone(h[name])
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
	for _, name := range a.roles {
		p.Roles = members(h[name])
	}
	return p, nil
}

// members returns those of a field that is a list (RFC 9110 section 5.6.1).
func members(lines []string) (all []string) {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if member = textproto.TrimString(member); member != "" {
				all = append(all, member)
			}
		}
	}
	return all
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
