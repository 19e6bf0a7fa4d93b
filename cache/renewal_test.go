package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

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
