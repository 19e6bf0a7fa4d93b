package cache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

func TestAFieldThatIsHeldBackIsAbsent(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60", "Vary: User-Agent"))
	r := request("GET", "/")
	r.Header["User-Agent"] = nil // as to keep net/http from sending its own
	do(t, rt, r)
	require.Contains(t, do(t, rt, r).status(), "hit")
	require.Contains(t, get(t, rt, "/").status(), "hit")
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
