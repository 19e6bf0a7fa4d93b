package http1_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatewright/gateway/internal/http1"
)

// BenchmarkRoundTrip is a GET of 1 KiB from a net/http server on loopback, by our
// transport and by net/http's.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1024)) }))
	defer s.Close()
	ours := &http1.Transport{}
	defer ours.CloseIdleConnections()
	theirs := &http.Transport{DisableCompression: true}
	defer theirs.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{"http1": ours, "net-http": theirs} {
		b.Run(name, func(b *testing.B) {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				res, err := rt.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
