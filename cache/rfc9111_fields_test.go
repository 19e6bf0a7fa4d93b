package cache_test

import (
	"io"
	"time"

	"github.com/stretchr/testify/require"
)

// fields is section 5.
var fields = []rule{
	{"5.1", "MUST", "of Age the first member counts, and what is no number is ignored", "", func(c *conversation) {
		for age, want := range map[string]string{"7, 50": "7", "x": "0", "-7": "0", "7.5": "0", "": "0", "99999999999": ""} {
			c.rt = over(c.origin)
			c.says("Cache-Control: max-age=60", "Age: "+age)
			c.asked()
			if want == "" { // older than can be counted
				c.asked()
				continue
			}
			require.Equal(c, want, c.reused().Header.Get("Age"), age)
		}
	}},
	{"5.2", "MUST", "directives are read whatever their case, as tokens or quoted", "", func(c *conversation) {
		c.isStored(`cache-control: MAX-AGE="60"`)
		c.later(60)
		c.isNotStored("Cache-Control: Max-Age=60, NO-Store")
	}},
	{"5.2", "MUST", "directives are passed through", "", func(c *conversation) {
		const line = "Cache-Control: max-age=60, x-unknown=1"
		c.isStored(line)
		require.Equal(c, "max-age=60, x-unknown=1", c.reused().Header.Get("Cache-Control"))
		c.asked("Cache-Control: no-cache, x-mine=1")
		require.Equal(c, "no-cache, x-mine=1", c.origin.last().Header.Get("Cache-Control"))
	}},
	{"5.2.1.1", "SHOULD", "max-age: nothing older", "", func(c *conversation) {
		c.has()
		c.later(10)
		c.reused("Cache-Control: max-age=10")
		c.asked("Cache-Control: max-age=9")
	}},
	{"5.2.1.2", "SHOULD", "max-stale: as stale as that, or however", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(70)
		c.reused("Cache-Control: max-stale=10")
		c.reused("Cache-Control: max-stale")
		c.asked("Cache-Control: max-stale=9")
	}},
	{"5.2.1.3", "SHOULD", "min-fresh: fresh for that long", "", func(c *conversation) {
		c.has()
		c.later(10)
		c.reused("Cache-Control: min-fresh=50")
		c.asked("Cache-Control: min-fresh=51")
	}},
	{"5.2.1.4", "MUST NOT", "no-cache: not without validation", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.asked("Cache-Control: no-cache")
		require.Equal(c, `"1"`, c.origin.last().Header.Get("If-None-Match"))
	}},
	{"5.2.1.5", "MUST NOT", "no-store: what it brings is not stored", "", func(c *conversation) {
		c.says(minute)
		c.asked("Cache-Control: no-store")
		c.asked()
	}},
	{"5.2.1.7", "SHOULD", "only-if-cached: what is stored, or 504", "", func(c *conversation) {
		require.Equal(c, 504, c.reused("Cache-Control: only-if-cached").StatusCode)
		c.has()
		require.Equal(c, 200, c.reused("Cache-Control: only-if-cached").StatusCode)
		c.later(60)
		require.Equal(c, 504, c.reused("Cache-Control: only-if-cached").StatusCode)
	}},
	{"5.2.2.1", "MUST", "max-age: stale after that", "", func(c *conversation) {
		c.has()
		c.later(59)
		c.reused()
		c.later(1)
		c.asked()
	}},
	{"5.2.2.2", "MUST NOT", "must-revalidate: once stale, never without validation", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, must-revalidate", `Etag: "1"`)
		c.asked()
		c.later(60)
		c.asked("Cache-Control: max-stale")
	}},
	{"5.2.2.2", "MUST", "must-revalidate: an error when the origin cannot be reached", "", func(c *conversation) {
		c.rt.StaleIfError = time.Hour
		c.says("Cache-Control: max-age=60, must-revalidate", `Etag: "1"`)
		c.asked()
		c.later(60)
		c.fails()
		_, err := c.rt.RoundTrip(request("GET", "/"))
		require.ErrorIs(c, err, io.ErrUnexpectedEOF)
	}},
	{"5.2.2.3", "SHOULD", "must-understand: no-store does not count for a status that is understood", "", func(c *conversation) {
		c.isStored("Cache-Control: max-age=60, must-understand, no-store")
	}},
	{"5.2.2.3", "MUST NOT", "must-understand: a status that is not understood is not stored", "", func(c *conversation) {
		c.answers(599, "Cache-Control: max-age=60, must-understand")
		c.asked()
		c.asked()
	}},
	{"5.2.2.4", "MUST NOT", "no-cache: not without a successful validation", "", func(c *conversation) {
		c.says("Cache-Control: no-cache, max-age=60, stale-if-error=60", `Etag: "1"`)
		c.asked()
		c.asked("Cache-Control: max-stale")
		c.fails()
		_, err := c.rt.RoundTrip(request("GET", "/"))
		require.Error(c, err)
	}},
	{"5.2.2.4", "MUST NOT", "no-cache with names: not these fields", "", func(c *conversation) {
		c.says(`Cache-Control: max-age=60, no-cache="x-a, X-B"`, "X-A: 1", "X-B: 2", "X-C: 3")
		require.Equal(c, "1", c.asked().Header.Get("X-A"))
		res := c.reused()
		require.Empty(c, res.Header["X-A"])
		require.Empty(c, res.Header["X-B"])
		require.Equal(c, "3", res.Header.Get("X-C"))
	}},
	{"5.2.2.5", "MUST NOT", "no-store: nothing of it is stored", "", func(c *conversation) {
		c.isNotStored("Cache-Control: no-store", `Etag: "1"`, "Expires: "+date(time.Hour))
	}},
	{"5.2.2.6", "MUST NOT", "no-transform: nothing is changed in the content, nor without it", "", func(c *conversation) {
		c.body = "\x1f\x8b as it is"
		c.has("Content-Encoding: gzip", "Content-Type: text/plain")
		res := c.reused()
		require.Equal(c, c.body, res.body)
		require.Equal(c, "gzip", res.Header.Get("Content-Encoding"))
	}},
	{"5.2.2.7", "MUST NOT", "private: nothing of it is stored by a shared cache", "", func(c *conversation) {
		c.isNotStored("Cache-Control: private, public, s-maxage=60", `Etag: "1"`)
	}},
	{"5.2.2.7", "MUST NOT", "private with names: these fields are not stored", "", func(c *conversation) {
		c.says(`Cache-Control: max-age=60, private="Set-Cookie, X-A"`, "Set-Cookie: a=1", "X-A: 1")
		require.Equal(c, "a=1", c.asked().Header.Get("Set-Cookie"))
		res := c.reused()
		require.Empty(c, res.Header["Set-Cookie"])
		require.Empty(c, res.Header["X-A"])
	}},
	{"5.2.2.8", "MUST NOT", "proxy-revalidate: once stale, never without validation", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, proxy-revalidate", `Etag: "1"`)
		c.asked()
		c.later(60)
		c.asked("Cache-Control: max-stale")
	}},
	{"5.2.2.9", "MAY", "public: stored although it would not be", "", func(c *conversation) {
		c.says("Cache-Control: public, max-age=60")
		c.asked("Authorization: Basic YTpi")
		c.reused()
	}},
	{"5.2.2.10", "MUST", "s-maxage: goes before the others, and is never served stale", "", func(c *conversation) {
		c.says("Cache-Control: s-maxage=60, max-age=1", "Expires: 0", `Etag: "1"`)
		c.asked()
		c.later(59)
		c.reused()
		c.later(1)
		c.asked("Cache-Control: max-stale")
	}},
	{"5.2.3", "MUST", "directives that are not known are ignored", "", func(c *conversation) {
		c.isStored(`Cache-Control: max-age=60, x-a, x-b=1, x-c="no-store, private", community="UCI"`)
	}},
	{"5.2.3", "ours", "a quote that is astray or escaped is taken for no-store", "two parsers read it differently, and what one of them sees may be private", func(c *conversation) {
		c.isNotStored(`Cache-Control: max-age=60, x-a="b\", private"`)
		c.isNotStored(`Cache-Control: max-age=60, x-a="b`)
	}},
	{"5.3", "MUST", "an Expires that is no date is in the past", "", func(c *conversation) {
		for _, v := range []string{"0", "-1", "tomorrow", "Thu, 99 Foo 2030 00:00:00 GMT", ""} {
			c.says("Expires: "+v, "Last-Modified: "+date(-1000*time.Hour))
			c.asked()
			c.asked()
		}
	}},
	{"5.3", "MUST", "Expires is ignored where max-age or s-maxage is", "", func(c *conversation) {
		for _, d := range []string{"max-age=60", "s-maxage=60"} {
			c.isStored("Cache-Control: "+d, "Expires: 0")
			c.later(60)
		}
		c.says("Cache-Control: max-age=0", "Expires: "+date(time.Hour))
		c.asked()
		c.asked()
	}},
	{"5.4", "SHOULD", "Pragma no-cache counts where there is no Cache-Control", "", func(c *conversation) {
		c.has()
		c.asked("Pragma: no-cache")
		c.reused("Pragma: no-cache", "Cache-Control: max-age=60")
	}},
	{"5.4", "MUST NOT", "Pragma in a response means nothing", "", func(c *conversation) { c.isStored(minute, "Pragma: no-cache") }},
}
