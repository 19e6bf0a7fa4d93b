package middleware

import (
	"errors"
	"slices"
	"time"

	"github.com/gatewright/gateway"
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
// p. A preflight is an OPTIONS request for which there is no route, so give it to
// gateway.New, whose middlewares see those too, and not to a Group. It panics if p
// has no origin, or lets every origin use credentials.
func CORS(p CORSPolicy) gateway.Middleware {
	if len(p.Origins) == 0 {
		panic(errors.New("middleware: cors: no origin"))
	}
	if p.Credentials && slices.Contains(p.Origins, "*") {
		panic(errors.New("middleware: cors: credentials with every origin let any page act as the user"))
	}
	return cors.New(cors.Options{
		AllowedOrigins:   p.Origins,
		AllowedMethods:   append([]string{"GET", "HEAD", "POST"}, p.Methods...),
		AllowedHeaders:   p.Headers,
		ExposedHeaders:   p.Expose,
		AllowCredentials: p.Credentials,
		MaxAge:           int(p.MaxAge / time.Second),
	}).Handler
}
