package middleware

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/rs/cors"
)

// CORSPolicy says which web pages of other origins may call (Fetch standard,
// section 3.2).
type CORSPolicy struct {
	Origins     []string      // such as "https://shop.test" or "https://*.shop.test", or "*" for all; required
	Methods     []string      // besides GET, HEAD and POST; nil: none
	Headers     []string      // request header fields that scripts may set; nil: Accept, Content-Type and X-Requested-With
	Expose      []string      // response header fields that scripts may read; nil: the safe-listed ones
	Credentials bool          // whether requests may carry cookies; not with the origin "*"; false: no
	MaxAge      time.Duration // how long a browser may remember a preflight; zero: the browser's default of 5 seconds
}

// CORS returns a middleware that answers preflight requests and marks responses, by
// p and by nothing else: what a handler or an upstream says of the matter is removed. A
// preflight is an OPTIONS request for which there is no route, so give it to
// gateway.New, whose middlewares see those too, and not to a Group. It panics, with all
// faults in one error, if p has no origin or one that is none, a method or a field name
// that is none, a negative MaxAge, or lets every origin use credentials.
func CORS(p CORSPolicy) gateway.Middleware {
	if err := p.check(); err != nil {
		panic(err)
	}
	c := cors.New(cors.Options{
		AllowedOrigins:   p.Origins,
		AllowedMethods:   append([]string{http.MethodGet, http.MethodHead, http.MethodPost}, p.Methods...),
		AllowedHeaders:   p.Headers,
		ExposedHeaders:   p.Expose,
		AllowCredentials: p.Credentials,
		MaxAge:           int(p.MaxAge / time.Second),
	})
	return func(next http.Handler) http.Handler {
		marked := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			ours := make(http.Header)
			moveCORS(ours, x.Header())
			serveWithHeader(next, x, r, func(h http.Header) {
				moveCORS(make(http.Header), h)
				maps.Copy(h, ours)
			})
		}))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			marked.ServeHTTP(x, r)
		})
	}
}

// moveCORS moves the fields of the Fetch standard.
func moveCORS(dst, src http.Header) {
	for name, values := range src {
		if strings.HasPrefix(name, "Access-Control-") {
			dst[name] = values
			delete(src, name)
		}
	}
}

func (p CORSPolicy) check() error {
	var faults []error
	fault := func(format string, v ...any) { faults = append(faults, fmt.Errorf("middleware: cors: "+format, v...)) }
	if len(p.Origins) == 0 {
		fault("no origin")
	}
	for _, o := range p.Origins {
		// An origin as browsers send it: they compare it byte by byte.
		scheme, host, ok := strings.Cut(o, "://")
		if o != "*" && (!ok || scheme == "" || host == "" || strings.ContainsAny(host, "/?#@ ")) {
			fault("%q is no origin, as \"https://shop.test\" is", o)
		}
	}
	for _, m := range p.Methods {
		if !field.IsToken(m) || m != strings.ToUpper(m) {
			fault("%q is no method", m)
		}
	}
	for _, name := range slices.Concat(p.Headers, p.Expose) {
		if !field.IsToken(name) {
			fault("%q is no field name", name)
		}
	}
	if p.MaxAge < 0 {
		fault("MaxAge %v is negative", p.MaxAge)
	}
	if p.Credentials && slices.Contains(p.Origins, "*") {
		fault("credentials with every origin let any page act as the user")
	}
	return errors.Join(faults...)
}
