package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkHandler is what the program measures without the servers and without other
// processes, for finding out what allocates.
func BenchmarkHandler(b *testing.B) {
	key, tokens, err := issue(1)
	if err != nil {
		b.Fatal(err)
	}
	s := setup{Key: key}
	serve, err := backend(s)
	if err != nil {
		b.Fatal(err)
	}
	for range endpoints {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		s.Backends = append(s.Backends, "http://"+l.Addr().String())
		go func() { _ = serve(l) }() // ends with the listener
	}
	for _, c := range []struct {
		name  string
		path  string
		build func(setup) (http.Handler, error)
	}{
		{"plain", path, plain},
		{"full", path, full},
		{"aggregate4", "/home", aggregate4},
		{"cache", cachedPath, cached},
	} {
		b.Run(c.name, func(b *testing.B) {
			h, err := c.build(s)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			w := sink{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, c.path, nil)
				r.Header.Set("Authorization", "Bearer "+tokens[0])
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}
