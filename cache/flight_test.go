package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/exchange"
)

// many is how many ask at once.
const many = 1000

// answered is what one of a crowd has got.
type answered struct {
	status int
	cache  string
	header http.Header
	body   string
	err    error // of the round trip, or of the body
	took   time.Duration
}

// crowd has n ask at the same time, each with what ask makes for it.
func crowd(rt http.RoundTripper, n int, ask func(i int) *http.Request) []answered {
	all := make([]answered, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { all[i] = fetch(rt, ask(i)) })
	}
	wg.Wait()
	return all
}

func fetch(rt http.RoundTripper, r *http.Request) answered {
	start := time.Now()
	res, err := rt.RoundTrip(r)
	if err != nil {
		return answered{err: err, took: time.Since(start)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, strings.Join(res.Header["Cache-Status"], ", "), res.Header, string(body), err, time.Since(start)}
}

func plainGet(int) *http.Request { return request("GET", "/") }

// slow is an origin that takes a second, in which all the crowd is there.
func slow(lines ...string) *origin {
	o := &origin{}
	o.serve = func(w http.ResponseWriter, r *http.Request) {
		n := o.calls()
		time.Sleep(time.Second)
		add(w.Header(), lines)
		_, _ = io.WriteString(w, "answer "+strconv.Itoa(n)+" for "+r.Header.Get("X-User"))
	}
	return o
}

func TestAThousandWhoAskForTheSameReachTheOriginOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := slow("Cache-Control: max-age=60")
		var collapsed int
		for _, a := range crowd(over(o), many, plainGet) {
			require.NoError(t, a.err)
			require.Equal(t, "answer 1 for ", a.body)
			require.Equal(t, time.Second, a.took)
			if a.cache == "gateway; fwd=uri-miss; collapsed" {
				collapsed++
			}
		}
		require.Equal(t, 1, o.calls())
		require.Equal(t, many-1, collapsed)
	})
}

func TestAThousandClientsOfAServerReachTheHandlerOnce(t *testing.T) {
	var arrived, calls atomic.Int64
	all := make(chan struct{})
	body := strings.Repeat("0123456789", 1<<10)
	g := gateway.New()
	g.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-all
		calls.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, body)
	}), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if arrived.Add(1) == many {
				close(all)
			}
			next.ServeHTTP(w, r)
		})
	}, cache.Middleware(cache.Memory(1<<20)))
	server := httptest.NewServer(g)
	defer server.Close()
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	for _, a := range crowd(client, many, func(int) *http.Request { return httptest.NewRequest("GET", server.URL+"/", nil) }) {
		require.NoError(t, a.err)
		require.Len(t, a.body, len(body))
	}
	require.EqualValues(t, 1, calls.Load())
}

func TestNobodySlipsThroughBetweenTheLookUpAndTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The second has looked when there was nothing, and goes on once the first is done.
		var looked atomic.Int64
		inner := cache.Memory(1 << 20)
		s := &store{Cache: inner}
		s.get = func(ctx context.Context, key string) ([]byte, bool, error) {
			val, ok, err := inner.Get(ctx, key)
			if !strings.HasPrefix(key, "purged") && looked.Add(1) == 2 {
				time.Sleep(10 * time.Second)
			}
			return val, ok, err
		}
		o := slow("Cache-Control: max-age=60")
		rt := &cache.Transport{Base: o, Store: s, Timeout: time.Minute}
		for _, a := range crowd(rt, 2, plainGet) {
			require.Equal(t, "answer 1 for ", a.body)
		}
		require.Equal(t, 1, o.calls())
	})
}

func TestAThousandWithADeadBackendGetTheStaleCopy(t *testing.T) { // RFC 5861 section 4
	for name, dead := range map[string]roundTrip{
		"refused":           func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") },
		"503":               answer(503),
		"500 with a future": answer(500, "Cache-Control: max-age=600"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := slow("Cache-Control: max-age=60, stale-if-error=600", `Etag: "1"`)
				rt := over(o)
				get(t, rt, "/")
				var asked atomic.Int64
				rt.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return dead(r)
				})
				for range 3 { // it is asked each time, since it may be back
					time.Sleep(2 * time.Minute)
					asked.Store(0)
					for _, a := range crowd(rt, many, plainGet) {
						require.NoError(t, a.err)
						require.Equal(t, 200, a.status)
						require.Equal(t, "answer 1 for ", a.body)
						require.Contains(t, a.cache, "stale-if-error")
					}
					require.EqualValues(t, 1, asked.Load())
				}
				time.Sleep(10 * time.Minute)
				a := fetch(rt, request("GET", "/"))
				require.True(t, a.err != nil || a.status >= 500, "beyond its allowance it is over")
			})
		})
	}
}

func answer(status int, lines ...string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		add(h, lines)
		return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: http.NoBody, Request: r}, nil
	}
}

func TestAThousandRevalidationsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVersioned("Cache-Control: max-age=60")
		serve := v.serve
		v.serve = func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			serve(w, r)
		}
		rt := over(v)
		get(t, rt, "/")
		time.Sleep(time.Minute)
		for i, a := range crowd(rt, many, func(i int) *http.Request {
			return []*http.Request{request("GET", "/"), request("GET", "/", `If-None-Match: "1"`), request("GET", "/", "Range: bytes=1-1")}[i%3]
		}) {
			require.NoError(t, a.err)
			require.Equal(t, []int{200, 304, 206}[i%3], a.status)
			require.Equal(t, []string{"one", "", "n"}[i%3], a.body)
		}
		require.Equal(t, 2, v.calls())
		require.Equal(t, `"1"`, v.last().Header.Get("If-None-Match"))
		require.Empty(t, v.last().Header.Get("Range"))
	})
}

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

func TestWhatIsForOneOnlyIsForTheOneWhoAsked(t *testing.T) {
	for _, line := range []string{"Cache-Control: private", "Cache-Control: no-store", "Cache-Control: max-age=60\nSet-Cookie: session=1", "Vary: *"} {
		t.Run(line, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := slow(strings.Split(line, "\n")...)
				rt := over(o)
				user := func(i int) *http.Request { return request("GET", "/", "X-User: "+strconv.Itoa(i)) }
				for wave := range 2 {
					for i, a := range crowd(rt, 20, user) {
						require.NoError(t, a.err)
						require.True(t, strings.HasSuffix(a.body, " for "+strconv.Itoa(i)), a.body)
						require.LessOrEqual(t, a.took, time.Duration(2-wave)*time.Second, "the second time nobody waits")
					}
				}
				require.Equal(t, 40, o.calls())
			})
		})
	}
}

func TestWhatCanBeSharedAgainIsFetchedOnceAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := "private"
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", control)
			time.Sleep(time.Second)
		}}
		rt := over(o)
		crowd(rt, 10, plainGet)
		control = "max-age=1"
		get(t, rt, "/")
		time.Sleep(2 * time.Second)
		before := o.calls()
		crowd(rt, 10, plainGet)
		require.Equal(t, before+1, o.calls())
	})
}

func TestA304ForOneOnlyDoesNotReachThoseWhoWait(t *testing.T) {
	for _, line := range []string{"Set-Cookie: session=ann", "Cache-Control: private"} {
		synctest.Test(t, func(t *testing.T) {
			o := &origin{}
			o.serve = func(w http.ResponseWriter, r *http.Request) {
				n := o.calls()
				time.Sleep(time.Second)
				w.Header().Set("Etag", `"1"`)
				if r.Header.Get("If-None-Match") == "" {
					w.Header().Set("Cache-Control", "max-age=60")
					return
				}
				w.Header().Set("X-Call", strconv.Itoa(n))
				add(w.Header(), []string{line})
				w.WriteHeader(304)
			}
			rt := over(o)
			get(t, rt, "/")
			time.Sleep(time.Minute)
			calls := map[string]int{}
			for _, a := range crowd(rt, 10, plainGet) {
				require.Equal(t, 200, a.status)
				calls[a.header.Get("X-Call")]++
			}
			require.LessOrEqual(t, calls["2"], 1, "what came with the first 304 is for one")
		})
	}
}

func TestThoseWhoWaitForAnotherVariantShareThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Vary", "Accept-Language")
			_, _ = io.WriteString(w, r.Header.Get("Accept-Language"))
		}}
		rt := over(o)
		languages := []string{"de", "en", "fr"}
		ask := func(i int) *http.Request { return request("GET", "/", "Accept-Language: "+languages[i%3]) }
		for range 2 {
			for i, a := range crowd(rt, many, ask) {
				require.NoError(t, a.err)
				require.Equal(t, languages[i%3], a.body)
				require.LessOrEqual(t, a.took, 2*time.Second)
			}
			require.Equal(t, 3, o.calls())
		}
	})
}

func TestFollowersWithCredentialsGetOnlyWhatIsForThem(t *testing.T) {
	with := map[string]func(string) *http.Request{
		"Authorization": func(u string) *http.Request {
			return request("GET", "/", "X-User: "+u, "Authorization: Bearer "+u)
		},
		"Cookie":    func(u string) *http.Request { return request("GET", "/", "X-User: "+u, "Cookie: u="+u) },
		"principal": func(u string) *http.Request { return as(u, request("GET", "/", "X-User: "+u)) },
	}
	for name, by := range with {
		for _, firstHas := range []bool{true, false} {
			t.Run(fmt.Sprint(name, firstHas), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := over(slow("Cache-Control: max-age=60"))
					for i, a := range crowd(rt, 20, func(i int) *http.Request {
						if (i%2 == 0) == firstHas {
							return by(strconv.Itoa(i))
						}
						return request("GET", "/", "X-User: none")
					}) {
						want := "none"
						if (i%2 == 0) == firstHas {
							want = strconv.Itoa(i)
						}
						require.True(t, strings.HasSuffix(a.body, " for "+want), a.body)
					}
				})
			})
		}
	}
}

func TestSomebodysCredentialsDoNotSwitchSharingOffForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := slow("Cache-Control: max-age=60")
		rt := over(o)
		get(t, rt, "/", "Cookie: x=1") // whose response is for one only
		for _, a := range crowd(rt, 100, plainGet) {
			require.Equal(t, "answer 2 for ", a.body)
		}
		require.Equal(t, 2, o.calls())
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

func TestWhatIsAskedForAPartOrOnAConditionIsNotJoined(t *testing.T) {
	for _, c := range []struct {
		name   string
		ask    func(int) *http.Request
		status int
		calls  int
	}{
		{"Range", func(int) *http.Request { return request("GET", "/", "Range: bytes=0-0") }, 206, 10},
		{"HEAD", func(int) *http.Request { return request("HEAD", "/") }, 200, 10},
		{"condition", func(int) *http.Request { return request("GET", "/", `If-None-Match: "1"`) }, 304, 10},
		{"neither", plainGet, 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVersioned("Cache-Control: max-age=60")
				serve := v.serve
				v.serve = func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Second)
					serve(w, r)
				}
				for _, a := range crowd(over(v), 10, c.ask) {
					require.NoError(t, a.err)
					require.Equal(t, c.status, a.status)
					require.Equal(t, time.Second, a.took)
				}
				require.Equal(t, c.calls, v.calls())
			})
		})
	}
}

func TestAloneEachAsksForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := slow("Cache-Control: max-age=60")
		rt := over(o)
		rt.Alone = true
		crowd(rt, 10, plainGet)
		require.Equal(t, 10, o.calls())
		require.Contains(t, get(t, rt, "/").status(), "hit")
	})
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

func TestTrailersThatWereNotAnnouncedReachAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			res, err := raw(fresh, nil, -1)(r)
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), atEnd(func() { res.Trailer = http.Header{"Checksum": {"1"}} })))
			return res, err
		}))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				res, err := rt.RoundTrip(request("GET", "/"))
				if err != nil {
					panic(err)
				}
				_, _ = io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.Trailer.Get("Checksum") != "1" {
					t.Error("no trailer")
				}
			})
		}
		wg.Wait()
		require.False(t, isHit(t, rt), "what was stored would have none")
	})
}

type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestWhatIsStaleIsServedAtOnceAndRenewedBehind(t *testing.T) { // RFC 5861 section 3
	for _, method := range []string{"GET", "HEAD"} {
		synctest.Test(t, func(t *testing.T) {
			o := slow("Cache-Control: max-age=60, stale-while-revalidate=600")
			rt := over(o)
			get(t, rt, "/")
			for round := range 3 {
				time.Sleep(2 * time.Minute)
				for _, a := range crowd(rt, many, func(int) *http.Request { return request(method, "/") }) {
					require.NoError(t, a.err)
					require.Zero(t, a.took)
					require.Contains(t, a.cache, "gateway; hit; ttl=-")
				}
				time.Sleep(2 * time.Second)
				require.Equal(t, round+2, o.calls(), "one at a time")
				require.Equal(t, "GET", o.last().Method)
				require.Equal(t, fmt.Sprintf("answer %d for ", round+2), get(t, rt, "/").body)
			}
		})
	}
}

func TestRenewalsAreBoundedInNumberAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int64
		hang := false
		rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
			if hang {
				under.Add(1)
				<-r.Context().Done()
				under.Add(-1)
				return
			}
			w.Header().Set("Cache-Control", "max-age=60, stale-while-revalidate=600")
		}})
		page := func(i int) *http.Request { return request("GET", "/"+strconv.Itoa(i)) }
		crowd(rt, 200, page)
		time.Sleep(61 * time.Second)
		hang = true
		for _, a := range crowd(rt, 200, page) {
			require.Zero(t, a.took)
			require.NoError(t, a.err)
		}
		synctest.Wait()
		require.EqualValues(t, 64, under.Load())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Zero(t, under.Load())
	})
}

func TestARenewalThatOthersWaitForGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{}
		o.serve = func(w http.ResponseWriter, r *http.Request) {
			if o.calls() > 1 {
				select {
				case <-time.After(time.Minute):
				case <-r.Context().Done():
					return
				}
			}
			w.Header().Set("Cache-Control", "max-age=60, stale-while-revalidate=600")
			_, _ = io.WriteString(w, "abc")
		}
		rt := over(o)
		get(t, rt, "/")
		time.Sleep(61 * time.Second)
		get(t, rt, "/")
		synctest.Wait()
		require.Equal(t, "abc", get(t, rt, "/", "Cache-Control: no-cache").body)
		require.Equal(t, 2, o.calls())
	})
}

func TestWhatChangesDuringAFetchIsNotStoredNorGivenToWhoComesLater(t *testing.T) {
	for name, change := range map[string]func(*cache.Transport){
		"POST": func(rt *cache.Transport) {
			res, err := rt.RoundTrip(request("POST", "/a"))
			if err == nil {
				_ = res.Body.Close()
			}
		},
		"Purge":       func(rt *cache.Transport) { _ = rt.Purge(context.Background(), "/a") },
		"PurgePrefix": func(rt *cache.Transport) { _ = rt.PurgePrefix(context.Background(), "/") },
		"PurgeAll":    func(rt *cache.Transport) { _ = rt.PurgeAll(context.Background()) },
		"PurgeGroup":  func(rt *cache.Transport) { _ = rt.PurgeGroup(context.Background(), "g") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var version atomic.Int64
				rt := over(&origin{serve: func(w http.ResponseWriter, r *http.Request) {
					if r.Method != "GET" {
						return
					}
					old := version.Load()
					time.Sleep(time.Second)
					add(w.Header(), []string{"Cache-Control: max-age=60", `Cache-Groups: "g"`})
					_, _ = io.WriteString(w, strconv.FormatInt(old, 10))
				}})
				older := make(chan answered, 1)
				go func() { older <- fetch(rt, request("GET", "/a")) }()
				time.Sleep(500 * time.Millisecond)
				version.Store(1)
				change(rt)
				if name != "PurgeGroup" { // of what is not here yet nobody knows the groups
					require.Equal(t, "1", get(t, rt, "/a").body)
				}
				require.Equal(t, "0", (<-older).body)
				require.Equal(t, "1", get(t, rt, "/a").body)
			})
		})
	}
}

func TestAUsersRevalidationLeavesWhatAllGet(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		for _, tag := range []string{`"1"`, `"of ann"`} {
			v := newVersioned("Cache-Control: max-age=60")
			rt := over(v)
			get(t, rt, "/")
			v.tag = tag
			do(t, rt, request(method, "/", "Cookie: user=ann", "Cache-Control: no-cache"))
			if method == "GET" || tag == `"1"` {
				require.Contains(t, get(t, rt, "/").status(), "hit", "or a cookie is all it takes to empty the cache")
			}
		}
	}
}

func TestAFieldThatIsHeldBackIsAbsent(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60", "Vary: User-Agent"))
	r := request("GET", "/")
	r.Header["User-Agent"] = nil // as to keep net/http from sending its own
	do(t, rt, r)
	require.Contains(t, do(t, rt, r).status(), "hit")
	require.Contains(t, get(t, rt, "/").status(), "hit")
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

func TestAHandlerThatTakesCredentialsAwayHidesThemFromNobody(t *testing.T) {
	var calls atomic.Int64
	h := behind("/", func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Cookie", "Authorization", "Accept-Language"} {
			r.Header.Del(name)
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Language")
		_, _ = io.WriteString(w, "answer "+strconv.FormatInt(calls.Add(1), 10))
	})
	for i, line := range []string{"Cookie: user=ann", "Authorization: Bearer ann", "Accept-Language: de", "X-A: 1", "X-A: 2"} {
		want := "answer " + strconv.Itoa(min(i+1, 4))
		require.Equal(t, want, call(h, "GET", "/", line).Body.String(), line)
	}
}
