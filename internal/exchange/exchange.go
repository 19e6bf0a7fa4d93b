// Package exchange holds what the gateway knows of one request while it serves it.
//
// An [Exchange] is made once a request and shared by every middleware of the
// chain: it is the response writer that counts, and the state (request id,
// principal, failure) that one middleware writes and another reads. It is why
// wrapping a handler ten times costs one object and not ten.
package exchange

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/gatewright/gateway/internal/field"
)

// Principal is who the request speaks for, as far as packages that do not know
// authentication need to ask: a claim's value by its name, and whether it is there.
type Principal interface {
	Claim(name string) (string, bool)
}

// Secret is a string that no log, error or trace shows.
type Secret string

// String is part of [fmt.Stringer].
func (Secret) String() string { return "redacted" }

// GoString is String, for %#v.
func (Secret) GoString() string { return "redacted" }

// Format is String, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "redacted") }

// MarshalText is String, for encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// Session is a credential that was opened before authentication, as it had to be
// refreshed: whom it speaks for, and the token that goes with it if it is they whom
// authentication finds.
type Session struct {
	Principal Principal
	Token     Secret
}

// State is what the middlewares of one request tell each other. It belongs to the
// goroutine that serves the request. Handlers that fan out may read what was written
// before they ran, and so not Err.
type State struct {
	RequestID string                          // empty: none was assigned
	Principal Principal                       // nil: nobody was authenticated
	Token     Secret                          // the bearer token that the Principal came by, for who relays it; empty: none
	Session   *Session                        // what a login session opened before authentication; nil: nothing
	Challenge []string                        // what a 401 demands of this request (RFC 9110 section 11.6.1); nil: nobody asked for credentials
	Client    netip.Addr                      // who sent it to the first proxy that is trusted; invalid: the connection's other end
	Trusted   bool                            // the connection's other end is a proxy whose forwarding fields hold
	Interim   func(status int, h http.Header) // passes an interim response on to the client; nil: it cannot get any
	Given     *http.Request                   // a request that its sender will not look at again: who is sent it may change it; nil: none
	Upgrade   string                          // the protocol that the client asked to change to; empty: none
	Err       error                           // why the request failed; nil: it has not
	Attempts  *Attempts                       // at upstreams that failed; nil: nobody asks
	Notes     []slog.Attr                     // for the log: what went wrong and was made up for
}

// Exchange is one request and its response in the making. It is a
// [http.ResponseWriter]; what it does not offer itself is found by
// [http.ResponseController] through Unwrap.
type Exchange struct {
	*State

	w        http.ResponseWriter
	head     bool // the method is HEAD: what is written is not sent
	status   int
	bytes    int64
	onHeader []func(http.Header)

	own      State
	attempts Attempts
	ctx      carrier
}

// Join returns the exchange that w belongs to, and r carrying it. Where there is
// none yet it makes one, so a middleware works on any [http.Handler] by itself. The
// fields of r that belong to the client's connection by its own word are then removed.
func Join(w http.ResponseWriter, r *http.Request) (*Exchange, *http.Request) {
	if x, ok := w.(*Exchange); ok && From(r.Context()) == x.State {
		return x, r
	}
	x := &Exchange{w: w, head: r.Method == http.MethodHead, State: From(r.Context())}
	field.StripListed(r.Header)
	if x.State == nil {
		x.State = &x.own
		x.Attempts = &x.attempts
	}
	x.ctx = carrier{r.Context(), x.State}
	return x, r.WithContext(&x.ctx)
}

// From returns the state that travels with ctx, or nil.
func From(ctx context.Context) *State {
	s, _ := ctx.Value(key{}).(*State)
	return s
}

// Fork returns ctx with a state of its own, for a handler that runs as a backend of
// this request: it sees the caller's identity, and what it writes stays its own.
// Backends may outlive the request and run beside it, and the state has no lock: so
// only what is settled before the handler runs is copied.
func Fork(ctx context.Context) context.Context {
	s := From(ctx)
	if s == nil {
		return ctx
	}
	return With(ctx, &State{
		RequestID: s.RequestID, Principal: s.Principal, Token: s.Token, Session: s.Session, Challenge: s.Challenge,
		Client: s.Client, Trusted: s.Trusted, Attempts: s.Attempts,
	})
}

// With returns ctx carrying s.
func With(ctx context.Context, s *State) context.Context { return &carrier{ctx, s} }

type key struct{}

// carrier is a context that knows one more value. Being a field of Exchange it
// saves the allocation that context.WithValue would make on every request.
type carrier struct {
	context.Context
	state *State
}

func (c *carrier) Value(k any) any {
	if k == (key{}) {
		return c.state
	}
	return c.Context.Value(k)
}

// Of returns the Exchange that w is or wraps, or nil.
func Of(w http.ResponseWriter) *Exchange {
	for {
		switch v := w.(type) {
		case *Exchange:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// OnHeader has f called with the response header just before it is sent. The
// function registered last runs first, as the innermost middleware does.
func (x *Exchange) OnHeader(f func(http.Header)) { x.onHeader = append(x.onHeader, f) }

// Status returns the final status sent, never an interim one, and 0 before it.
func (x *Exchange) Status() int { return x.status }

// Bytes returns how many bytes of the response's content were written.
func (x *Exchange) Bytes() int64 { return x.bytes }

// Header is part of [http.ResponseWriter].
func (x *Exchange) Header() http.Header { return x.w.Header() }

// WriteHeader is part of [http.ResponseWriter]. Interim responses (1xx but 101)
// pass and are not recorded.
func (x *Exchange) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		x.begin(status)
	}
	x.w.WriteHeader(status)
}

// Upgraded records that the connection will speak another protocol, and has the
// header changed for the last time: the 101 is written past this writer.
func (x *Exchange) Upgraded() { x.begin(http.StatusSwitchingProtocols) }

// Hijack is for handlers that ask for a [http.Hijacker] by its type.
func (x *Exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(x.w).Hijack()
	if err == nil && x.status == 0 {
		x.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// Flush is for handlers that ask for a [http.Flusher] by its type.
func (x *Exchange) Flush() { _ = x.FlushError() }

func (x *Exchange) begin(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	for i := len(x.onHeader) - 1; i >= 0; i-- {
		x.onHeader[i](x.w.Header())
	}
}

func (x *Exchange) Write(p []byte) (int, error) {
	x.begin(http.StatusOK)
	n, err := x.w.Write(p)
	if !x.head {
		x.bytes += int64(n)
	}
	return n, err
}

// FlushError is what [http.ResponseController.Flush] calls. It is here because a
// flush sends the header, which must not happen behind the recorder's back.
func (x *Exchange) FlushError() error {
	x.begin(http.StatusOK)
	return http.NewResponseController(x.w).Flush()
}

// Unwrap is what [http.ResponseController] calls for everything else.
func (x *Exchange) Unwrap() http.ResponseWriter { return x.w }
