package auth

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// defaultChallenge is for authenticators that do not say what they want: a 401
// without any challenge is not allowed (RFC 9110 section 15.5.2).
const defaultChallenge = bearerChallenge

// Require returns a middleware that lets nobody in whom none of the authenticators
// knows. They are asked in order, and the first that recognises credentials of its
// kind decides: wrong ones are refused, never tried on the next. Of several that take
// bearer tokens each but the last is asked only for those that look like its own: a
// [JWT] for those whose iss is its Issuer, or for all in the form of a JWT if it has
// none; the last is asked for what is left.
//
// A request without credentials is answered with 401 and every authenticator's
// challenge, one with wrong credentials with 401 and the challenge of the one that
// refused, and an authenticator's failure as [gateway.Fail] does.
//
// The principal is then found by [From]. The credentials that the package's own
// authenticators read are removed from the request, in place, and header fields in every
// spelling that a backend could take for the same ("_" for "-"), whoever of them decided,
// also where they are announced as trailers;
// Forward keeps one, unless another of the authenticators reads the same field and does not
// Forward it. (Your own Authenticator's are its own care.) A second Require further in does
// not find them either. Nobody is let in by a Principal that has expired.
//
// Require panics if there is no authenticator, or one is nil or misconfigured, with
// all faults in one error. It compiles each literal once, and what it has compiled remembers
// what it has found out. To call Authenticate on a literal compiles it each time, and
// remembers nothing: right, but slow.
func Require(a ...Authenticator) gateway.Middleware {
	g, err := newGuard(a)
	if err != nil {
		panic(fmt.Errorf("auth: require: %w", err))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, next) })
	}
}

// Anonymous lets everybody in, as nobody: [From] finds no principal. As the last of a
// [Require] it makes credentials optional; those that are there must be right all the same.
var Anonymous Authenticator = anonymous{}

var nobody = &Principal{kind: nothing}

// guard is what Require has computed of its arguments.
type guard struct {
	checks     []check
	challenges []string  // of all checks, each once
	fields     []string  // of all checks
	lengths    uint64    // of those, a bit for each: what most fields can be told by
	cleaners   []cleaner // those of the checks that are one
}

type check struct {
	Authenticator
	challenge string
	bearers   bearerReader // nil: it reads no bearer tokens, or it is the last that does
	verifies  bool         // it has verified the request's own bearer token, and that this has not expired
}

// builder is an Authenticator that is a literal, and what has been computed of it.
type builder interface {
	build() (Authenticator, error)
}

// reader is an Authenticator that knows which header field it reads and nobody
// after it should; empty: none.
type reader interface {
	field() string
}

// cleaner is an Authenticator that reads credentials elsewhere than in a header field of
// their own. clean removes them, in place.
type cleaner interface {
	clean(r *http.Request)
}

// bearerReader is an Authenticator of bearer tokens. recognises reports whether one looks
// as if it were for this one to judge; it verifies nothing.
type bearerReader interface {
	recognises(token string) bool
}

func newGuard(authenticators []Authenticator) (*guard, error) {
	if len(authenticators) == 0 {
		return nil, errors.New("no authenticator")
	}
	g := &guard{}
	var faults []error
	for i, a := range authenticators {
		if err := g.add(a); err != nil {
			faults = append(faults, fmt.Errorf("authenticator %d: %w", i, err))
		}
	}
	for i := len(g.checks) - 1; i >= 0; i-- {
		if g.checks[i].bearers != nil {
			g.checks[i].bearers = nil
			break
		}
	}
	return g, errors.Join(faults...)
}

func (g *guard) add(a Authenticator) error {
	built, err := compile(a)
	if err != nil {
		return err
	}
	c := check{Authenticator: built, challenge: defaultChallenge}
	if v, ok := a.(Challenger); ok && v.Challenge() != "" {
		c.challenge = v.Challenge()
	}
	if v, ok := c.Authenticator.(reader); ok && v.field() != "" {
		g.fields = append(g.fields, v.field())
		g.lengths |= 1 << (len(v.field()) % 64)
	}
	if v, ok := c.Authenticator.(cleaner); ok {
		g.cleaners = append(g.cleaners, v)
	}
	c.bearers, _ = c.Authenticator.(bearerReader)
	c.verifies = verifiesBearer(c.Authenticator)
	if _, asksNothing := a.(anonymous); !asksNothing && !slices.Contains(g.challenges, c.challenge) {
		g.challenges = append(g.challenges, c.challenge)
	}
	g.checks = append(g.checks, c)
	return nil
}

// compile returns what answers requests in a's place.
func compile(a Authenticator) (Authenticator, error) {
	if isNil(a) {
		return nil, errors.New("nil")
	}
	if b, ok := a.(builder); ok && isOwn(a) {
		return b.build()
	}
	return a, nil
}

// isNil also finds the nil function and the nil pointer inside the interface,
// which would otherwise panic on the first request.
func isNil(a Authenticator) bool {
	switch v := reflect.ValueOf(a); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Func, reflect.Pointer, reflect.Map:
		return v.IsNil()
	default:
		return false
	}
}

func (g *guard) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	x, r := exchange.Join(w, complete(r))
	x.Challenge = g.challenges
	p, token, challenges, err := g.authenticate(r)
	if err != nil {
		answer(x, r, challenges, err)
		return
	}
	x.Principal, x.Token = nil, token
	if x.Session != nil && x.Session.Principal == exchange.Principal(p.first()) {
		x.Token = x.Session.Token
	}
	g.clean(r, p)
	if p.kind != nothing {
		x.Principal = p
	}
	next.ServeHTTP(x, r)
}

// answer refuses r: with a problem, or with what an external service has said.
func answer(x *exchange.Exchange, r *http.Request, challenges []string, err error) {
	if refused := (*refusal)(nil); errors.As(err, &refused) && refused.answer != nil {
		x.Err = gateway.ProblemOf(err)
		refused.answer(x)
		return
	}
	if len(challenges) > 0 {
		x.Header()["Www-Authenticate"] = slices.Clone(challenges)
	}
	gateway.Fail(x, r, err)
}

// authenticate returns who r speaks for and the bearer token that has proved it, or why
// that is nobody and what to demand.
func (g *guard) authenticate(r *http.Request) (*Principal, Secret, []string, error) {
	for i := range g.checks {
		c := &g.checks[i]
		if c.passesOn(r) {
			continue
		}
		p, err := c.Authenticate(r)
		if err == nil && p != nil && (!c.verifies || p.source != nil) && p.expired() {
			err = c.expired()
		}
		if err != nil {
			return nil, "", c.demand(err), err
		}
		if p != nil {
			return p, c.token(r, p), nil, nil
		}
	}
	return nil, "", g.challenges, &gateway.Problem{
		Status: http.StatusUnauthorized,
		Detail: "This resource needs credentials.",
	}
}

// passesOn reports whether r has a bearer token that a later check is to judge.
func (c *check) passesOn(r *http.Request) bool {
	if c.bearers == nil {
		return false
	}
	token, found, err := bearer(r)
	return err == nil && found && !c.bearers.recognises(token)
}

// expired reports whether p's credential is no longer good.
func (p *Principal) expired() bool {
	return p != nil && !p.Expires.IsZero() && !time.Now().Before(p.Expires)
}

func (c *check) expired() error {
	return refuse(http.StatusUnauthorized, "The credentials are not valid.", c.challenge, errors.New("auth: they are expired"))
}

func (c *check) demand(err error) []string {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		if refused.challenge == "" {
			return nil
		}
		return []string{refused.challenge}
	case gateway.ProblemOf(err).Status == http.StatusUnauthorized:
		return []string{c.challenge}
	}
	return nil
}

// clean removes the credentials, and gives the request what goes on in their place. The
// principal names its own field as well, as the authenticator that found it may be
// wrapped in a function of the user's.
func (g *guard) clean(r *http.Request, p *Principal) {
	for name := range r.Header {
		if g.reads(name) {
			delete(r.Header, name)
		}
	}
	for name := range r.Trailer { // without a name here its value is not passed on when it comes
		if g.reads(name) {
			delete(r.Trailer, name)
		}
	}
	if p.field != "" && !slices.Contains(g.fields, p.field) {
		removeSent(r, p.field)
	}
	for _, c := range g.cleaners {
		c.clean(r)
	}
	for name, values := range p.header.shown() {
		removeSent(r, name)
		if len(values) > 0 {
			r.Header[name] = values[:len(values):len(values)]
		}
	}
}

func (g *guard) reads(name string) bool {
	if g.lengths>>(len(name)%64)&1 == 0 {
		return false
	}
	for _, f := range g.fields {
		if sameField(name, f) {
			return true
		}
	}
	return false
}

// removeField removes what a backend could take for the field of that name.
func removeField(h http.Header, name string) {
	for other := range h {
		if sameField(other, name) {
			delete(h, other)
		}
	}
}

// sameField reports whether a backend could take the names of two header fields for
// the same: many fold case and "-" and "_" into one, as CGI does (RFC 3875 section
// 4.1.18), and some whatever is no letter or digit. It is asked of every field of a
// request, so it is quick to deny.
func sameField(a, b string) bool { return len(a) == len(b) && sameFolded(a, b) }

// sameFolded is for names of the same length.
func sameFolded(a, b string) bool {
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// refusal is the Err of a Problem: the cause, and the challenge that goes with it.
type refusal struct {
	challenge string // empty: none
	err       error
	answer    func(http.ResponseWriter) // what is answered in place of the problem; nil: nothing is
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse returns the Problem for credentials that do not hold. The detail is for
// the client, who learns from it nothing that helps in guessing.
func refuse(status int, detail, challenge string, cause error) error {
	return &gateway.Problem{Status: status, Detail: detail, Err: &refusal{challenge: challenge, err: cause}}
}
