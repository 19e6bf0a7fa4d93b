package cache_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

var rfc9110 = standard{"RFC9110", "conditions, ranges and what else of HTTP a cache answers by itself", []rule{
	{"6.6.1", "MUST", "what has no Date gets that of its arrival", "", func(c *conversation) {
		for _, lines := range [][]string{{minute}, {minute, "Date: yesterday"}} {
			c.rt = over(c.origin)
			c.says(lines...)
			c.asked()
			at := date(0)
			c.later(5)
			require.Equal(c, at, c.reused().Header.Get("Date"))
		}
	}},
	{"13.1.2", "MUST", "If-None-Match compares weakly, in lists too", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		for _, v := range []string{`"1"`, `W/"1"`, `"0", "1"`, `W/"0,", W/"1"`, "*"} {
			require.Equal(c, 304, c.reused("If-None-Match: "+v).StatusCode, v)
		}
		for _, v := range []string{`"2"`, "1", `"1`, `w/"1"`, ""} {
			require.Equal(c, 200, c.reused("If-None-Match: "+v).StatusCode, v)
		}
	}},
	{"13.1.3", "MUST", "If-Modified-Since is ignored if it is no single date", "", func(c *conversation) {
		c.has("Last-Modified: " + date(-time.Hour))
		require.Equal(c, 200, c.reused("If-Modified-Since: x").StatusCode)
		require.Equal(c, 200, c.reused("If-Modified-Since: "+date(0), "If-Modified-Since: "+date(0)).StatusCode)
		require.Equal(c, 304, c.reused("If-Modified-Since: "+date(0)).StatusCode)
	}},
	{"13.1.3", "MUST", "If-Modified-Since is ignored beside If-None-Match", "", func(c *conversation) {
		c.has(`Etag: "1"`, "Last-Modified: "+date(-time.Hour))
		require.Equal(c, 200, c.reused(`If-None-Match: "2"`, "If-Modified-Since: "+date(0)).StatusCode)
	}},
	{"13.1.5", "MUST", "If-Range that does not hold has the Range ignored", "", func(c *conversation) {
		modified := date(-time.Hour)
		c.has(`Etag: "1"`, "Last-Modified: "+modified)
		for v, want := range map[string]int{`"1"`: 206, `"2"`: 200, `W/"1"`: 200, modified: 206, date(0): 200, "x": 200} {
			require.Equal(c, want, c.reused("Range: bytes=0-1", "If-Range: "+v).StatusCode, v)
		}
	}},
	{"13.1.5", "MUST NOT", "a weak validator does not meet If-Range", "", func(c *conversation) {
		modified := date(0) // in the second in which it was made
		c.has(`Etag: W/"1"`, "Last-Modified: "+modified)
		require.Equal(c, 200, c.reused("Range: bytes=0-1", `If-Range: W/"1"`).StatusCode)
		require.Equal(c, 200, c.reused("Range: bytes=0-1", "If-Range: "+modified).StatusCode)
	}},
	{"13.1.5", "MUST", "If-Range without Range is ignored", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		require.Equal(c, 200, c.reused(`If-Range: "2"`).StatusCode)
	}},
	{"13.2.2", "MUST", "a condition that is met goes before a Range", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		require.Equal(c, 304, c.reused(`If-None-Match: "1"`, "Range: bytes=0-1").StatusCode)
		require.Equal(c, 206, c.reused(`If-None-Match: "2"`, "Range: bytes=0-1").StatusCode)
	}},
	{"13.2.1", "MUST", "conditions are ignored for what is no success", "", func(c *conversation) {
		c.answers(404, minute, `Etag: "1"`)
		c.asked()
		require.Equal(c, 404, c.reused(`If-None-Match: "1"`, "Range: bytes=0-1").StatusCode)
	}},
	{"14.1.2", "MUST", "parts are counted right, however large their numbers", "", func(c *conversation) {
		c.body = "0123456789"
		c.has()
		for v, want := range map[string]string{
			"0-0": "0", "2-4": "234", "7-": "789", "-3": "789", "-99": "0123456789", "0-9999999999999999999999": "0123456789",
			"-9999999999999999999999": "0123456789", "9-9": "9", "5-9999": "56789",
		} {
			res := c.reused("Range: bytes=" + v)
			require.Equal(c, 206, res.StatusCode, v)
			require.Equal(c, want, res.body, v)
			require.Equal(c, fmt.Sprint(len(want)), res.Header.Get("Content-Length"))
		}
	}},
	{"14.1.2", "MUST", "a range that is none is ignored", "", func(c *conversation) {
		c.has()
		for _, v := range []string{"bytes=", "bytes=-", "bytes=x-", "bytes=3-1", "bytes=+1-2", "bytes 0-1", "bytes=0-1x", "bytes=--1"} {
			require.Equal(c, 200, c.reused("Range: "+v).StatusCode, v)
		}
	}},
	{"14.2", "MUST", "a range in a unit that is not known is ignored", "", func(c *conversation) {
		c.has()
		require.Equal(c, 200, c.reused("Range: lines=0-1").StatusCode)
	}},
	{"14.2", "MUST", "a range is ignored for another method than GET", "", func(c *conversation) {
		c.has()
		res := c.reusedFor("HEAD /", "Range: bytes=0-1")
		require.Equal(c, 200, res.StatusCode)
		require.Equal(c, "8", res.Header.Get("Content-Length"))
	}},
	{"14.2", "ours", "of several ranges the whole is given", "a client may ask for thousands that overlap", func(c *conversation) {
		c.has()
		require.Equal(c, 200, c.reused("Range: bytes=0-1,3-4").StatusCode)
	}},
	{"15.3.7", "MUST", "a 206 has the fields that the 200 had", "", func(c *conversation) {
		lines := []string{`Etag: "1"`, "Vary: X-A", "Content-Location: /b", "Expires: " + date(time.Minute)}
		c.has(lines...)
		res := c.reused("Range: bytes=0-1")
		for _, line := range append(lines, minute) {
			name, value, _ := strings.Cut(line, ": ")
			require.Equal(c, value, res.Header.Get(name))
		}
		require.NotEmpty(c, res.Header.Get("Date"))
	}},
	{"15.3.7", "ours", "a 206 has all fields also where If-Range was met", "the client may have the other parts from somebody else; nothing is lost but some bytes", func(c *conversation) {
		c.has(`Etag: "1"`, "Content-Type: text/plain")
		require.Equal(c, "text/plain", c.reused("Range: bytes=0-1", `If-Range: "1"`).Header.Get("Content-Type"))
	}},
	{"15.4.5", "MUST", "a 304 has the fields that the 200 would have, and no body", "", func(c *conversation) {
		lines := []string{`Etag: "1"`, "Vary: X-A", "Content-Location: /b", "Expires: " + date(time.Minute)}
		c.has(append(lines, "Content-Type: text/plain")...)
		res := c.reused(`If-None-Match: "1"`)
		for _, line := range append(lines, minute) {
			name, value, _ := strings.Cut(line, ": ")
			require.Equal(c, value, res.Header.Get(name))
		}
		require.NotEmpty(c, res.Header.Get("Date"))
		require.Empty(c, res.Header["Content-Type"])
		require.Empty(c, res.body)
	}},
	{"15.5.17", "SHOULD", "a part that does not exist is a 416 that says the length, and that nobody keeps", "", func(c *conversation) {
		c.has(`Etag: "1"`)
		for _, v := range []string{"8-", "9-10", "-0", "9999999999999999999999-"} {
			res := c.reused("Range: bytes=" + v)
			require.Equal(c, 416, res.StatusCode, v)
			require.Equal(c, "bytes */8", res.Header.Get("Content-Range"))
			require.Empty(c, res.Header["Cache-Control"])
			require.Empty(c, res.Header["Etag"])
		}
	}},
	{"9.3.2", "MUST", "a HEAD gets what a GET would, without a body", "", func(c *conversation) {
		c.has("X-A: 1")
		res := c.reusedFor("HEAD /")
		require.Equal(c, "8", res.Header.Get("Content-Length"))
		require.Equal(c, "1", res.Header.Get("X-A"))
		require.Empty(c, res.body)
	}},
	{"9.3.1", "ours", "a GET with a body is passed on, and nothing is stored of it", "its meaning is unknown, so that it could poison what others get", func(c *conversation) {
		r := request("GET", "/")
		r.Body, r.ContentLength = http.NoBody, 1
		c.says(minute)
		do(c.T, c.rt, r)
		c.asked()
	}},
}}
