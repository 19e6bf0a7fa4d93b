package cache_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// minute is what most say.
const minute = "Cache-Control: max-age=60"

var rfc9111 = standard{"RFC9111", "HTTP caching, as a shared cache", []rule{
	{"1.2.2", "MUST", "seconds that are more than can be counted are 2^31", "", func(c *conversation) {
		c.says("Cache-Control: max-age=99999999999999999999999")
		c.asked()
		require.Equal(c, "gateway; hit; ttl=2147483648", c.reused().status())
	}},
	{"3", "MUST NOT", "a method that is not understood is not stored", "", func(c *conversation) {
		c.says(minute)
		c.askedFor("FROB /")
		c.askedFor("POST /")
		c.asked()
	}},
	{"3", "MUST NOT", "a status that is not final is not stored", "", func(c *conversation) {
		c.rt.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := answer(199, minute)(r)
			return res, err
		})
		c.sent("GET /")
		c.rt.Base = c.origin
		c.asked()
	}},
	{"3", "MUST NOT", "a 206 or 304 is not stored as something else", "", func(c *conversation) {
		c.answers(206, minute, "Content-Range: bytes 0-3/9")
		c.asked()
		c.answers(304, minute)
		c.asked()
		c.says(minute)
		c.asked()
	}},
	{"3", "MUST NOT", "no-store is not stored", "", func(c *conversation) { c.isNotStored("Cache-Control: no-store, max-age=60", `Etag: "1"`) }},
	{"3", "MUST NOT", "private is not stored by a shared cache", "", func(c *conversation) { c.isNotStored("Cache-Control: private, max-age=60", `Etag: "1"`) }},
	{"3", "MUST NOT", "what is not cacheable by its status and says nothing is not stored", "", func(c *conversation) {
		c.answers(302, "Location: /b", "Last-Modified: "+date(-10*time.Hour))
		c.asked()
		c.asked()
	}},
	{"3", "MAY", "any final status with explicit freshness is stored", "", func(c *conversation) {
		for _, status := range []int{200, 302, 403, 404, 500, 599} {
			c.answers(status, minute)
			path := "GET /" + strconv.Itoa(status)
			c.askedFor(path)
			require.Equal(c, status, c.reusedFor(path).StatusCode)
		}
	}},
	{"3", "MAY", "s-maxage, Expires and public each allow it", "", func(c *conversation) {
		for i, line := range []string{"Cache-Control: s-maxage=60", "Expires: " + date(time.Minute), "Cache-Control: public\nLast-Modified: " + date(-10*time.Hour)} {
			path := "GET /" + string(rune('a'+i))
			c.answers(302, strings.Split(line, "\n")...)
			c.askedFor(path)
			c.reusedFor(path)
		}
	}},
	{"3", "ours", "Set-Cookie is not stored", "a cookie is for one client, whatever Cache-Control says; Transport.ShareCookies is for who means it", func(c *conversation) {
		c.isNotStored("Cache-Control: public, max-age=60", "Set-Cookie: a=1")
		c.rt = over(c.origin)
		c.rt.ShareCookies = true
		c.isStored("Cache-Control: public, max-age=60", "Set-Cookie: a=1")
	}},
	{"3", "ours", "a body that only the end of the connection delimits is not stored", "a half looks whole", func(c *conversation) {
		c.rt.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := raw(fresh, io.NopCloser(strings.NewReader("half")), -1)(r)
			res.Close = true
			return res, err
		})
		c.sent("GET /")
		c.rt.Base = c.origin
		c.asked()
	}},
	{"3.1", "MUST", "all fields are stored, also those not understood", "", func(c *conversation) {
		c.has("X-Unknown: a", "X-Unknown: b", "Content-Language: de")
		res := c.reused()
		require.Equal(c, []string{"a", "b"}, res.Header["X-Unknown"])
		require.Equal(c, "de", res.Header.Get("Content-Language"))
	}},
	{"3.1", "MUST NOT", "fields of the connection and those it lists are not stored", "", func(c *conversation) {
		c.has("Connection: X-Listed", "X-Listed: a", "Keep-Alive: timeout=1", "Upgrade: h2c")
		res := c.reused()
		for _, name := range []string{"Connection", "X-Listed", "Keep-Alive", "Upgrade"} {
			require.Empty(c, res.Header[name], name)
		}
	}},
	{"3.1", "MUST NOT", "fields that speak to a proxy are not stored", "", func(c *conversation) {
		names := []string{"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization"}
		c.has(names[0]+": Basic", names[1]+": a=b", names[2]+": x")
		res := c.reused()
		for _, name := range names {
			require.Empty(c, res.Header[name], name)
		}
	}},
	{"3.1", "MUST NOT", "trailers are not combined with the header", "", func(c *conversation) {
		c.rt.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := raw(fresh, nil, -1)(r)
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), atEnd(func() { res.Trailer = http.Header{"X-End": {"1"}} })))
			return res, err
		})
		for range 2 {
			require.Empty(c, c.sent("GET /").Header["X-End"])
		}
	}},
	{"3.2", "MUST", "an update adds fields and replaces those that are there", "", func(c *conversation) {
		c.has(`Etag: "1"`, "X-A: old", "X-A: older", "X-B: kept")
		c.later(60)
		c.answers(304, minute, `Etag: "1"`, "X-A: new", "X-C: added")
		c.asked()
		res := c.reused()
		require.Equal(c, []string{"new"}, res.Header["X-A"])
		require.Equal(c, "kept", res.Header.Get("X-B"))
		require.Equal(c, "added", res.Header.Get("X-C"))
	}},
	{"3.2", "MUST NOT", "an update does not touch what the stored body depends on", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		c.later(60)
		c.answers(304, minute, `Etag: "1"`, "Content-Encoding: gzip", "Content-Length: 99", "Content-Range: bytes 0-1/2", "Connection: X-Listed", "X-Listed: a")
		c.asked()
		res := c.reused()
		require.Equal(c, "8", res.Header.Get("Content-Length"))
		for _, name := range []string{"Content-Encoding", "Content-Range", "X-Listed", "Connection"} {
			require.Empty(c, res.Header[name], name)
		}
	}},
	{"3.3", "MUST NOT", "what is not complete does not answer a request", "", func(c *conversation) {
		c.rt.Base = raw(fresh, io.NopCloser(strings.NewReader("half")), 8)
		_, err := readAll(c.T, c.rt, request("GET", "/"))
		require.Error(c, err, "nor does it look complete to the client")
		c.rt.Base = c.origin
		c.asked()
	}},
	{"3.3", "MUST NOT", "a part is marked as one", "", func(c *conversation) {
		c.has()
		res := c.reused("Range: bytes=0-1")
		require.Equal(c, 206, res.StatusCode)
		require.Equal(c, "bytes 0-1/8", res.Header.Get("Content-Range"))
	}},
	{"3.4", "ours", "parts are not stored, and so never combined", "a part that is taken for the whole is the worst a cache can do, and the whole comes with the first request for it", func(c *conversation) {
		c.answers(206, minute, `Etag: "1"`, "Content-Range: bytes 0-3/9")
		c.asked("Range: bytes=0-3")
		c.asked("Range: bytes=0-3")
	}},
	{"3.5", "MUST NOT", "a response to Authorization is for nobody else", "", func(c *conversation) {
		c.says(minute)
		c.asked("Authorization: Basic YTpi")
		c.asked()
	}},
	{"3.5", "MAY", "public, s-maxage and must-revalidate allow that", "", func(c *conversation) {
		for i, d := range []string{"public", "s-maxage=60", "must-revalidate"} {
			path := "GET /" + string(rune('a'+i))
			c.says("Cache-Control: max-age=60, " + d)
			c.askedFor(path, "Authorization: Basic YTpi")
			c.reusedFor(path)
		}
	}},
	{"3.5", "ours", "Cookie, client certificates and principals count as credentials too", "responses are by them as they are by Authorization; must-revalidate does not open those to cookies", func(c *conversation) {
		c.says("Cache-Control: max-age=60, must-revalidate")
		c.asked("Cookie: a=1")
		c.asked()
	}},
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
}}
