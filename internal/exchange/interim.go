package exchange

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
)

// Acquainted is embedded by RoundTrippers that know the request's [State]: they give it
// the interim responses they get, for which all others need [Trace], and they may change
// the request that it says is given away.
type Acquainted struct{}

// KnowsState marks the type.
func (Acquainted) KnowsState() {}

// Trace returns ctx for a RoundTripper that reports interim responses to a
// [httptrace.ClientTrace], as net/http's does: they then get to the state's Interim. Where
// one stands on another that does the same, they get there once.
func Trace(ctx context.Context) context.Context {
	s := From(ctx)
	if s == nil || s.Interim == nil || ctx.Value(traced{}) == s {
		return ctx
	}
	return httptrace.WithClientTrace(context.WithValue(ctx, traced{}, s), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			s.Interim(code, http.Header(h))
			return nil
		},
	})
}

type traced struct{}
