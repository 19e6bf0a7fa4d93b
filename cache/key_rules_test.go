package cache_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func TestQueryRules(t *testing.T) {
	for _, c := range []struct {
		name string
		key  cache.Key
		a, b string
		same bool
	}{
		{"without rules the order counts", cache.Key{}, "/?a=1&b=2", "/?b=2&a=1", false},
		{"without rules all count", cache.Key{}, "/?a=1&utm=2", "/?a=1", false},
		{"ignored", cache.Key{IgnoreQuery: []string{"utm"}}, "/?a=1&utm=2", "/?a=1", true},
		{"ignored, first", cache.Key{IgnoreQuery: []string{"utm"}}, "/?utm=2&a=1", "/?a=1", true},
		{"ignored, all", cache.Key{IgnoreQuery: []string{"utm"}}, "/?utm=2", "/", true},
		{"ignored, twice", cache.Key{IgnoreQuery: []string{"utm"}}, "/?utm=2&a&utm", "/?a", true},
		{"ignored, encoded", cache.Key{IgnoreQuery: []string{"utm"}}, "/?%75tm=2&a", "/?a", true},
		{"ignored, no longer name", cache.Key{IgnoreQuery: []string{"utm"}}, "/?utm_x=2", "/", false},
		{"ignored, the others' order counts", cache.Key{IgnoreQuery: []string{"utm"}}, "/?utm&a&b", "/?b&a", false},
		{"ignored by prefix", cache.Key{IgnoreQuery: []string{"utm_*", "x"}}, "/?utm_source=2&x=&utm_=3&a", "/?a", true},
		{"ignored altogether", cache.Key{IgnoreQuery: []string{"*"}}, "/?a=1&b", "/", true},
		{"sorted", cache.Key{SortQuery: true}, "/?b=2&a=1", "/?a=1&b=2", true},
		{"sorted, those of one name are not", cache.Key{SortQuery: true}, "/?a=2&b&a=1", "/?a=1&b&a=2", false},
		{"sorted, those of one name keep their order", cache.Key{SortQuery: true}, "/?b&a=2&a=1", "/?a=2&b&a=1", true},
		{"sorted, an encoded name is one", cache.Key{SortQuery: true}, "/?%61=1&a=2", "/?a=2&%61=1", false},
		{"sorted, empty names", cache.Key{SortQuery: true}, "/?=1&=2", "/?=2&=1", false},
		{"sorted and ignored", cache.Key{SortQuery: true, IgnoreQuery: []string{"u"}}, "/?b&u=1&a", "/?a&b", true},
		{"no parameter is not nothing", cache.Key{SortQuery: true}, "/?", "/", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: cache.Memory(1 << 20), Key: c.key}
			get(t, rt, c.a)
			require.Equal(t, c.same, has(t, rt, request("GET", c.b)))
			require.True(t, has(t, rt, request("GET", c.a)))
			require.NoError(t, rt.Purge(t.Context(), c.b))
			require.Equal(t, !c.same, has(t, rt, request("GET", c.a)), "a purge goes by the same rules")
		})
	}
}

func TestTheOriginSeesTheWholeQuery(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := &cache.Transport{Base: o, Store: cache.Memory(1 << 20), Key: cache.Key{IgnoreQuery: []string{"utm"}, SortQuery: true}}
	get(t, rt, "/?b=1&utm=2&a=3")
	require.Equal(t, "b=1&utm=2&a=3", o.last().URL.RawQuery)
}

func TestKeyHeaders(t *testing.T) {
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: cache.Memory(1 << 20), Key: cache.Key{Headers: []string{"x-lang"}}}
	get(t, rt, "/", "X-Lang: de")
	require.True(t, has(t, rt, request("GET", "/", "X-Lang: de")))
	for _, lines := range [][]string{{}, {"X-Lang: "}, {"X-Lang: DE"}, {"X-Lang: de "}, {"X-Lang: de", "X-Lang: de"}} {
		require.False(t, has(t, rt, request("GET", "/", lines...)), "%q", lines)
	}
}

// expectation is what becomes of a request in TestObserveAndExplainAgree.
type expectation struct {
	name    string
	origin  []string // fields of what the origin says
	before  []string // fields of the request before this one; nil: there was none
	wait    time.Duration
	request *http.Request
	outcome cache.Outcome
	reason  string
	judged  bool // the origin's answer has given the reason, which could not be known before
}

func expectations() []expectation {
	const fresh, soon = "Cache-Control: max-age=60", "Cache-Control: max-age=1"
	plain := []string{}
	return []expectation{
		{name: "nothing stored", origin: []string{fresh}, request: request("GET", "/"), outcome: cache.Miss, reason: "uri-miss"},
		{name: "hit", origin: []string{fresh}, before: plain, request: request("GET", "/"), outcome: cache.Hit},
		{name: "HEAD hit", origin: []string{fresh}, before: plain, request: request("HEAD", "/"), outcome: cache.Hit},
		{name: "another variant", origin: []string{fresh, "Vary: Accept"}, before: []string{"Accept: a"}, request: request("GET", "/", "Accept: b"), outcome: cache.Miss, reason: "vary-miss"},
		{name: "stale", origin: []string{soon}, before: plain, wait: time.Minute, request: request("GET", "/"), outcome: cache.Miss, reason: "stale"},
		{name: "revalidated", origin: []string{soon, `Etag: "1"`}, before: plain, wait: time.Minute, request: request("GET", "/"), outcome: cache.Revalidated, reason: "stale"},
		{name: "HEAD of what is stale", origin: []string{soon, `Etag: "1"`}, before: plain, wait: time.Minute, request: request("HEAD", "/"), outcome: cache.Miss, reason: "stale"},
		{name: "stale while revalidate", origin: []string{soon + ", stale-while-revalidate=600"}, before: plain, wait: time.Minute, request: request("GET", "/"), outcome: cache.Stale, reason: "stale-while-revalidate"},
		{name: "max-stale", origin: []string{soon}, before: plain, wait: time.Minute, request: request("GET", "/", "Cache-Control: max-stale"), outcome: cache.Stale},
		{name: "no-cache", origin: []string{fresh}, before: plain, request: request("GET", "/", "Cache-Control: no-cache"), outcome: cache.Miss, reason: "request"},
		{name: "Pragma", origin: []string{fresh, `Etag: "1"`}, before: plain, request: request("GET", "/", "Pragma: no-cache"), outcome: cache.Revalidated, reason: "request"},
		{name: "only-if-cached", request: request("GET", "/", "Cache-Control: only-if-cached"), outcome: cache.Miss, reason: "only-if-cached"},
		{name: "only-if-cached, stale", origin: []string{soon}, before: plain, wait: time.Minute, request: request("GET", "/", "Cache-Control: only-if-cached"), outcome: cache.Miss, reason: "only-if-cached"},
		{name: "only-if-cached, hit", origin: []string{fresh}, before: plain, request: request("GET", "/", "Cache-Control: only-if-cached"), outcome: cache.Hit},
		{name: "only-if-cached is for GET", origin: []string{fresh}, before: plain, request: request("OPTIONS", "/", "Cache-Control: only-if-cached"), outcome: cache.Bypass, reason: "method"},
		{name: "not stored", origin: []string{"Cache-Control: no-store"}, request: request("GET", "/"), outcome: cache.Miss, reason: "no-store", judged: true},
		{name: "private", origin: []string{"Cache-Control: private"}, request: request("GET", "/"), outcome: cache.Miss, reason: "private", judged: true},
		{name: "cookie", origin: []string{fresh, "Set-Cookie: a=b"}, request: request("GET", "/"), outcome: cache.Miss, reason: "set-cookie", judged: true},
		{name: "credentials", origin: []string{fresh}, request: request("GET", "/", "Cookie: a=b"), outcome: cache.Miss, reason: "credentials", judged: true},
		{name: "POST", request: request("POST", "/"), outcome: cache.Bypass, reason: "method"},
		{name: "OPTIONS", request: request("OPTIONS", "/"), outcome: cache.Bypass, reason: "method"},
		{name: "no-store of the client's", request: request("GET", "/", "Cache-Control: no-store"), outcome: cache.Bypass, reason: "no-store"},
		{name: "If-Match", request: request("GET", "/", `If-Match: "1"`), outcome: cache.Bypass, reason: "if-match"},
		{name: "events", request: request("GET", "/", "Accept: text/event-stream"), outcome: cache.Bypass, reason: "stream"},
		{name: "override", request: request("GET", "/", "X-Http-Method-Override: DELETE"), outcome: cache.Bypass, reason: "x-http-method-override"},
	}
}

func TestObserveAndExplainAgree(t *testing.T) {
	for _, c := range expectations() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen []cache.Result
				o := says(c.origin...)
				next := o.serve
				o.serve = func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("If-None-Match") != "" {
						w.WriteHeader(304)
						return
					}
					next(w, r)
				}
				rt := over(o)
				rt.Observe = func(_ *http.Request, r cache.Result) { seen = append(seen, r) }
				if c.before != nil {
					get(t, rt, "/", c.before...)
				}
				time.Sleep(c.wait)
				calls := o.calls()
				x := rt.Explain(c.request)
				require.Equal(t, calls, o.calls())
				require.Equal(t, x.Result, rt.Explain(c.request).Result, "asking changes nothing")
				seen = nil
				do(t, rt, c.request)
				synctest.Wait()

				require.Len(t, seen, 1)
				require.Equal(t, c.outcome, seen[0].Outcome)
				require.Equal(t, c.reason, seen[0].Reason)
				require.Equal(t, c.outcome, x.Outcome)
				if !c.judged {
					require.Equal(t, c.reason, x.Reason)
				}
				require.Equal(t, "/", x.Key)
			})
		})
	}
}

func TestPurgedIsAMissToExplainToo(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60"))
	get(t, rt, "/")
	require.Equal(t, cache.Hit, rt.Explain(request("GET", "/")).Outcome)
	require.NoError(t, rt.PurgeAll(t.Context()))
	x := rt.Explain(request("GET", "/"))
	require.Equal(t, cache.Miss, x.Outcome)
	require.False(t, x.Stored)
	require.Equal(t, "miss /: uri-miss", x.String())
}

func TestLookingForPurgesInAStoreThatHangsTakesNoLongerThanALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &cache.Transport{Base: says("Cache-Control: no-store"), Name: "n", Store: &store{
			get: func(context.Context, string) ([]byte, bool, error) {
				time.Sleep(time.Minute)
				return nil, false, nil
			},
		}}
		for range 3 {
			start := time.Now()
			require.Equal(t, 200, get(t, rt, "/").StatusCode)
			require.Equal(t, 50*time.Millisecond, time.Since(start))
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Hour)
	})
}
