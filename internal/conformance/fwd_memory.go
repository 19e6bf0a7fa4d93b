package conformance

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// memoryScenes are incident 15. The client and the backend are in the same heap and
// hold nothing themselves.
var memoryScenes = []scene{
	{"uploads in constant memory", Features{}, constantUpload},
	{"downloads in constant memory", Features{}, constantDownload},
}

const (
	huge      = 64 << 20
	allowance = 16 << 20
)

// Memory runs the scenes of memory with bodies of size bytes, and lets the heap grow by
// at most allowance.
func Memory(t *testing.T, proxy Proxy, size int64, allowance uint64) {
	t.Run("upload", func(t *testing.T) { upload(t, proxy, size, allowance) })
	t.Run("download", func(t *testing.T) { download(t, proxy, size, allowance) })
}

// gauge is a stream of zeros that looks at the heap as it goes.
type gauge struct {
	left, next int64
	start, top uint64
}

func newGauge(size int64) *gauge {
	g := &gauge{left: size, next: size}
	runtime.GC()
	g.start = heap()
	return g
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (g *gauge) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	if g.left <= g.next {
		g.top = max(g.top, heap())
		g.next -= 4 << 20
	}
	n := int(min(int64(len(p)), g.left))
	clear(p[:n])
	g.left -= int64(n)
	return n, nil
}

func (g *gauge) check(t *testing.T, allowance uint64) {
	t.Helper()
	assert.Zero(t, g.left, "all was sent")
	assert.Less(t, g.top, g.start+allowance, "the heap grew by %d MiB", int64(g.top-g.start)>>20)
}

func constantUpload(t *testing.T, proxy Proxy) { upload(t, proxy, huge, allowance) }

func upload(t *testing.T, proxy Proxy, size int64, allowance uint64) {
	t.Helper()
	got := make(chan int64, 1)
	s := front(t, proxy(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
	})))
	g := newGauge(size)
	res := response(t, ask(t, s, request(t.Context(), t, http.MethodPost, io.NopCloser(g))))
	assert.Empty(t, read(t, res.Body))
	assert.Equal(t, size, receive(t, got, "the upload's end"))
	g.check(t, allowance)
}

func constantDownload(t *testing.T, proxy Proxy) { download(t, proxy, huge, allowance) }

func download(t *testing.T, proxy Proxy, size int64, allowance uint64) {
	t.Helper()
	g := newGauge(size)
	s := front(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, g) })))
	res := response(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil)))
	n, err := io.Copy(io.Discard, res.Body)
	assert.NoError(t, err)
	assert.Equal(t, size, n)
	g.check(t, allowance)
}
