package cache_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/exchange"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// hits returns a call that has a handler's response of that size served from the store.
func hits(tb testing.TB, size int) func() {
	body := strings.Repeat("x", size)
	h := cache.Middleware(cache.Memory(64 << 20))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"1"`)
		_, _ = io.WriteString(w, body)
	}))
	r := httptest.NewRequest(http.MethodGet, "/v1/offers?segment=gold", nil)
	for _, name := range strings.Fields("Accept Accept-Encoding Accept-Language User-Agent X-Request-Id") {
		r.Header.Set(name, "value")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(tb, size, w.Body.Len())
	d := discard{make(http.Header)}
	x, r := exchange.Join(d, r)
	h.ServeHTTP(x, r)
	assert.Contains(tb, d.h.Get("Cache-Status"), "hit")
	return func() {
		clear(d.h)
		h.ServeHTTP(x, r)
	}
}

func TestAHitAllocatesLittle(t *testing.T) {
	for _, size := range []int{1 << 10, 1 << 20} {
		assert.LessOrEqual(t, testing.AllocsPerRun(100, hits(t, size)), 6.0)
	}
}

func BenchmarkHit1KiB(b *testing.B) { benchmarkHit(b, 1<<10) }
func BenchmarkHit1MiB(b *testing.B) { benchmarkHit(b, 1<<20) }

func benchmarkHit(b *testing.B, size int) {
	serve := hits(b, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
