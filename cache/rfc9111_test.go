package cache_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// minute is what most say.
const minute = "Cache-Control: max-age=60"

var rfc9111 = standard{"RFC9111", "HTTP caching, as a shared cache", slices.Concat(storing, reusing, fields)}

// storing is sections 1 to 3.
var storing = []rule{
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
}
