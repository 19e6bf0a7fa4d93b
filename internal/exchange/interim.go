package exchange

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
)

// InterimPasser is embedded by RoundTrippers that give the interim responses they get to
// the request's [State] by themselves. For all others [Trace] is there, which costs more.
type InterimPasser struct{}

// PassesInterim marks the type.
func (InterimPasser) PassesInterim() {}

// Trace returns ctx for a RoundTripper that reports interim responses to a
// [httptrace.ClientTrace], as net/http's does: they then get to the state's Interim.
func Trace(ctx context.Context) context.Context {
	s := From(ctx)
	if s == nil || s.Interim == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			s.Interim(code, http.Header(h))
			return nil
		},
	})
}
