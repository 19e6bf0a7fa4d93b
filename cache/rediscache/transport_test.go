package rediscache_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/cache/rediscache"
)

// origin answers at once, each path with itself.
type origin struct{ calls atomic.Int64 }

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	o.calls.Add(1)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Cache-Control": {"max-age=3600"}}, ContentLength: int64(len(r.URL.Path)),
		Body: io.NopCloser(strings.NewReader(r.URL.Path)), Request: r,
	}, nil
}

func TestAnswersGoOnWhenRedisIsKilledUnderLoad(t *testing.T) {
	s, from := startServer(t), &origin{}
	const deadline = 100 * time.Millisecond
	rt := &cache.Transport{Base: from, Store: newStore(t, s, rediscache.Config{}), Timeout: deadline}
	var hits, misses, wrong, longest atomic.Int64
	ask := func(n int) {
		path := "/" + strconv.Itoa(n%50)
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://shop.test"+path, nil)
		if err != nil {
			wrong.Add(1)
			return
		}
		begun := time.Now()
		res, err := rt.RoundTrip(r)
		if err != nil {
			wrong.Add(1)
			return
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if took := int64(time.Since(begun)); took > longest.Load() {
			longest.Store(took)
		}
		switch {
		case err != nil || string(body) != path:
			wrong.Add(1)
		case strings.Contains(res.Header.Get("Cache-Status"), "hit"):
			hits.Add(1)
		default:
			misses.Add(1)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				ask(n)
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	more(t, &hits)
	s.kill()
	more(t, &misses)
	s.start()
	more(t, &hits)
	require.Zero(t, wrong.Load())
	// A request asks the store for what is there, and has it keep what it has fetched.
	require.Less(t, time.Duration(longest.Load()), 2*deadline+slack)
}
