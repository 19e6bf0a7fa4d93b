package compose_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
)

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func post(h http.Handler, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return serve(h, r)
}

type request struct {
	Name  string          `json:"name"`
	Count int8            `json:"count"`
	At    time.Time       `json:"at"`
	Inner struct{ N int } `json:"inner"`
}

func echo(_ *http.Request, in request) (request, error) { return in, nil }

func TestABodyThatCannotBeTakenSaysWhy(t *testing.T) {
	h := compose.Handler(echo).Limit(1 << 10)
	for _, c := range []struct {
		contentType, body string
		status            int
		detail            string
	}{
		{"application/json", `{"name":"tea","count":2}`, 200, ""},
		{"application/json; charset=UTF-8", `{"nobody":"knows this"}`, 200, ""},
		{"application/merge-patch+json", `{}`, 200, ""},
		{"", `{}`, 415, "the body has to be application/json"},
		{"text/plain", `{}`, 415, "the body has to be application/json"},
		{"application/jsonp", `{}`, 415, "the body has to be application/json"},
		{"application/json; charset=utf-16", `{}`, 415, "the body has to be application/json"},
		{"application/json", ``, 400, "the body is not JSON, at byte 0: there is nothing"},
		{"application/json", `{"name":"a","name":"b"}`, 400, "the body is not JSON, at byte 18: a name is given twice"},
		{"application/json", `{} {}`, 400, "the body is not JSON, at byte 3: something follows the value"},
		{"application/json", `[]`, 400, "the body cannot be of the kind array"},
		{"application/json", `{"count":"two"}`, 400, `the member \"count\" cannot be of the kind string`},
		{"application/json", `{"count":128}`, 400, `the member \"count\" cannot be of the kind number`},
		{"application/json", `{"inner":{"N":[]}}`, 400, `the member \"inner.N\" cannot be of the kind array`},
		{"application/json", `{"at":"yesterday"}`, 400, "the body is not what it should be"},
		{"application/json", `{"name":"` + strings.Repeat("a", 1<<10) + `"}`, 413, ""},
	} {
		w := post(h, c.contentType, c.body)
		assert.Equal(t, c.status, w.Code, "%s %s", c.contentType, c.body)
		assert.Contains(t, w.Body.String(), c.detail, "%s %s", c.contentType, c.body)
		if c.status == 415 {
			assert.Equal(t, "application/json", w.Header().Get("Accept"))
		}
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	assert.Equal(t, 415, serve(h, r).Code)
}

func TestABodyOfUnknownLengthIsLimitedAndOneThatBreaksOffIsTheClientsFault(t *testing.T) {
	h := gateway.New()
	h.Handle("/", compose.Handler(echo))
	for _, c := range []struct {
		body   io.Reader
		status int
	}{
		{strings.NewReader(`{"name":"` + strings.Repeat("a", 1<<20)), 413},
		{io.MultiReader(strings.NewReader(`{`), diesMidway{}), 400},
	} {
		r := httptest.NewRequest("POST", "/", struct{ io.Reader }{c.body})
		r.Header.Set("Content-Type", "application/json")
		assert.Equal(t, int64(-1), r.ContentLength)
		assert.Equal(t, c.status, serve(h, r).Code)
	}
	r := httptest.NewRequest("POST", "/", diesMidway{})
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = 2 << 20
	assert.Equal(t, 413, serve(h, r).Code, "what is said to be too large is not read")
}

func TestStrictRefusesWhatNobodyKnowsAndRepeatsLittleOfIt(t *testing.T) {
	h := compose.Handler(echo).Strict()
	w := post(h, "application/json", `{"title":"tea"}`)
	assert.Equal(t, 400, w.Code)
	assert.Contains(t, w.Body.String(), `the body has a member that is not known: \"title\"`)
	w = post(h, "application/json", `{"`+strings.Repeat("x", 100_000)+`":1}`)
	assert.Equal(t, 400, w.Code)
	assert.Less(t, w.Body.Len(), 500)
}

type created struct {
	ID int `json:"id"`
}

func (c created) SetHeader(h http.Header) { h.Set("Location", fmt.Sprintf("/v1/things/%d", c.ID)) }

func TestTheValueBecomesTheAnswer(t *testing.T) {
	w := post(compose.Handler(func(*http.Request, request) (created, error) { return created{7}, nil }).Status(201), "application/json", `{}`)
	assert.Equal(t, 201, w.Code)
	assert.Equal(t, `{"id":7}`, w.Body.String())
	assert.Equal(t, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"8"}, "Location": {"/v1/things/7"}}, w.Header())

	nothing := func(*http.Request, compose.None) (compose.None, error) { return compose.None{}, nil }
	w = post(compose.Handler(nothing), "text/plain", "nobody reads this")
	assert.Equal(t, 204, w.Code)
	assert.Empty(t, w.Body.String())
	assert.Empty(t, w.Header())
	assert.Equal(t, 202, post(compose.Handler(nothing).Status(202), "", "").Code)
}

func TestAnErrorBecomesAProblem(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{&gateway.Problem{Status: 409, Detail: "it is sold out"}, 409},
		{fmt.Errorf("stock: %w", &gateway.Problem{Status: 409, Detail: "it is sold out"}), 409},
		{errors.New("db-7: connection refused"), 500},
	} {
		w := serve(compose.Handler(func(*http.Request, compose.None) (created, error) { return created{7}, c.err }), httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, c.status, w.Code)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		assert.Empty(t, w.Header().Get("Location"))
		assert.NotContains(t, w.Body.String(), "db-7")
	}
	w := serve(compose.Handler(func(*http.Request, compose.None) (float64, error) { return math.NaN(), nil }), httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 500, w.Code, "a value that has no JSON")
}

func TestTheFunctionSeesPathValuesAndPrincipal(t *testing.T) {
	gw := gateway.New()
	gw.Handle("GET /v1/{id}", compose.Handler(func(r *http.Request, _ compose.None) ([]string, error) {
		return []string{r.PathValue("id"), subject(r)}, nil
	}))
	assert.Equal(t, `["a/b","ada"]`, get(t, gw, "/v1/a%2Fb", claims{"sub": "ada"}).Body.String())
}

func TestAHandlerThatCannotBeIsRefusedWhenItIsMade(t *testing.T) {
	assert.Panics(t, func() { compose.Handler[compose.None, compose.None](nil) })
	assert.Panics(t, func() { compose.Handler(echo).Limit(0) })
	for _, code := range []int{0, 100, 199, 204, 205, 300, 404} {
		assert.Panics(t, func() { compose.Handler(echo).Status(code) }, code)
	}
}

func subject(r *http.Request) string {
	sub, _ := exchange.From(r.Context()).Principal.Claim("sub")
	return sub
}
