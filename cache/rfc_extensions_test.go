package cache_test

import (
	"fmt"
	"strings"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var rfc5861 = standard{"RFC5861", "stale content", []rule{
	{"3", "SHOULD", "stale-while-revalidate: it is served, and the origin asked behind", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, stale-while-revalidate=30")
		c.asked()
		c.later(89)
		require.Equal(c, "answer 1", c.sent("GET /").body)
		synctest.Wait()
		require.Equal(c, 2, c.origin.calls())
		require.Equal(c, "answer 2", c.reused().body)
	}},
	{"3", "SHOULD NOT", "stale-while-revalidate: not for longer", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, stale-while-revalidate=30")
		c.asked()
		c.later(91)
		require.Equal(c, "answer 2", c.asked().body)
	}},
	{"3", "ours", "stale-while-revalidate: not for a client that asks for what is newer", "RFC 9111 section 5.2.1 speaks of what is stale as well", func(c *conversation) {
		for _, d := range []string{"no-cache", "max-age=0", "min-fresh=1"} {
			c.rt = over(c.origin)
			c.says("Cache-Control: max-age=60, stale-while-revalidate=30")
			c.asked()
			c.later(61)
			res := c.asked("Cache-Control: " + d)
			require.NotContains(c, res.status(), "hit", d)
		}
	}},
	{"4", "MAY", "stale-if-error: it is served when the origin fails", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, stale-if-error=30")
		c.asked()
		c.later(89)
		for _, status := range []int{500, 502, 503, 504} {
			c.answers(status)
			res := c.asked()
			require.Equal(c, 200, res.StatusCode)
			require.Equal(c, "89", res.Header.Get("Age"))
			require.Contains(c, c.askedFor("HEAD /").status(), "stale-if-error")
		}
		c.answers(404)
		require.Equal(c, 404, c.asked().StatusCode, "which is no failure")
	}},
	{"4", "SHOULD NOT", "stale-if-error: not for longer", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, stale-if-error=30")
		c.asked()
		c.later(91)
		c.answers(500)
		require.Equal(c, 500, c.asked().StatusCode)
	}},
	{"4", "ours", "stale-if-error: what a request says of it is not read", "it is the origin and the operator who know how wrong an old answer is", func(c *conversation) {
		c.has()
		c.later(61)
		c.answers(500)
		require.Equal(c, 500, c.asked("Cache-Control: stale-if-error=600").StatusCode)
	}},
}}

var rfc9211 = standard{"RFC9211", "Cache-Status", []rule{
	{"2", "MUST", "the members of caches before come first", "", func(c *conversation) {
		c.has("Cache-Status: origin; hit")
		require.Equal(c, "origin; hit, gateway; hit; ttl=60", c.reused().status())
	}},
	{"2", "SHOULD", "a response made here says so as well", "", func(c *conversation) {
		require.Equal(c, "gateway; detail=only-if-cached", c.reused("Cache-Control: only-if-cached").status())
	}},
	{"2.1", "MUST NOT", "hit and fwd are not there together", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		require.NotContains(c, c.reused().status(), "fwd")
		require.NotContains(c, c.asked("Cache-Control: no-cache").status(), "hit")
	}},
	{"2.2", "SHOULD", "fwd names the reason", "", func(c *conversation) {
		c.says(minute, "Vary: X-A")
		require.Equal(c, "gateway; fwd=uri-miss", c.asked().status())
		require.Equal(c, "gateway; fwd=vary-miss", c.asked("X-A: 1").status())
		require.Equal(c, "gateway; fwd=request", c.asked("Cache-Control: no-cache").status())
		require.Equal(c, "gateway; fwd=bypass", c.asked("Cache-Control: no-store").status())
		c.later(60)
		require.Equal(c, "gateway; fwd=stale", c.asked("Cache-Control: no-cache").status())
		require.Equal(c, "gateway; fwd=method", c.askedFor("POST /").status())
	}},
	{"2.3", "SHOULD", "fwd-status is that of the validation", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(304, minute, `Etag: "1"`)
		require.Equal(c, "gateway; fwd=stale; fwd-status=304", c.asked().status())
	}},
	{"2.4", "MUST", "ttl is what is left, and negative once it is stale", "", func(c *conversation) {
		c.has()
		c.later(20)
		require.Equal(c, "gateway; hit; ttl=40", c.reused().status())
		c.later(50)
		require.Equal(c, "gateway; hit; ttl=-10", c.reused("Cache-Control: max-stale").status())
	}},
	{"2.6", "SHOULD", "collapsed is said of those who waited", "", func(c *conversation) {
		c.rt.Base = slow(minute)
		var collapsed int
		for _, a := range crowd(c.rt, 3, plainGet) {
			collapsed += strings.Count(a.cache, "gateway; fwd=uri-miss; collapsed")
		}
		require.Equal(c, 2, collapsed)
	}},
}}

var rfc9213 = standard{"RFC9213", "targeted cache control", []rule{
	{"2.1", "MUST", "it is read as a structured field, with its types", "", func(c *conversation) {
		for _, v := range []string{`max-age="60"`, "max-age=60.0", "max-age=-1", "max-age"} {
			c.says("CDN-Cache-Control: "+v, minute, `Etag: "1"`)
			c.asked()
			c.asked()
		}
		c.isStored("CDN-Cache-Control: max-age=60;x=1, other=(a b)")
	}},
	{"2.1", "MUST", "one that is empty or cannot be read is ignored", "", func(c *conversation) {
		for _, v := range []string{"", "max-age=60,", "max-age==1", "no-store;", `"no-store"`, "NO-STORE"} {
			c.rt = over(c.origin)
			c.isStored("CDN-Cache-Control: "+v, minute)
		}
	}},
	{"2.2", "MUST", "Cache-Control and Expires do not count beside it", "", func(c *conversation) {
		c.isStored("CDN-Cache-Control: max-age=60", "Cache-Control: no-store, private", "Expires: 0")
		c.later(59)
		c.reused()
		c.later(1)
		c.isNotStored("CDN-Cache-Control: no-store", minute)
	}},
	{"2.2", "MUST", "of several the first in our list counts", "", func(c *conversation) {
		c.rt.Targeted = []string{"Gateway-Cache-Control", "CDN-Cache-Control"}
		c.isNotStored("CDN-Cache-Control: max-age=60", "Gateway-Cache-Control: no-store")
		c.isStored("CDN-Cache-Control: no-store", "Gateway-Cache-Control: max-age=60")
	}},
	{"2.2", "SHOULD NOT", "a field that is not in our list means nothing", "", func(c *conversation) {
		c.isStored(minute, "Other-Cache-Control: no-store")
	}},
	{"2.2", "MUST", "its directives have the meaning that they have in Cache-Control", "", func(c *conversation) {
		c.says("CDN-Cache-Control: max-age=60, must-revalidate", `Etag: "1"`)
		c.asked()
		c.later(60)
		c.asked("Cache-Control: max-stale")
		c.later(60)
		c.says("CDN-Cache-Control: max-age=60, stale-if-error=60")
		c.asked()
		c.later(61)
		c.answers(500)
		require.Equal(c, 200, c.asked().StatusCode)
	}},
}}

var rfc9875 = standard{"RFC9875", "cache groups", []rule{
	{"2", "MUST", "32 groups with names of 32 characters are known, and more", "", func(c *conversation) {
		var groups []string
		for i := range 100 {
			groups = append(groups, fmt.Sprintf("%q", fmt.Sprintf("%0100d", i)))
		}
		c.has("Cache-Groups: " + strings.Join(groups, ", "))
		c.says("Cache-Group-Invalidation: " + groups[99])
		c.askedFor("POST /b")
		c.asked()
	}},
	{"2", "MUST", "parameters and members that are no strings mean nothing", "", func(c *conversation) {
		c.has(`Cache-Groups: "a";x=1, b, 1, ("c")`)
		for _, v := range []string{`"b"`, `"1"`, `"c"`} {
			c.says("Cache-Group-Invalidation: " + v)
			c.askedFor("POST /b")
			c.reused()
		}
	}},
	{"2.1", "MUST", "groups are the same to the letter", "", func(c *conversation) {
		c.has(`Cache-Groups: "a", "b"`)
		c.says(`Cache-Group-Invalidation: "A", "ab"`)
		c.askedFor("POST /b")
		c.reused()
		c.says(`Cache-Group-Invalidation: "x", "b"`)
		c.askedFor("POST /b")
		c.asked()
	}},
	{"2.1", "MUST", "groups are of one origin", "", func(c *conversation) {
		at := func(method, host string) reply {
			r := request(method, "/")
			r.Host = host
			return do(c.T, c.rt, r)
		}
		c.says(minute, `Cache-Groups: "a"`)
		at("GET", "a.test")
		at("GET", "b.test")
		c.says(`Cache-Group-Invalidation: "a"`)
		at("POST", "b.test")
		require.Contains(c, at("GET", "a.test").status(), "hit")
		require.NotContains(c, at("GET", "b.test").status(), "hit")
		require.NoError(c, c.rt.PurgeGroup(c.Context(), "a"), "the operator means all")
		require.NotContains(c, at("GET", "a.test").status(), "hit")
	}},
	{"3", "MUST", "an invalidation by a safe method is ignored", "", func(c *conversation) {
		c.has(`Cache-Groups: "a"`)
		c.says(minute, `Cache-Group-Invalidation: "a"`)
		c.askedFor("GET /b")
		c.askedFor("HEAD /c")
		c.askedFor("OPTIONS /d")
		c.reused()
	}},
	{"3", "SHOULD", "an invalidation by an unsafe method is heeded, and not its opposite", "", func(c *conversation) {
		c.has(`Cache-Groups: "a"`)
		c.answers(400, `Cache-Group-Invalidation: "a"`)
		c.askedFor("POST /b")
		c.reused()
		c.answers(204, `Cache-Group-Invalidation: "a"`)
		c.askedFor("POST /b")
		c.asked()
	}},
}}
