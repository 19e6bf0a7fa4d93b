package compose

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
)

// How a body that is not JSON is written as a string.
const (
	encodingText   = "text"
	encodingBase64 = "base64"
)

// subAnswer is what became of a sub-request.
type subAnswer struct {
	json    []byte   // the member of "responses"
	cookies []string // Set-Cookie
	err     error    // what the answer was made of; nil: the routes have answered
}

func newSubAnswer(q *subRequest, res *http.Response, body []byte) subAnswer {
	b := rawjson.AppendString([]byte(`{"id":`), q.ID)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(res.StatusCode), 10)
	b = appendFields(append(b, `,"headers":`...), res.Header)
	if len(body) > 0 {
		b = appendBody(b, res.Header, body)
	}
	return subAnswer{json: append(b, '}'), cookies: res.Header["Set-Cookie"]}
}

// appendFields appends what of h says something about the answer by itself. A cookie that
// scripts may not read is not put where they can.
func appendFields(b []byte, h http.Header) []byte {
	b = append(b, '{')
	n := len(b)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if field.OfConnection(name) || name == "Content-Length" || name == "Set-Cookie" {
			continue
		}
		if len(b) > n {
			b = append(b, ',')
		}
		b = append(rawjson.AppendString(b, name), ':')
		b = rawjson.AppendString(b, strings.Join(h[name], ", "))
	}
	return append(b, '}')
}

func appendBody(b []byte, h http.Header, body []byte) []byte {
	coded := h.Get("Content-Encoding") != ""
	if !coded && isJSON(h.Get("Content-Type")) {
		if text, err := rawjson.Check(body); err == nil {
			return append(append(b, `,"body":`...), text...)
		}
	}
	if !coded && utf8.Valid(body) {
		return rawjson.AppendString(append(b, `,"encoding":"`+encodingText+`","body":`...), string(body))
	}
	b = append(b, `,"encoding":"`+encodingBase64+`","body":"`...)
	return append(base64.StdEncoding.AppendEncode(b, body), '"')
}

var errNoRoom = &gateway.Problem{
	Status: http.StatusBadGateway, Detail: "the answer is too large for a batch", Err: errors.New("compose: a batch's answer is too large"),
}

// failedAnswer is for a sub-request that the routes have not answered.
func failedAnswer(q *subRequest, err error) subAnswer {
	p := gateway.ProblemOf(err)
	body, _ := p.MarshalJSON() // there is nothing in it that cannot be
	res := &http.Response{StatusCode: p.Status, Header: http.Header{"Content-Type": {"application/problem+json"}}}
	a := newSubAnswer(q, res, body)
	a.err = p
	return a
}

var (
	batchBegin = []byte(`{"responses":[`)
	batchEnd   = []byte(`]}`)
)

// write answers with the answers, piece by piece: they are large enough once.
func (b *batch) write(w http.ResponseWriter, answers []subAnswer) {
	h := w.Header()
	size := len(batchBegin) + len(batchEnd) + max(0, len(answers)-1)
	for i := range answers {
		size += len(answers[i].json)
		for _, cookie := range answers[i].cookies {
			h.Add("Set-Cookie", cookie)
		}
	}
	h["Content-Type"] = contentJSON[:1:1]
	h["Cache-Control"] = noStore[:1:1] // the parts' own is in the answer
	h["Content-Length"] = itoa(size)
	_, _ = w.Write(batchBegin) // a client that has left is no failure of ours
	for i := range answers {
		if i > 0 {
			_, _ = w.Write([]byte{','})
		}
		_, _ = w.Write(answers[i].json)
	}
	_, _ = w.Write(batchEnd)
}
