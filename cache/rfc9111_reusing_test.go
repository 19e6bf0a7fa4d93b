package cache_test

import (
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// reusing is section 4.
var reusing = []rule{
	{"4", "MUST NOT", "another URI is another response", "", func(c *conversation) {
		c.has()
		c.askedFor("GET /?a")
		c.askedFor("GET /a")
	}},
	{"4", "MUST NOT", "a method that does not allow it gets none that is stored", "", func(c *conversation) {
		c.has()
		c.askedFor("POST /")
		c.askedFor("OPTIONS /")
	}},
	{"4", "MUST NOT", "what is stale is not reused without the origin", "", func(c *conversation) {
		c.has()
		c.later(59)
		c.reused()
		c.later(1)
		c.asked()
	}},
	{"4", "MUST", "Age is written anew on reuse", "", func(c *conversation) {
		c.has("Age: 10")
		c.later(5)
		require.Equal(c, []string{"15"}, c.reused().Header["Age"])
	}},
	{"4", "MUST", "unsafe methods are written through", "", func(c *conversation) {
		c.has()
		for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "FROB"} {
			c.askedFor(m + " /")
		}
	}},
	{"4", "MUST", "of several responses the most recent is used", "", func(c *conversation) {
		c.has()
		c.later(10)
		c.asked("Cache-Control: no-cache")
		require.Equal(c, "answer 2", c.reused().body)
	}},
	{"4", "ours", "what is answered to a HEAD is not stored", "it is a GET without its body", func(c *conversation) {
		c.says(minute)
		c.askedFor("HEAD /")
		c.asked()
		c.reusedFor("HEAD /")
	}},
	{"4.1", "MUST NOT", "a variant is only for requests with the same selecting fields", "", func(c *conversation) {
		c.has("Vary: X-A, X-B")
		c.reused("X-C: other")
		c.asked("X-A: 1")
		c.reused("X-A: 1")
		c.asked("X-A: 1", "X-B: 1")
		c.asked("X-A: 2")
		c.reused()
	}},
	{"4.1", "MUST NOT", "an absent field is not an empty one", "", func(c *conversation) {
		c.has("Vary: X-A")
		c.asked("X-A: ")
	}},
	{"4.1", "MUST NOT", "Vary of anything matches nothing", "", func(c *conversation) {
		c.says(minute, "Vary: *")
		c.asked()
		c.says(minute, "Vary: X-A, *")
		c.asked()
		c.asked()
	}},
	{"4.1", "MAY", "fields are compared without what cannot change their meaning", "", func(c *conversation) {
		c.says(minute, "Vary: Accept-Language")
		c.asked("Accept-Language: de, en")
		c.reused("Accept-Language: de,en")
		c.reused("Accept-Language: de", "Accept-Language: en")
	}},
	{"4.1", "ours", "when Vary changes, the variants of before are gone", "which of two sets of fields selects cannot be told otherwise; 16 variants are kept", func(c *conversation) {
		c.has("Vary: X-A")
		c.says(minute, "Vary: X-B")
		c.asked("X-A: 1")
		c.reused("X-A: 2")
	}},
	{"4.2", "SHOULD", "dates are read whatever their case", "", func(c *conversation) {
		c.isStored("Expires: " + strings.ToUpper(date(time.Minute)))
		c.later(60)
		c.asked()
	}},
	{"4.2", "MUST NOT", "local time does not count", "", func(c *conversation) {
		c.says("Expires: " + strings.Replace(date(time.Minute), "GMT", "+0100", 1))
		c.asked()
		c.asked()
	}},
	{"4.2", "SHOULD", "a date in another zone than GMT is invalid", "", func(c *conversation) {
		c.says("Expires: "+strings.Replace(date(10*time.Hour), "GMT", "EST", 1), `Etag: "1"`)
		c.asked()
		c.asked()
	}},
	{"4.2", "MUST", "a moment that is finer than the clock is taken for an earlier one", "", func(c *conversation) {
		c.wait(700 * time.Millisecond)
		c.says("Expires: "+date(time.Second), `Etag: "1"`)
		c.asked()
		c.wait(time.Second)
		c.asked()
	}},
	{"4.2.1", "MUST", "s-maxage goes before max-age, and that before Expires", "", func(c *conversation) {
		c.says("Cache-Control: max-age=10, s-maxage=30", "Expires: "+date(time.Hour))
		c.asked()
		c.later(29)
		c.reused()
		c.later(1)
		c.says("Cache-Control: max-age=10", "Expires: "+date(time.Hour))
		c.asked()
		c.later(10)
		c.asked()
	}},
	{"4.2.1", "SHOULD", "what contradicts itself is taken the stricter way", "", func(c *conversation) {
		c.says("Cache-Control: max-age=60, no-cache", `Etag: "1"`)
		c.asked()
		c.asked()
	}},
	{"4.2.1", "SHOULD", "freshness that cannot be read is none", "", func(c *conversation) {
		for _, v := range []string{"x", "1.5", "-1", "", "6 0", "0x10", "60;"} {
			c.says("Cache-Control: max-age="+v, "Expires: "+date(time.Hour), `Etag: "1"`)
			c.asked()
			c.asked()
		}
	}},
	{"4.2.1", "ours", "of a directive that is there twice the shorter counts", "the first, or none at all, are what the standard names; this is never longer than the first", func(c *conversation) {
		c.says("Cache-Control: max-age=60", "Cache-Control: max-age=10")
		c.asked()
		c.later(9)
		c.reused()
		c.later(1)
		c.asked()
	}},
	{"4.2.2", "MUST NOT", "nothing is guessed where it is said", "", func(c *conversation) {
		old := "Last-Modified: " + date(-1000*time.Hour)
		for _, line := range []string{"Cache-Control: max-age=0", "Cache-Control: s-maxage=0", "Expires: 0"} {
			c.says(line, old)
			c.asked()
			c.asked()
		}
	}},
	{"4.2.2", "MUST NOT", "nothing is guessed of a status that is not cacheable by default", "", func(c *conversation) {
		for _, status := range []int{201, 302, 307, 403, 500, 503} {
			c.answers(status, "Last-Modified: "+date(-1000*time.Hour))
			c.asked()
			c.asked()
		}
	}},
	{"4.2.2", "ours", "a tenth of the time since the last change is guessed, and a day at most", "the share that the standard names", func(c *conversation) {
		c.says("Last-Modified: " + date(-100*time.Hour))
		c.asked()
		c.later(10*3600 - 1)
		c.reused()
		c.later(1)
		c.says("Last-Modified: " + date(-1000*time.Hour))
		c.asked()
		c.later(24*3600 - 1)
		c.reused()
		c.later(1)
		c.asked()
	}},
	{"4.2.3", "MUST", "the age counts what Age says, the time of the request, and that in store", "", func(c *conversation) {
		c.rt.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			c.wait(4 * time.Second)
			return c.origin.RoundTrip(r)
		})
		c.has("Age: 10")
		c.later(6)
		require.Equal(c, "20", c.reused().Header.Get("Age"))
	}},
	{"4.2.3", "MUST", "the age is that by Date if it is more", "", func(c *conversation) {
		c.has("Age: 10", "Date: "+date(-30*time.Second))
		require.Equal(c, "30", c.reused().Header.Get("Age"))
		c.later(30)
		c.asked()
	}},
	{"4.2.3", "MUST", "a Date that is ahead makes nothing younger", "", func(c *conversation) {
		c.has("Date: " + date(time.Hour))
		require.Equal(c, "0", c.reused().Header.Get("Age"))
		c.later(60)
		c.asked()
	}},
	{"4.2.4", "MUST NOT", "what says so is never served stale", "", func(c *conversation) {
		for _, d := range []string{"no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=60"} {
			c.rt.Base = c.origin
			c.says("Cache-Control: max-age=60, stale-if-error=600, stale-while-revalidate=600, "+d, `Etag: "1"`)
			c.askedFor("GET /" + d[:1] + d[len(d)-3:])
			c.later(60)
			c.fails()
			_, err := c.rt.RoundTrip(request("GET", "/"+d[:1]+d[len(d)-3:], "Cache-Control: max-stale"))
			require.Error(c, err, d)
		}
	}},
	{"4.2.4", "MUST NOT", "nothing is served stale that nobody has allowed", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(503)
		require.Equal(c, 503, c.asked().StatusCode)
		c.fails()
		_, err := c.rt.RoundTrip(request("GET", "/"))
		require.Error(c, err)
	}},
	{"4.2.4", "MAY", "the client, the origin and the operator can allow it", "", func(c *conversation) {
		c.rt.StaleIfError = time.Minute
		c.has()
		c.later(70)
		c.reused("Cache-Control: max-stale=10")
		c.fails()
		require.Equal(c, "answer 1", c.sent("GET /").body)
	}},
	{"4.3.1", "MUST", "the origin is asked by the tag it has given", "", func(c *conversation) {
		for _, tag := range []string{`"1"`, `W/"1"`} {
			c.says("Cache-Control: no-cache", "Etag: "+tag)
			c.asked()
			c.asked()
			require.Equal(c, []string{tag}, c.origin.last().Header["If-None-Match"])
		}
	}},
	{"4.3.1", "SHOULD", "the origin is asked by the date it has given", "", func(c *conversation) {
		at := date(-time.Hour)
		c.says("Cache-Control: no-cache", "Last-Modified: "+at)
		c.asked()
		c.asked()
		require.Equal(c, []string{at}, c.origin.last().Header["If-Modified-Since"])
		require.Empty(c, c.origin.last().Header["If-None-Match"])
	}},
	{"4.3.1", "MUST NOT", "nothing conditional is asked of what has no validator", "", func(c *conversation) {
		c.has()
		c.later(60)
		c.asked()
		require.Empty(c, c.origin.last().Header["If-None-Match"])
		require.Empty(c, c.origin.last().Header["If-Modified-Since"])
	}},
	{"4.3.2", "MUST NOT", "If-Match and If-Unmodified-Since are left to the origin", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.asked(`If-Match: "2"`)
		c.asked("If-Unmodified-Since: " + date(-time.Hour))
	}},
	{"4.3.2", "MUST NOT", "conditions on what is not stored are passed on", "", func(c *conversation) {
		c.says(minute, `Etag: "1"`)
		c.asked(`If-None-Match: "1"`)
		require.Equal(c, `"1"`, c.origin.last().Header.Get("If-None-Match"))
	}},
	{"4.3.2", "MUST NOT", "conditions of a request that the store cannot answer are passed on", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		require.Equal(c, 200, c.askedFor("PUT /", `If-None-Match: "1"`).StatusCode)
		require.Equal(c, `"1"`, c.origin.last().Header.Get("If-None-Match"))
	}},
	{"4.3.2", "SHOULD", "a condition on what is fresh is answered from the store", "", func(c *conversation) {
		c.has(`Etag: "1"`, "Last-Modified: "+date(-time.Hour))
		require.Equal(c, 304, c.reused(`If-None-Match: W/"1"`).StatusCode)
		require.Equal(c, 200, c.reused(`If-None-Match: "2"`, "If-Modified-Since: "+date(0)).StatusCode, "If-None-Match goes before")
		require.Equal(c, 304, c.reused("If-Modified-Since: "+date(-time.Hour)).StatusCode)
		require.Equal(c, 200, c.reused("If-Modified-Since: "+date(-2*time.Hour)).StatusCode)
	}},
	{"4.3.2", "SHOULD", "without Last-Modified the Date is compared", "", func(c *conversation) {
		c.has()
		require.Equal(c, 304, c.reused("If-Modified-Since: "+date(0)).StatusCode)
		require.Equal(c, 200, c.reused("If-Modified-Since: "+date(-time.Second)).StatusCode)
	}},
	{"4.3.2", "MUST", "after a 304 about our tag a client with another gets a 200", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(304, minute, `Etag: "1"`)
		res := c.asked(`If-None-Match: "2"`)
		require.Equal(c, 200, res.StatusCode)
		require.Equal(c, "answer 1", res.body)
	}},
	{"4.3.3", "MUST", "a 304 has what is stored reused", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(304, minute, `Etag: "1"`)
		require.Equal(c, "answer 1", c.asked().body)
		require.Equal(c, "answer 1", c.reused().body)
	}},
	{"4.3.3", "MUST", "a whole response answers, and takes the place of the stored", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.says(minute, `Etag: "2"`)
		require.Equal(c, "answer 2", c.asked().body)
		require.Equal(c, "answer 2", c.reused().body)
	}},
	{"4.3.3", "MAY", "a failure of the origin is passed on, and what is stored stays", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.answers(500)
		require.Equal(c, 500, c.asked("Cache-Control: no-cache").StatusCode)
		require.Equal(c, "answer 1", c.reused().body)
	}},
	{"4.3.4", "MUST NOT", "a 304 with another strong tag updates nothing", "", func(c *conversation) {
		for _, tag := range []string{`"1"`, `W/"2"`} { // a strong one is not a weak one's either
			c.rt = over(c.origin)
			c.says("Cache-Control: no-cache", "Etag: "+tag)
			c.asked()
			c.answers(304, minute, `Etag: "2"`)
			before := c.origin.calls()
			require.Equal(c, 304, c.sent("GET /").StatusCode, "the whole was asked for, without a condition")
			require.Equal(c, before+2, c.origin.calls())
			require.Empty(c, c.origin.last().Header["If-None-Match"])
		}
	}},
	{"4.3.4", "MUST", "a 304 with a weak tag updates what has the same", "", func(c *conversation) {
		c.says("Cache-Control: no-cache", `Etag: W/"1"`)
		c.asked()
		c.answers(304, minute, `Etag: W/"1"`)
		require.Equal(c, "answer 1", c.asked().body)
		c.reused()
	}},
	{"4.3.4", "ours", "a 304 without validators updates what was asked about", "the request named one response, so it can be about no other; origins leave validators out", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(304, minute)
		require.Equal(c, "answer 1", c.asked().body)
		c.reused()
	}},
	{"4.3.5", "SHOULD", "a HEAD that agrees updates what is stored", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.says(minute, `Etag: "1"`, "X-New: 1", "Content-Length: 8")
		c.askedFor("HEAD /")
		res := c.reused()
		require.Equal(c, "answer 1", res.body)
		require.Equal(c, "1", res.Header.Get("X-New"))
	}},
	{"4.3.5", "SHOULD", "a HEAD that does not agree invalidates what is stored", "", func(c *conversation) {
		for _, line := range []string{`Etag: "2"`, "Last-Modified: " + date(-time.Minute), "Content-Length: 9", "Cache-Control: no-store"} {
			c.has(`Etag: "1"`, "Last-Modified: "+date(-time.Hour))
			c.says(minute, line)
			c.askedFor("HEAD /", "Cache-Control: no-cache")
			c.says(minute)
			c.asked()
			require.Empty(c, c.origin.last().Header["If-None-Match"], line)
			c.later(60)
		}
		c.answers(404, minute)
		c.asked()
		c.says(minute)
		c.askedFor("HEAD /", "Cache-Control: no-cache")
		require.Equal(c, 200, c.asked().StatusCode, "what was not there is now")
	}},
	{"4.4", "MUST", "an unsafe method that succeeds invalidates its target", "", func(c *conversation) {
		for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "FROB"} {
			for _, status := range []int{200, 201, 204, 303} {
				c.has()
				c.answers(status)
				c.askedFor(m + " /")
			}
		}
		c.asked()
	}},
	{"4.4", "SHOULD NOT", "an error invalidates nothing", "", func(c *conversation) {
		c.has()
		for _, status := range []int{400, 404, 500} {
			c.answers(status)
			c.askedFor("POST /")
			c.reused()
		}
	}},
	{"4.4", "MAY", "Location and Content-Location are invalidated too", "", func(c *conversation) {
		for _, name := range []string{"Location", "Content-Location"} {
			c.has()
			c.answers(201, name+": /")
			c.askedFor("POST /list")
		}
		c.asked()
	}},
	{"4.4", "MUST NOT", "another origin's URIs are not invalidated", "", func(c *conversation) {
		ask := func(method string) reply {
			r := request(method, "/")
			r.Host = "a.test"
			return do(c.T, c.rt, r)
		}
		c.says(minute)
		ask("GET")
		for _, to := range []string{"http://b.test/", "//b.test/", "http://a.test:8080/", "ftp://a.test/"} {
			c.answers(201, "Location: "+to, "Content-Location: "+to)
			r := request("POST", "/list")
			r.Host = "a.test"
			do(c.T, c.rt, r)
			require.Contains(c, ask("GET").status(), "hit", to)
		}
	}},
	{"4.4", "ours", "what Key tells apart is invalidated apart", "tenants share nothing; Transport.Purge is for all of a URI", func(c *conversation) {
		c.rt.Key.Headers = []string{"X-Tenant"}
		c.has()
		c.askedFor("POST /", "X-Tenant: a")
		c.reused()
		c.askedFor("POST /")
		c.asked()
	}},
}
