package cache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

// cancellable returns a request and what ends it.
func cancellable() (*http.Request, context.CancelFunc) {
	r := request("GET", "/")
	ctx, cancel := context.WithCancel(r.Context())
	return r.WithContext(ctx), cancel
}

func TestOneThatLeavesDoesNotFailTheOthers(t *testing.T) {
	for _, leaver := range []int{0, 1} { // the first, for whom it was begun; a follower
		for _, body := range []bool{false, true} {
			t.Run(fmt.Sprint(leaver, body), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
						if !body {
							time.Sleep(time.Second)
						}
						w.Header().Set("Cache-Control", "max-age=60")
						_, _ = io.WriteString(w, "first")
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
						_, _ = io.WriteString(w, "second")
					}}
					rt := over(o)
					results := make([]answered, 3)
					var wg sync.WaitGroup
					for i := range results {
						r, cancel := cancellable()
						defer cancel()
						if i == leaver {
							time.AfterFunc(500*time.Millisecond, cancel)
						}
						wg.Go(func() { results[i] = fetch(rt, r) })
						synctest.Wait()
					}
					wg.Wait()
					for i, a := range results {
						if i == leaver {
							require.ErrorIs(t, a.err, context.Canceled)
							require.Equal(t, 500*time.Millisecond, a.took, "at once")
							continue
						}
						require.NoError(t, a.err)
						require.Equal(t, "firstsecond", a.body)
					}
					require.Equal(t, 1, o.calls())
					require.Contains(t, get(t, rt, "/").status(), "hit", "it is stored although one has left")
				})
			})
		}
	}
}

func TestTheFetchEndsWhenAllHaveLeft(t *testing.T) {
	for _, early := range []bool{true, false} {
		for _, control := range []string{"max-age=60", "private"} {
			t.Run(fmt.Sprint(early, control), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var ended atomic.Bool
					rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
						if !early {
							w.Header().Set("Cache-Control", control)
							_, _ = io.WriteString(w, "first")
							w.(http.Flusher).Flush()
						}
						<-r.Context().Done()
						ended.Store(true)
					}})
					var wg sync.WaitGroup
					for range 10 {
						r, cancel := cancellable()
						time.AfterFunc(time.Second, cancel)
						wg.Go(func() { fetch(rt, r) })
					}
					time.Sleep(time.Second - 1)
					synctest.Wait()
					require.False(t, ended.Load())
					wg.Wait()
					synctest.Wait()
					require.True(t, ended.Load())
					require.False(t, isHit(t, rt))
				})
			})
		}
	}
}

func TestABaseThatIgnoresItsContextHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
			if calls.Add(1) == 1 {
				time.Sleep(time.Hour)
			}
			return raw(fresh, io.NopCloser(strings.NewReader("abc")), 3)(r)
		}))
		r, cancel := cancellable()
		time.AfterFunc(time.Second, cancel)
		a := fetch(rt, r)
		require.ErrorIs(t, a.err, context.Canceled)
		require.Equal(t, time.Second, a.took)
		a = fetch(rt, request("GET", "/"))
		require.Equal(t, "abc", a.body)
		require.Zero(t, a.took, "nor those who come later")
		time.Sleep(2 * time.Hour)
		require.False(t, isHit(t, rt), "nor is what was asked for so long ago stored")
	})
}

func TestABodyThatIgnoresItsContextIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, w := io.Pipe() // a Read of it ends by Close alone
		defer func() { _ = w.Close() }()
		rt := over(raw(fresh, body, -1))
		r, cancel := cancellable()
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, fetch(rt, r).err, context.Canceled)
		synctest.Wait()
		_, err := w.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestABrokenBodyFailsAllAndIsNotStored(t *testing.T) {
	for _, length := range []int64{-1, 3, 10} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				calls.Add(1)
				time.Sleep(time.Second)
				return raw(fresh, breaking("abc"), length)(r)
			}))
			for _, a := range crowd(rt, 100, plainGet) {
				require.ErrorContains(t, a.err, "reset")
				require.Equal(t, "abc", a.body)
			}
			require.EqualValues(t, 1, calls.Load())
			require.False(t, isHit(t, rt))
		})
	}
}

func TestAReaderThatLeavesNoLongerHoldsTheOthersBack(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			e := &endless{size: 1 << 20}
			rt := &cache.Transport{Store: cache.Memory(8 << 20), MaxBody: 64 << 10, Base: roundTrip(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return raw(fresh, e, -1)(r)
			})}
			bodies := make(chan io.ReadCloser, 2)
			for range 2 {
				go func() {
					if res, err := rt.RoundTrip(request("GET", "/")); err == nil {
						bodies <- res.Body
					}
				}()
				synctest.Wait()
			}
			one, other := <-bodies, <-bodies
			if first {
				one, other = other, one
			}
			done := make(chan int64)
			go func() {
				n, _ := io.Copy(io.Discard, other)
				_ = other.Close()
				done <- n
			}()
			synctest.Wait()
			require.Less(t, e.taken.Load(), int64(1<<20))
			require.NoError(t, one.Close())
			require.EqualValues(t, 1<<20, <-done)
		})
	}
}

// bad is a body that panics.
type bad struct{ read, closed bool }

func (b bad) Read([]byte) (int, error) {
	if b.read {
		panic("read")
	}
	return 0, io.EOF
}

func (b bad) Close() error {
	if b.closed {
		panic("close")
	}
	return nil
}

func TestABaseThatPanicsFailsItsRequestsAndNotTheProcess(t *testing.T) {
	for name, base := range map[string]roundTrip{
		"at once":     func(*http.Request) (*http.Response, error) { panic("base") },
		"no response": func(*http.Request) (*http.Response, error) { return nil, nil }, //nolint:nilnil // what a RoundTripper must not do
		"in the body": raw(fresh, bad{read: true}, -1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
					calls.Add(1)
					time.Sleep(time.Second)
					return base(r)
				}))
				for _, a := range crowd(rt, 10, plainGet) {
					require.ErrorContains(t, a.err, "panicked")
				}
				require.EqualValues(t, 1, calls.Load())
				rt.Base = says("Cache-Control: max-age=60")
				require.Equal(t, "answer 1", get(t, rt, "/").body, "the next one begins anew")
			})
		})
	}
}

func TestABodyWhoseCloseFailsPanickingEndsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, control := range []string{"max-age=60", "private"} {
			header := http.Header{"Cache-Control": {control}}
			rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return raw(header, bad{closed: true}, -1)(r)
			}))
			r, cancel := cancellable()
			time.AfterFunc(time.Millisecond, cancel)
			require.Error(t, fetch(rt, r).err)
			time.Sleep(time.Minute)
		}
	})
}

func TestAllClientsOfAServerSeeThatABodyBroke(t *testing.T) {
	var arrived atomic.Int64
	all := make(chan struct{})
	g := gateway.New()
	g.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-all
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
		panic(http.ErrAbortHandler)
	}), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if arrived.Add(1) == 20 {
				close(all)
			}
			next.ServeHTTP(w, r)
		})
	}, cache.Middleware(cache.Memory(1<<20)))
	server := httptest.NewServer(g)
	defer server.Close()
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	for _, a := range crowd(client, 20, func(int) *http.Request { return httptest.NewRequest("GET", server.URL+"/", nil) }) {
		require.Error(t, a.err)
	}
}

func TestClientsOfAServerThatLeaveEndTheFetch(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	g := behind("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	server := httptest.NewServer(g)
	defer server.Close()
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { fetch(client, httptest.NewRequest("GET", server.URL+"/", nil).WithContext(ctx)) })
	}
	<-began
	cancel()
	wg.Wait()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the handler is still at it")
	}
}

func TestWhatBrokeOrWasLeftIsStillFetchedOnce(t *testing.T) {
	for _, broken := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			bad := true
			var calls atomic.Int64
			rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				calls.Add(1)
				if bad && broken {
					return raw(fresh, breaking("abc"), -1)(r)
				}
				if bad {
					body, w := io.Pipe()
					context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(r.Context().Err()) })
					return raw(fresh, body, -1)(r)
				}
				time.Sleep(time.Second)
				return raw(fresh, io.NopCloser(strings.NewReader("abc")), 3)(r)
			}))
			r, cancel := cancellable()
			time.AfterFunc(time.Second, cancel)
			require.Error(t, fetch(rt, r).err)
			synctest.Wait()
			bad = false
			for _, a := range crowd(rt, 100, plainGet) {
				require.Equal(t, "abc", a.body)
			}
			require.EqualValues(t, 2, calls.Load())
		})
	}
}
