package cache

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway"
)

// Why a request was forwarded: the fwd parameter of Cache-Status (RFC 9211 section 2.2).
const (
	fwdBypass   = "bypass"
	fwdMethod   = "method"
	fwdURIMiss  = "uri-miss"
	fwdVaryMiss = "vary-miss"
	fwdRequest  = "request"
	fwdStale    = "stale"
)

// statusName is who writes the Cache-Status. Caches before us come first in the field.
const statusName = "gateway; "

func addStatus(h http.Header, status string) {
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), statusName+status)
}

// part is how an entry answers a request: with what status, and which of its bytes.
type part struct {
	status int
	span   span
	ranged bool // it is a part, or there is none such: Content-Range says so
}

// partFor returns it.
func (e *entry) partFor(r *http.Request) part {
	all := part{status: e.status, span: span{0, int64(len(e.body))}}
	if e.isUnmodified(r) {
		return part{status: http.StatusNotModified}
	}
	s, asked := e.rangeOf(r)
	switch {
	case !asked:
		return all
	case s.empty(all.span.to):
		return part{status: http.StatusRequestedRangeNotSatisfiable, span: span{all.span.to, all.span.to}, ranged: true}
	}
	return part{http.StatusPartialContent, s, true}
}

// head puts into h what goes with p of e.
func (e *entry) head(h http.Header, p part) {
	e.writeTo(h)
	switch p.status {
	case http.StatusNotModified: // RFC 9110 section 15.4.5
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Length"} {
			delete(h, name)
		}
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		if p.status != http.StatusPartialContent {
			maps.DeleteFunc(h, func(name string, _ []string) bool { return isOfWhole(name) })
		}
		h["Content-Range"] = []string{p.span.contentRange(int64(len(e.body)))}
		h["Content-Length"] = []string{strconv.FormatInt(p.span.to-p.span.from, 10)}
	}
}

// isOfWhole reports whether a field is about what is stored, and not about the news that it
// has no such part: that has neither a type nor a lifetime, in which it might be kept.
func isOfWhole(name string) bool {
	switch name {
	case "Cache-Control", "Expires", "Etag", "Last-Modified", "Content-Type", "Content-Encoding", "Content-Language":
		return true
	}
	return strings.HasSuffix(name, "-Cache-Control")
}

// response returns the reply as one, to r.
func (a *reply) response(r *http.Request, now time.Time) *http.Response {
	switch {
	case a.res != nil:
		return forwarded(a.res, a.status())
	case a.body != nil:
		return a.arriving(r, now)
	}
	p := a.entry.partFor(r)
	h := make(http.Header, len(a.entry.header)+4)
	a.entry.head(h, p)
	a.mark(h, now)
	return newResponse(r, p.status, h.Clone(), a.entry.body[p.span.from:p.span.to])
}

// mark tells the age, and what the cache did.
func (a *reply) mark(h http.Header, now time.Time) {
	stamp := a.entry.at(now)
	h["Age"] = stamp.age[:1:1] // RFC 9111 section 5.1
	if a.hit && h["Cache-Status"] == nil {
		h["Cache-Status"] = stamp.status[:1:1]
		return
	}
	if a.hit {
		h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), stamp.status[0])
		return
	}
	addStatus(h, a.status())
}

// arriving returns a reply whose body is yet to come.
func (a *reply) arriving(r *http.Request, now time.Time) *http.Response {
	h := a.header
	if h == nil {
		h = a.entry.header.Clone()
		h["Age"] = []string{seconds(a.entry.ageAt(now))}
		if a.length >= 0 && a.entry.status != http.StatusNoContent {
			h["Content-Length"] = []string{strconv.FormatInt(a.length, 10)}
		}
	}
	addStatus(h, a.status())
	res := newResponse(r, a.entry.status, h, nil)
	res.ContentLength, res.Body, res.Trailer = a.length, a.body, a.body.trailer
	if a.length < 0 {
		res.TransferEncoding = []string{"chunked"}
	}
	return res
}

// forwarded returns res with a Cache-Status that says why the origin was asked. It
// is res itself, to which its transport may yet add trailers, but with a header of
// its own: who made res may still hold that.
func forwarded(res *http.Response, status string) *http.Response {
	res.Header = maps.Clone(res.Header)
	if res.Header == nil {
		res.Header = make(http.Header)
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	addStatus(res.Header, status)
	return res
}

// notCached is the answer to only-if-cached when nothing is (RFC 9111 section 5.2.1.7).
func notCached(r *http.Request) *http.Response {
	h := http.Header{
		"Content-Type":  {"application/problem+json"},
		"Cache-Control": {"no-store"},
	}
	body, err := json.Marshal(&gateway.Problem{Status: http.StatusGatewayTimeout, Detail: "the response is not cached"})
	if err != nil {
		body = nil // a document of two strings and a number
	}
	return newResponse(r, http.StatusGatewayTimeout, h, body)
}

func newResponse(r *http.Request, status int, h http.Header, body []byte) *http.Response {
	res := &http.Response{
		Status:     strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        h,
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
		Request:       r,
	}
	if r.Method != http.MethodHead && len(body) > 0 {
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	return res
}
