package cache_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/exchange"
)

func TestWaitersGetTheBodyAsItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		var calls atomic.Int64
		rt := over(roundTrip(func(req *http.Request) (*http.Response, error) {
			calls.Add(1)
			return raw(fresh, r, -1)(req)
		}))
		var first, whole atomic.Int64
		for range 10 {
			go func() {
				res, err := rt.RoundTrip(request("GET", "/"))
				if err != nil {
					return
				}
				defer res.Body.Close()
				half := make([]byte, 5)
				if _, err := io.ReadFull(res.Body, half); err == nil && string(half) == "first" {
					first.Add(1)
				}
				if rest, err := io.ReadAll(res.Body); err == nil && string(rest) == "second" {
					whole.Add(1)
				}
			}()
		}
		_, err := io.WriteString(w, "first")
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 10, first.Load(), "the second half does not exist yet")

		late := make(chan answered)
		go func() { late <- fetch(rt, request("GET", "/")) }()
		synctest.Wait()
		_, err = io.WriteString(w, "second")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Equal(t, "firstsecond", (<-late).body, "who comes in the middle gets it from its beginning")
		synctest.Wait()
		require.EqualValues(t, 10, whole.Load())
		require.EqualValues(t, 1, calls.Load())
	})
}

// endless is a body without a length that tells how much of it was taken.
type endless struct {
	size  int64
	taken atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), e.size-e.taken.Load())
	for i := range p[:n] {
		p[i] = byte((e.taken.Load() + int64(i)) % 251)
	}
	e.taken.Add(n)
	if n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

func (e *endless) Close() error { return nil }

func TestLargeBodiesStreamToAllInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, limit = 4 << 20, 64 << 10
		e := &endless{size: size}
		var calls atomic.Int64
		rt := &cache.Transport{Store: cache.Memory(8 << 20), MaxBody: limit, Base: roundTrip(func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			return raw(fresh, e, -1)(r)
		})}
		var read [3]atomic.Int64
		var wg sync.WaitGroup
		for i := range read {
			wg.Go(func() {
				res, err := rt.RoundTrip(request("GET", "/"))
				if err != nil {
					return
				}
				defer res.Body.Close()
				p := make([]byte, 1000<<i)
				for {
					n, err := res.Body.Read(p)
					for j, c := range p[:n] {
						if c != byte((read[i].Load()+int64(j))%251) {
							return // not the bytes that were sent
						}
					}
					read[i].Add(int64(n))
					if err != nil {
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		for e.taken.Load() < size {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			slowest := min(read[0].Load(), read[1].Load(), read[2].Load())
			require.LessOrEqual(t, e.taken.Load()-slowest, int64(limit+32<<10), "the slowest holds the origin back")
		}
		wg.Wait()
		for i := range read {
			require.EqualValues(t, size, read[i].Load())
		}
		require.EqualValues(t, 1, calls.Load())
		require.False(t, isHit(t, rt))
	})
}

func TestTheFirstMayBeSlowToTakeAFastBody(t *testing.T) {
	// Its goroutine runs last, when all could have passed.
	for range 20 {
		e := &endless{size: 100 << 10}
		rt := &cache.Transport{Base: raw(fresh, e, -1), Store: cache.Memory(1 << 20), MaxBody: 1000}
		for _, a := range crowd(rt, 1, plainGet) {
			require.NoError(t, a.err)
			require.Len(t, a.body, 100<<10)
		}
	}
}

func TestInterimResponsesAreForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := roundTrip(func(r *http.Request) (*http.Response, error) { // as net/http's Transport does
			time.Sleep(time.Second)
			if err := httptrace.ContextClientTrace(r.Context()).Got1xxResponse(http.StatusEarlyHints, nil); err != nil {
				return nil, err
			}
			return raw(fresh, io.NopCloser(strings.NewReader("abc")), 3)(r)
		})
		var hints [3]atomic.Int64
		for i, a := range crowd(over(base), 3, func(i int) *http.Request {
			r := request("GET", "/")
			if i == 2 {
				time.Sleep(time.Millisecond)
			}
			ctx := exchange.With(r.Context(), &exchange.State{Interim: func(int, http.Header) { hints[i].Add(1) }})
			return r.WithContext(exchange.Trace(ctx))
		}) {
			require.Equal(t, "abc", a.body, i)
		}
		require.EqualValues(t, 1, hints[0].Load()+hints[1].Load())
		require.Zero(t, hints[2].Load())
	})
}

func TestTrailersThatWereNotAnnouncedReachTheFirstAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			res, err := raw(fresh, nil, -1)(r)
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), atEnd(func() { res.Trailer = http.Header{"Checksum": {"1"}} })))
			return res, err
		}))
		var wg sync.WaitGroup
		var got atomic.Int64
		for range 10 {
			wg.Go(func() {
				res, err := rt.RoundTrip(request("GET", "/"))
				if err != nil {
					panic(err)
				}
				_, _ = io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.Trailer.Get("Checksum") == "1" {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, got.Load(), "nobody has judged whether they are for all")
		require.False(t, isHit(t, rt), "what was stored would have none")
	})
}

type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }
