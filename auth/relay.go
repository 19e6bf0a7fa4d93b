package auth

import (
	"fmt"
	"net/http"
)

// Relay is a [http.RoundTripper] that sends the bearer token by which the caller came in
// on to a backend, which can then judge it by itself. It is for backends of the same
// audience: one that must not be able to act as the caller elsewhere gets a token of its
// own by [TokenExchange] or [Issuer].
//
// The token is the one that [Require] has verified, never what the request says. Whoever
// came in by something else, or is nobody, has none: then the request goes without
// Authorization, in any spelling, unless Required refuses it with 401.
//
// Its fields must not be changed once it is in use. It may be used concurrently.
type Relay struct {
	Base     http.RoundTripper // sends the requests; required: without it every round trip fails, and [gateway.Proxy] panics
	Required bool              // refuse requests that have no token; false: they pass without
}

// RoundTrip sends r by Base with the caller's token.
func (y *Relay) RoundTrip(r *http.Request) (*http.Response, error) {
	if y.Base == nil { // the rest of Check is its own to say
		return refused(r, y.Check())
	}
	_, token := caller(r)
	if token == "" && y.Required {
		return refused(r, unauthorized("relay: no bearer token"))
	}
	out := without(r, authorization)
	if token != "" {
		out.Header[authorization] = []string{"Bearer " + string(token)}
	}
	return y.Base.RoundTrip(out)
}

// Check returns what is wrong with y, or with its Base.
func (y *Relay) Check() error {
	if err := checkBase(y.Base); err != nil {
		return fmt.Errorf("auth: relay: %w", err)
	}
	return nil
}
