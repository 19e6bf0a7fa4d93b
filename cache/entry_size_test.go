package cache_test

import (
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

// What is stored decoded must count for what it takes.
func TestResponsesTakeNoMoreOfTheHeapThanTheStoreMay(t *testing.T) {
	const bound, responses = 32 << 20, 60_000
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		body := strings.Repeat("x", n*37%3000)
		return &http.Response{StatusCode: 200, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Request: r, Header: http.Header{
			"Cache-Control": {"max-age=3600"}, "Content-Type": {"application/json"}, "Etag": {`"` + strconv.Itoa(n) + `"`}, "X-Request-Id": {strconv.Itoa(n)},
		}}, nil
	})
	rt := &cache.Transport{Base: base, Store: cache.Memory(bound)}
	before := heapInUse()
	for n := range responses {
		for range 2 { // what was served once has its fields at hand
			res, err := rt.RoundTrip(request("GET", "/"+strconv.Itoa(n)))
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	took := float64(heapInUse() - before)
	runtime.KeepAlive(rt)
	t.Logf("%.1f MiB of %d", took/(1<<20), bound>>20)
	assert.InDelta(t, bound, took, bound*0.05)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
