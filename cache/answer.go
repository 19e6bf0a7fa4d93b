package cache

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
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

// forwarded returns res with a Cache-Status that says why the origin was asked. It
// is res itself, to which its transport may yet add trailers, but with a header of
// its own: who made res may still hold that.
func forwarded(res *http.Response, why string) *http.Response {
	res.Header = maps.Clone(res.Header)
	if res.Header == nil {
		res.Header = make(http.Header)
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	addStatus(res.Header, "fwd="+why)
	return res
}

// answer returns the response to r that e is, and uses e's header up.
func (e *entry) answer(r *http.Request, now time.Time, status string) *http.Response {
	h := e.header
	h["Age"] = []string{seconds(e.ageAt(now))} // RFC 9111 section 5.1
	addStatus(h, status)
	if e.isUnmodified(r) {
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
			delete(h, name) // RFC 9110 section 15.4.5
		}
		return newResponse(r, http.StatusNotModified, h, nil)
	}
	if e.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(e.body))}
	}
	return newResponse(r, e.status, h, e.body)
}

// hit returns the response to r that e is without asking the origin.
func (e *entry) hit(r *http.Request, now time.Time) *http.Response {
	left := e.lifetime - e.ageAt(now).Truncate(time.Second) // so that it adds up with Age
	return e.answer(r, now, "hit; ttl="+seconds(left))
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// notCached is the answer to only-if-cached when nothing is (RFC 9111 section 5.2.1.7).
func notCached(r *http.Request) *http.Response {
	h := http.Header{
		"Content-Type":  {"application/problem+json"},
		"Cache-Control": {"no-store"},
	}
	addStatus(h, "detail=only-if-cached")
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
