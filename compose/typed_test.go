package compose_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

type article struct {
	ID    int64  `json:"id"`
	Title string `json:"title"`
}

// asked is a backend that remembers what it was asked last.
type asked struct {
	status int
	answer string
	last   *http.Request
	body   string
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.last = r
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		a.body = string(b)
	}
	return response(max(a.status, 200), a.answer), nil
}

func TestFetchDecodesWithEveryDigit(t *testing.T) {
	v, err := compose.Fetch[article](t.Context(), answering(200, ` {"id":9007199254740993,"title":"Tea","more":{}} `), "/v1/articles/{id}", 7)
	require.NoError(t, err)
	assert.Equal(t, article{9007199254740993, "Tea"}, v)

	raw, err := compose.Fetch[json.RawMessage](t.Context(), answering(200, `{"b":1.0,"a":1e400}`), "/")
	require.NoError(t, err)
	assert.Equal(t, `{"b":1.0,"a":1e400}`, string(raw))

	_, err = compose.Do[compose.None](t.Context(), answering(204, ""), compose.Request{Method: "DELETE", Path: "/v1/articles/7"})
	assert.NoError(t, err, "nothing is read where nothing is wanted")
}

type sku string

func TestAValueStaysInItsPlace(t *testing.T) {
	b := &asked{answer: `{}`}
	for _, c := range []struct {
		path   string
		values []any
		want   string
	}{
		{"/v1/{id}", []any{"a/b"}, "/v1/a%2Fb"},
		{"/v1/{id}", []any{"a?x=1#y"}, "/v1/a%3Fx=1%23y"},
		{"/v1/{id}", []any{"é;x"}, "/v1/%C3%A9%3Bx"},
		{"/v1/{a}-{b}.json", []any{sku("x"), uint8(3)}, "/v1/x-3.json"},
		{"/v1?q={q}&n={n}", []any{"a&b=c d", int64(-7)}, "/v1?q=a%26b%3Dc+d&n=-7"},
		{"/v1?q={q}&all={all}&x={x}", []any{"", true, 0.25}, "/v1?q=&all=true&x=0.25"},
		{"/v1/{when}", []any{time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}, "/v1/2026-11-22T00:00:00Z"},
		{"/v1/{ip}", []any{netip.MustParseAddr("192.0.2.1")}, "/v1/192.0.2.1"},
		{"/v1/{{id}", nil, ""},
		{"", nil, "/"},
	} {
		b.last = nil
		_, err := compose.Fetch[article](t.Context(), b, c.path, c.values...)
		if c.want == "" {
			assert.Equal(t, 500, gateway.ProblemOf(err).Status, c.path)
			continue
		}
		require.NoError(t, err, c.path)
		assert.Equal(t, c.want, b.last.URL.RequestURI())
	}
}

func TestAValueThatCannotStandInAPathIsTheClientsFault(t *testing.T) {
	for _, v := range []string{"..", ".", "", "../admin", "a/../b", "%2e%2e", "%252e%252e", "..;x", `a\b`, "a\x00", "a\r\nb"} {
		b := &asked{answer: `{}`}
		_, err := compose.Fetch[article](t.Context(), b, "/v1/users/{id}/orders", v)
		assert.Equal(t, 400, gateway.ProblemOf(err).Status, "%q", v)
		assert.Nil(t, b.last, "%q was sent", v)
	}
	_, err := compose.Fetch[article](t.Context(), answering(200, `{}`), "/v1/users/{id}", "")
	assert.Equal(t, 400, gateway.ProblemOf(err).Status, "all users are not a user")
}

func TestARequestThatCannotBeIsAnErrorOfTheProgram(t *testing.T) {
	var nobody *netip.Addr
	for name, q := range map[string]compose.Request{
		"too few values":      {Path: "/{a}/{b}", Values: []any{1}},
		"too many":            {Path: "/{a}", Values: []any{1, 2}},
		"an absolute URL":     {Path: "http://elsewhere/"},
		"another host":        {Path: "//elsewhere/x"},
		"a struct":            {Path: "/{a}", Values: []any{article{}}},
		"nil":                 {Path: "/{a}", Values: []any{nil}},
		"a nil pointer":       {Path: "/{a}", Values: []any{nobody}},
		"a method of two":     {Method: "GET /"},
		"a body that is none": {Body: func() {}},
		"a field's name":      {Header: http.Header{"A b": {"x"}}},
	} {
		b := &asked{answer: `{}`}
		_, err := compose.Do[article](t.Context(), b, q)
		assert.Equal(t, 500, gateway.ProblemOf(err).Status, name)
		assert.Nil(t, b.last, name)
	}
	_, err := compose.Do[article](t.Context(), &asked{}, compose.Request{Header: http.Header{"X-Tenant": {"a\r\nX-Admin: 1"}}})
	assert.Equal(t, 400, gateway.ProblemOf(err).Status)
}

func TestDoSendsJSONThatCanBeHadAgain(t *testing.T) {
	b := &asked{answer: `{}`}
	_, err := compose.Do[article](t.Context(), b, compose.Request{
		Path: "/v1/articles", Body: article{7, "Tea"}, Header: http.Header{"idempotency-key": {"k"}},
	})
	require.NoError(t, err)
	assert.Equal(t, "POST", b.last.Method)
	assert.Equal(t, `{"id":7,"title":"Tea"}`, b.body)
	assert.Equal(t, int64(len(b.body)), b.last.ContentLength)
	assert.Equal(t, http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "Idempotency-Key": {"k"}}, b.last.Header)
	again, err := b.last.GetBody()
	require.NoError(t, err)
	text, _ := io.ReadAll(again)
	assert.Equal(t, b.body, string(text))
}

func TestBackendsLearnWhichRequestItIsAndNothingOfWhoAsks(t *testing.T) {
	b := &asked{answer: `{}`}
	h := compose.Handler(func(r *http.Request, _ compose.None) (article, error) {
		return compose.Fetch[article](r.Context(), b, "/")
	})
	r, _ := http.NewRequest("GET", "/", nil)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r.Header = http.Header{"X-Request-Id": {"r-1"}, "Traceparent": {parent}, "Tracestate": {"a=b"}, "Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Other": {"x"}}
	assert.Equal(t, 200, serve(h, r).Code)
	assert.Equal(t, http.Header{"Accept": {"application/json"}, "X-Request-Id": {"r-1"}, "Traceparent": {parent}, "Tracestate": {"a=b"}}, b.last.Header)

	// Without a Handler around it: from what the middlewares have put into the context.
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 1})
	ctx := exchange.With(t.Context(), &exchange.State{RequestID: "r-2"})
	_, err := compose.Fetch[article](trace.ContextWithSpanContext(ctx, span), b, "/")
	require.NoError(t, err)
	assert.Equal(t, "r-2", b.last.Header.Get("X-Request-Id"))
	assert.Equal(t, "00-01000000000000000000000000000000-0200000000000000-01", b.last.Header.Get("Traceparent"))
}

func TestAnErrorHasTheStatusOfAPartAndTheBackendsInside(t *testing.T) {
	for status, want := range map[int]int{400: 502, 401: 502, 402: 502, 403: 403, 404: 404, 409: 502, 410: 410, 429: 503, 500: 502, 503: 503, 504: 504, 302: 502} {
		_, err := compose.Fetch[article](t.Context(), answering(status, `{"secret":"db-7"}`), "/")
		p := gateway.ProblemOf(err)
		assert.Equal(t, want, p.Status, status)
		inner, ok := errors.AsType[*compose.StatusError](err)
		require.True(t, ok)
		assert.Equal(t, status, inner.Status)
		assert.Equal(t, `{"secret":"db-7"}`, string(inner.Body))
		shown, _ := json.Marshal(p)
		assert.NotContains(t, string(shown), "db-7")
	}
}

func TestAnAnswerThatIsNotWhatItShouldBe(t *testing.T) {
	large := strings.Repeat(" ", 1<<20) + "{}"
	for name, from := range map[string]http.RoundTripper{
		"empty":          answering(200, ""),
		"no content":     answering(204, ""),
		"HTML":           answering(200, "<html>"),
		"a name twice":   answering(200, `{"id":1,"id":2}`),
		"another type":   answering(200, `{"id":"seven"}`),
		"too many bits":  answering(200, `{"id":9223372036854775808}`),
		"large":          answering(200, large),
		"large, unsaid":  unsized(large),
		"broken off":     roundTrip(func(*http.Request) (*http.Response, error) { return broken(`{"id":1`), nil }),
		"no connection":  roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("10.0.0.7:80: refused") }),
		"deep":           answering(200, strings.Repeat("[", 10_000)),
		"garbage packed": packed("gzip", "no gzip"),
	} {
		_, err := compose.Fetch[article](t.Context(), from, "/")
		p := gateway.ProblemOf(err)
		assert.Equal(t, 502, p.Status, name)
		assert.Contains(t, []gateway.Fault{gateway.UpstreamBody, gateway.UpstreamHeader}, p.Fault, name)
		assert.Empty(t, p.Detail, name)
	}
}

func unsized(body string) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(200, body)
		res.ContentLength = -1
		return res, nil
	})
}

func packed(coding, body string) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(200, body)
		res.Header.Set("Content-Encoding", coding)
		return res, nil
	})
}

// broken is a response whose backend dies in the middle of the body.
func broken(begin string) *http.Response {
	res := response(200, "")
	res.ContentLength = 100
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader(begin), diesMidway{}))
	return res
}

// diesMidway is a body whose sender is gone.
type diesMidway struct{}

func (diesMidway) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestATimeoutIsAGatewayTimeoutAndNothingIsBegunTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answers: map[string]string{"/": `{}`}, delay: map[string]time.Duration{"/": time.Minute}}
		start := time.Now()
		_, err := compose.Do[article](t.Context(), b, compose.Request{Timeout: time.Second})
		assert.Equal(t, 504, gateway.ProblemOf(err).Status)
		assert.Equal(t, time.Second, time.Since(start))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = compose.Fetch[article](ctx, b, "/")
		assert.Equal(t, gateway.ClientCanceled, gateway.ProblemOf(err).Fault)
		assert.Len(t, b.asked(), 1)
	})
}

func TestFetchOverTheOwnGatewayEnds(t *testing.T) {
	gw := gateway.New()
	var calls int
	gw.Handle("/loop", compose.Handler(func(r *http.Request, _ compose.None) (article, error) {
		calls++
		return compose.Fetch[article](r.Context(), gateway.Local(gw), "/loop")
	}))
	w := get(t, gw, "/loop", nil)
	assert.Equal(t, 502, w.Code)
	assert.Equal(t, 9, calls)
}

func FuzzAValueStaysOneSegmentAndOneParameter(f *testing.F) {
	for _, s := range []string{"7", "a/b", "..", "%2e%2e%2f", "a?b#c", "a&b=c", "é\xff", "a;b", "", "+ "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := &asked{answer: `{}`}
		_, err := compose.Fetch[article](t.Context(), b, "/v1/{id}/x?a={a}&b=1", s, s)
		if err != nil {
			if p := gateway.ProblemOf(err); p.Status != 400 || b.last != nil {
				t.Fatalf("%q: %v", s, p)
			}
			return
		}
		u, err := url.ParseRequestURI(b.last.URL.RequestURI())
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		segments := strings.Split(u.EscapedPath(), "/")
		if id, _ := url.PathUnescape(segments[2]); len(segments) != 4 || id != s {
			t.Fatalf("%q became %q", s, u.EscapedPath())
		}
		if q := u.Query(); len(q) != 2 || q.Get("a") != s || q.Get("b") != "1" {
			t.Fatalf("%q became %q", s, u.RawQuery)
		}
	})
}
