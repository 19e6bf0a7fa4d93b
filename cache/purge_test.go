package cache_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

// stores are one that keeps what it is given, and one of bytes only, as Redis is.
func stores(t *testing.T, f func(t *testing.T, s cache.Cache)) {
	t.Run("memory", func(t *testing.T) { f(t, cache.Memory(64<<20)) })
	t.Run("bytes", func(t *testing.T) { f(t, &store{Cache: cache.Memory(64 << 20)}) })
}

// has reports whether a fitting response is stored.
func has(t *testing.T, rt http.RoundTripper, r *http.Request) bool {
	t.Helper()
	r = r.Clone(r.Context())
	r.Header.Set("Cache-Control", "only-if-cached")
	return do(t, rt, r).StatusCode != 504
}

// resource is one of the things that are stored in the property test.
type resource struct{ host, uri, accept string }

func (x resource) request() *http.Request {
	r := request("GET", x.uri, "Accept: "+x.accept)
	r.Host = x.host
	return r
}

// groups are those that the origin puts it into.
func (x resource) groups() []string {
	return [][]string{nil, {"even"}, {"odd"}, {"even", "all of it"}}[len(x.uri)%4]
}

func all() (resources []resource) {
	for _, uri := range []string{
		"/", "/?", "/a", "/a?", "/a?q=1", "/a?q=2", "/a/", "/a/b", "/ab", "/a%2Fb", "/A", "/%C3%B6", "/a b", "/aa?q=1", "/b", "/b/a", "/a?q=%31", "/a?b",
	} {
		for _, host := range []string{"", "shop.test"} {
			for _, accept := range []string{"x", "y"} {
				resources = append(resources, resource{host, uri, accept})
			}
		}
	}
	return resources
}

// target returns a request's path and query as they are stored.
func target(uri string) string { return strings.ReplaceAll(uri, " ", "%20") }

func TestPurgesRemoveWhatTheySayAndNothingElse(t *testing.T) {
	kinds := map[string]func(*cache.Transport, string) error{
		"url":    func(c *cache.Transport, s string) error { return c.Purge(context.Background(), s) },
		"prefix": func(c *cache.Transport, s string) error { return c.PurgePrefix(context.Background(), s) },
		"group":  func(c *cache.Transport, s string) error { return c.PurgeGroup(context.Background(), s) },
		"all":    func(c *cache.Transport, _ string) error { return c.PurgeAll(context.Background()) },
	}
	purged := func(kind, s string, x resource) bool {
		switch kind {
		case "url":
			return target(x.uri) == target(s)
		case "prefix":
			return strings.HasPrefix(target(x.uri), target(s))
		case "group":
			return strings.Contains(strings.Join(x.groups(), ","), s)
		}
		return true
	}
	resources := all()
	stores(t, func(t *testing.T, s cache.Cache) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 5)) //nolint:gosec // the same every time
			o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=100000000")
				w.Header().Set("Vary", "Accept")
				for _, g := range (resource{uri: r.URL.RequestURI()}).groups() {
					w.Header().Add("Cache-Groups", `"`+g+`"`)
				}
			}}
			rt := &cache.Transport{Base: o, Store: s, Name: "n"}
			stored := map[resource]bool{}
			for range 100 {
				time.Sleep(time.Millisecond)
				for range 5 {
					x := resources[rng.IntN(len(resources))]
					x.uri = target(x.uri)
					do(t, rt, x.request())
					stored[x] = true
				}
				time.Sleep(time.Millisecond)
				for kind, purge := range kinds {
					if rng.IntN(8) > 0 || kind == "all" && rng.IntN(8) > 0 {
						continue
					}
					what := resources[rng.IntN(len(resources))].uri
					if kind == "prefix" {
						what = what[:1+rng.IntN(len(what))]
					}
					if kind == "group" {
						what = []string{"even", "odd", "all of it"}[rng.IntN(3)]
					}
					if purge(rt, what) != nil {
						require.Contains(t, what, "%", "half an escape")
						continue
					}
					for x := range stored {
						if purged(kind, what, x) {
							delete(stored, x)
						}
					}
				}
				for _, x := range resources {
					x.uri = target(x.uri)
					require.Equal(t, stored[x], has(t, rt, x.request()), "%v", x)
				}
			}
			synctest.Wait()
		})
	})
}

func TestAPurgeOfWhatIsNoURLIsAnError(t *testing.T) {
	rt := over(says())
	for _, bad := range []string{"", "a", "http://shop.test/a", "*", "/%zz", "//\x00", "/a\n"} {
		require.Error(t, rt.Purge(t.Context(), bad), "%q", bad)
		require.Error(t, rt.PurgePrefix(t.Context(), bad), "%q", bad)
	}
}

func TestPurgingAGroupTakesAsLongHoweverManyThereAre(t *testing.T) {
	var calls atomic.Int64
	mem := cache.Memory(1 << 30)
	counting := &store{Cache: mem,
		get: func(ctx context.Context, key string) ([]byte, bool, error) { calls.Add(1); return mem.Get(ctx, key) },
		set: func(ctx context.Context, key string, val []byte, ttl time.Duration) error {
			calls.Add(1)
			return mem.Set(ctx, key, val, ttl)
		},
		del: func(ctx context.Context, key string) error { calls.Add(1); return mem.Delete(ctx, key) },
	}
	rt := &cache.Transport{Store: counting, Name: "n", Base: plainly(200, http.Header{"Cache-Control": {"max-age=60"}, "Cache-Groups": {`"g"`}}, "", 0)}
	const many = 10_000 // of which none is looked at
	for i := range many {
		get(t, rt, fmt.Sprint("/", i))
	}
	before := calls.Load()
	require.NoError(t, rt.PurgeGroup(t.Context(), "g"))
	require.LessOrEqual(t, calls.Load()-before, int64(4))
	for i := 0; i < many; i += 997 {
		require.False(t, has(t, rt, request("GET", fmt.Sprint("/", i))))
	}
}

func TestPrefixesBeyondTheBoundPurgeTooMuchAndNotTooLittle(t *testing.T) {
	mem := cache.Memory(64 << 20)
	var largest int
	s := &store{Cache: mem, set: func(ctx context.Context, key string, val []byte, ttl time.Duration) error {
		if strings.HasPrefix(key, "purged ") {
			largest = max(largest, len(val))
		}
		return mem.Set(ctx, key, val, ttl)
	}}
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60", `Cache-Groups: "g"`), Store: s, Name: "n"}
	for _, path := range []string{"/by/url", "/by/group", "/by/prefix"} {
		get(t, rt, path)
	}
	require.NoError(t, rt.Purge(t.Context(), "/by/url"))
	require.NoError(t, rt.PurgePrefix(t.Context(), "/by/pre"))
	require.NoError(t, rt.PurgeGroup(t.Context(), "g"))
	for i := range 500 {
		require.NoError(t, rt.PurgePrefix(t.Context(), fmt.Sprint("/other/", i)))
	}
	for _, path := range []string{"/by/url", "/by/group", "/by/prefix"} {
		require.False(t, has(t, rt, request("GET", path)), path)
	}
	require.Less(t, largest, 2000)
	get(t, rt, "/new")
	require.True(t, has(t, rt, request("GET", "/new")))
}

func TestAPurgeIsKnownToOthersWithinASecond(t *testing.T) {
	stores(t, func(t *testing.T, s cache.Cache) {
		for _, idle := range []time.Duration{1100 * time.Millisecond, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				o := says("Cache-Control: max-age=100000")
				mine := &cache.Transport{Base: o, Store: s, Name: fmt.Sprint("n", idle)}
				theirs := &cache.Transport{Base: o, Store: s, Name: fmt.Sprint("n", idle)}
				others := &cache.Transport{Base: o, Store: s, Name: "other"}
				get(t, mine, "/a")
				require.Contains(t, get(t, theirs, "/a").status(), "hit")
				get(t, others, "/a")
				time.Sleep(time.Millisecond)
				require.NoError(t, mine.Purge(t.Context(), "/a"))
				require.False(t, has(t, mine, request("GET", "/a")))
				time.Sleep(idle)
				require.False(t, has(t, theirs, request("GET", "/a")), "the very first request after that")
				require.True(t, has(t, others, request("GET", "/a")))
				get(t, theirs, "/a")
				require.True(t, has(t, mine, request("GET", "/a")), "what is new is not purged")
				synctest.Wait()
			})
		}
	})
}

func TestAPurgeSurvivesARestart(t *testing.T) {
	stores(t, func(t *testing.T, s cache.Cache) {
		synctest.Test(t, func(t *testing.T) {
			var waiting atomic.Int64
			slow := &store{Cache: s, get: func(ctx context.Context, key string) ([]byte, bool, error) {
				if strings.HasPrefix(key, "purged ") && waiting.Add(1) == 1 {
					time.Sleep(10 * time.Millisecond)
				}
				return s.Get(ctx, key)
			}}
			o := says("Cache-Control: max-age=100000")
			before := &cache.Transport{Base: o, Store: slow, Name: "n"}
			get(t, before, "/a")
			time.Sleep(time.Second)
			require.NoError(t, before.PurgeAll(t.Context()))

			waiting.Store(0)
			after := &cache.Transport{Base: o, Store: slow, Name: "n"}
			first := make(chan bool)
			go func() { first <- has(t, after, request("GET", "/a")) }()
			time.Sleep(time.Millisecond)
			require.False(t, has(t, after, request("GET", "/a")), "the second request does not overtake the first")
			require.False(t, <-first)
			synctest.Wait()
		})
	})
}

func TestPurgesOfTwoAtOnceAreBothKnown(t *testing.T) {
	// Each reads what is written down, adds its own, and writes: the later has not seen the
	// earlier's, and overwrites it. Or the store loses what was written down.
	for name, lose := range map[string]bool{"overwritten": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := cache.Memory(1 << 20)
				var old []byte
				var marks string
				s := &store{Cache: mem, set: func(ctx context.Context, key string, val []byte, ttl time.Duration) error {
					if strings.HasPrefix(key, "purged ") {
						marks = key
						if old == nil {
							old = val
						}
					}
					return mem.Set(ctx, key, val, ttl)
				}}
				o := says("Cache-Control: max-age=100000")
				one := &cache.Transport{Base: o, Store: s, Name: "n"}
				two := &cache.Transport{Base: o, Store: s, Name: "n"}
				get(t, one, "/a")
				get(t, one, "/b")
				get(t, two, "/b")
				time.Sleep(time.Millisecond)
				require.NoError(t, two.Purge(t.Context(), "/x")) // what is old
				require.NoError(t, one.Purge(t.Context(), "/a"))
				require.NoError(t, mem.Set(t.Context(), marks, old, time.Hour))
				if lose {
					require.NoError(t, mem.Delete(t.Context(), marks))
				}
				time.Sleep(1100 * time.Millisecond)
				get(t, one, "/b") // whose own is missing
				synctest.Wait()
				time.Sleep(1100 * time.Millisecond)
				require.False(t, has(t, two, request("GET", "/a")))
				require.True(t, has(t, two, request("GET", "/b")))
				synctest.Wait()
			})
		})
	}
}

func TestAPurgeThatTheStoreWasNotToldOfIsAnErrorAndCountsHere(t *testing.T) {
	mem := cache.Memory(1 << 20)
	s := &store{Cache: mem}
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: s, Name: "n"}
	get(t, rt, "/a")
	s.set = func(context.Context, string, []byte, time.Duration) error { return io.ErrClosedPipe }
	require.ErrorIs(t, rt.Purge(t.Context(), "/a"), io.ErrClosedPipe)
	require.False(t, has(t, rt, request("GET", "/a")))
}

func TestWhatIsUnderWayWhenItIsPurgedIsNeitherStoredNorJoined(t *testing.T) {
	for name, purge := range map[string]func(*cache.Transport) error{
		"url":    func(c *cache.Transport) error { return c.Purge(context.Background(), "/a") },
		"prefix": func(c *cache.Transport) error { return c.PurgePrefix(context.Background(), "/") },
		"group":  func(c *cache.Transport) error { return c.PurgeGroup(context.Background(), "g") },
		"all":    func(c *cache.Transport) error { return c.PurgeAll(context.Background()) },
		"an unsafe method": func(c *cache.Transport) error {
			res, err := c.RoundTrip(request("POST", "/a"))
			if err == nil {
				err = res.Body.Close()
			}
			return err
		},
		"a group, by an unsafe method": func(c *cache.Transport) error {
			res, err := c.RoundTrip(request("POST", "/b"))
			if err == nil {
				err = res.Body.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := says("Cache-Control: max-age=60", `Cache-Groups: "g"`)
				next := o.serve
				o.serve = func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" {
						w.Header()["cache-group-invalidation"] = []string{`"g"`}
						return
					}
					next(w, r)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Second)
				}
				rt := over(o)
				first := make(chan string)
				go func() { first <- get(t, rt, "/a").body }()
				time.Sleep(10 * time.Millisecond)
				require.NoError(t, purge(rt))
				time.Sleep(10 * time.Millisecond)
				second := get(t, rt, "/a").body
				require.NotEqual(t, <-first, second, "who asks after the purge gets what was made after it")
				time.Sleep(time.Second)
				require.Equal(t, second, get(t, rt, "/a").body)
				synctest.Wait()
			})
		})
	}
}

func TestWhatIsPurgedWhileTheOriginIsAskedIsNotServedInstead(t *testing.T) {
	for name, answer := range map[string]int{"a failure": 503, "it still holds": 304} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				rt := over(nil)
				rt.StaleIfError = time.Hour
				rt.Base = (&origin{serve: func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Etag", `"1"`)
					w.Header().Set("Cache-Control", "max-age=1")
					if n++; n == 2 {
						time.Sleep(10 * time.Millisecond)
						require.NoError(t, rt.PurgeAll(r.Context()))
						w.WriteHeader(answer)
						return
					}
					_, _ = fmt.Fprint(w, "answer ", n)
				}})
				get(t, rt, "/")
				time.Sleep(time.Minute)
				require.NotEqual(t, "answer 1", get(t, rt, "/").body)
				synctest.Wait()
			})
		})
	}
}

func TestManyInvalidationsDoNotLetAnOldAnswerIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		o := &origin{}
		o.serve = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			if r.Method == "GET" {
				n++
				_, _ = fmt.Fprint(w, n)
				time.Sleep(time.Second)
			}
		}
		rt := over(o)
		first := make(chan string)
		go func() { first <- get(t, rt, "/a").body }()
		time.Sleep(time.Millisecond)
		for i := range 5000 {
			do(t, rt, request("POST", fmt.Sprint("/", i)))
			if i == 0 {
				do(t, rt, request("POST", "/a"))
			}
		}
		require.Equal(t, "1", <-first)
		require.Equal(t, "2", get(t, rt, "/a").body, "the table of what has changed is full, and has forgotten /a")
		synctest.Wait()
	})
}
