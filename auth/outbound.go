package auth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

var errNoBase = errors.New("no Base")

// compiled is what a literal is made into when it is first used. It is kept in a function,
// into which package fmt does not look: behind a pointer it would, for %s of the literal.
type compiled[T any] struct {
	once sync.Once
	made func() (T, error)
}

// get returns what build has returned, called once.
func (c *compiled[T]) get(build func() (T, error)) (T, error) {
	c.once.Do(func() {
		v, err := build()
		c.made = func() (T, error) { return v, err }
	})
	return c.made()
}

// refused closes r's body, as a transport has to that does not send it. An error that is
// nobody else's is the gateway's own, and not the upstream's, which was never asked.
func refused(r *http.Request, err error) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, gateway.ProblemOf(err)
}

// checkBase returns what is wrong with a transport that another is wrapped around.
func checkBase(base http.RoundTripper) error {
	if base == nil {
		return errNoBase
	}
	return checkTransport(base)
}

// checkTransport asks what [gateway.Proxy] asks as well.
func checkTransport(transport http.RoundTripper) error {
	if c, ok := transport.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}

// caller returns who r speaks for and the bearer token that they came by, nil and empty
// if there is none.
func caller(r *http.Request) (*Principal, Secret) {
	s := exchange.From(r.Context())
	if s == nil {
		return nil, ""
	}
	p, _ := s.Principal.(*Principal)
	if p == nil {
		return nil, ""
	}
	return p, s.Token
}

// unauthorized is for a request without what a backend's credentials are made of.
func unauthorized(cause string) error {
	return &gateway.Problem{
		Status: http.StatusUnauthorized, Detail: "This resource needs credentials.", Err: errors.New("auth: " + cause),
	}
}

// without returns a copy of r to be changed on its way out, without the fields of these
// names that r has, in every spelling that a backend could take for the same, in the
// header or behind the body. The values are r's, and must not be changed.
func without(r *http.Request, names ...string) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = make(http.Header, len(r.Header)+len(names))
	for name, values := range r.Header {
		if !spells(name, names) {
			out.Header[name] = values[:len(values):len(values)]
		}
	}
	if len(r.Trailer) > 0 {
		trailWithout(out, r, names)
	}
	return out
}

func spells(name string, names []string) bool {
	for _, n := range names {
		if sameField(name, n) {
			return true
		}
	}
	return false
}

// trailWithout gives out those of r's trailers that are not of these names. Their values
// come when r's body has ended, into r's own map: so they have to be fetched from there.
func trailWithout(out, r *http.Request, names []string) {
	out.Trailer = make(http.Header, len(r.Trailer))
	for name, values := range r.Trailer {
		if !spells(name, names) {
			out.Trailer[name] = values
		}
	}
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	out.Body = &trailed{r.Body, r, out.Trailer}
	if r.GetBody == nil {
		return
	}
	out.GetBody = func() (io.ReadCloser, error) {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		return &trailed{body, r, out.Trailer}, nil
	}
}

// trailed is a request's body at whose end the trailers are those of another request.
type trailed struct {
	io.ReadCloser
	from *http.Request
	to   http.Header
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			b.to[name] = b.from.Trailer[name]
		}
	}
	return n, err
}

// checkField refuses the name of a field that a transport must not set: those that frame
// the message would make two of one request.
func checkField(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !field.IsToken(name):
		return fmt.Errorf("%q is not the name of a field", name)
	case field.OfConnection(canonical), canonical == "Content-Length", canonical == "Host":
		return fmt.Errorf("%s belongs to the connection", canonical)
	}
	return nil
}

// checkFields refuses names that a backend could take for the same, besides.
func checkFields(names []string) error {
	var faults []error
	for i, name := range names {
		faults = append(faults, checkField(name))
		if spells(name, names[:i]) {
			faults = append(faults, fmt.Errorf("%q is there twice", name))
		}
	}
	return errors.Join(faults...)
}
