package compose_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saying answers with a header, whose names and values alternate.
func saying(fields ...string) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(200, `{}`)
		for i := 0; i < len(fields); i += 2 {
			res.Header.Add(fields[i], fields[i+1])
		}
		return res, nil
	})
}

func TestServerTimingSaysHowLongEachPartTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		b.delay["/x"] = 1500 * time.Microsecond
		parts := []compose.Part{
			compose.Get("profile", b, "/1"),
			compose.Get("after", b, "/2?n={profile.n}"),
			compose.Get("bad name;dur=9,\"ü\"", b, "/x").Optional(),
			compose.Get("skipped", b, "/3?x={claim:x}").SkipMissing().Hide(),
		}
		h := compose.Must(compose.Config{Parts: parts, ServerTiming: true})
		w := get(t, h, "/", nil)
		assert.Equal(t, []string{"profile;dur=1000.0, after;dur=2000.0, bad_name_dur_9____;dur=1.5, skipped;dur=0.0"}, w.Header()["Server-Timing"])

		w = httptest.NewRecorder()
		w.Header().Set("Server-Timing", "auth;dur=3")
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		require.Len(t, w.Header()["Server-Timing"], 2, "what a middleware has measured stays")

		assert.Empty(t, get(t, compose.New(parts...), "/", nil).Header()["Server-Timing"], "nobody asked")
	})
}

func TestErrorsSayWhichPartsFailedAndInWhichPhase(t *testing.T) {
	refused := roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("dial users-1.internal: refused") })
	of := func(part, kind, title, status string) string {
		return `{"type":"urn:problem-type:gateway:` + kind + `","title":"` + title + `","status":` + status + `,"detail":"part \"` + part + `\" failed","part":"` + part + `"}`
	}
	tests := map[string]struct {
		parts []compose.Part
		want  string
	}{
		"none failed": {[]compose.Part{compose.Get("a", answering(200, `1`), "/")}, `{"a":1}`},
		"left out": {
			[]compose.Part{compose.Get("a", answering(200, `1`), "/"), compose.Get("b", answering(404, ``), "/").Optional()},
			`{"a":1,"errors":[` + of("b", "upstream_status", "Not Found", "404") + `]}`,
		},
		"all, in the order of declaration": {
			[]compose.Part{
				compose.Get("b", answering(500, ``), "/").Default(`[]`),
				compose.Get("a", answering(200, `<html>`), "/").Optional(),
			},
			`{"b":[],"errors":[` + of("b", "upstream_status", "Bad Gateway", "502") + `,` + of("a", "upstream_body", "Bad Gateway", "502") + `]}`,
		},
		"nothing else": {
			[]compose.Part{compose.Get("b", answering(503, ``), "/").Optional()},
			`{"errors":[` + of("b", "upstream_status", "Service Unavailable", "503") + `]}`,
		},
		"hidden, in an answer that is put together": {
			[]compose.Part{compose.Get("a", answering(200, `1`), "/").At("x.y"), compose.Get("b", answering(404, ``), "/").Optional().Hide()},
			`{"x":{"y":1},"errors":[` + of("b", "upstream_status", "Not Found", "404") + `]}`,
		},
		"skipped is no failure": {
			[]compose.Part{compose.Get("a", answering(200, `1`), "/"), compose.Get("b", answering(200, `1`), "/{sub}").SkipMissing()},
			`{"a":1}`,
		},
		"an element": {
			[]compose.Part{
				compose.Get("a", answering(200, `[1]`), "/"),
				compose.Get("b", answering(404, ``), "/{each}").Each("a").Optional(),
			},
			`{"a":[1],"b":[null],"errors":[` + of("b", "upstream_status", "Not Found", "404") + `]}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := get(t, compose.Must(compose.Config{Parts: test.parts, Errors: "errors"}), "/", nil)
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, test.want, w.Body.String())
		})
	}
	w := get(t, compose.Must(compose.Config{Parts: []compose.Part{compose.Get("a", refused, "/").Optional()}, Errors: "errors"}), "/", nil)
	assert.Contains(t, w.Body.String(), `"part":"a"`)
	assert.NotContains(t, w.Body.String(), "users-1")
}

func TestAPartialAnswerHasItsStatus(t *testing.T) {
	ok, bad := compose.Get("ok", answering(200, `1`), "/"), compose.Get("bad", answering(500, ``), "/")
	skipped := compose.Get("skipped", answering(200, `1`), "/{sub}").SkipMissing()
	tests := map[string]struct {
		partial int
		parts   []compose.Part
		want    int
	}{
		"whole":              {203, []compose.Part{ok}, 200},
		"without one":        {203, []compose.Part{ok, bad.Optional()}, 203},
		"with a default":     {503, []compose.Part{ok, bad.Default(`1`)}, 503},
		"hidden":             {206, []compose.Part{ok, bad.Optional().Hide()}, 206},
		"skipped":            {203, []compose.Part{ok, skipped}, 200},
		"not said":           {0, []compose.Part{ok, bad.Optional()}, 200},
		"a required failure": {203, []compose.Part{ok, bad}, 502},
	}
	for name, test := range tests {
		w := get(t, compose.Must(compose.Config{Parts: test.parts, PartialStatus: test.partial}), "/", nil)
		assert.Equal(t, test.want, w.Code, name)
	}
	spread := compose.Get("spread", answering(200, `[]`), "/").Spread(compose.Last).Optional()
	w := get(t, compose.Must(compose.Config{Parts: []compose.Part{ok, spread}, PartialStatus: 203}), "/", nil)
	assert.Equal(t, 203, w.Code, "a part that fails in the merger")
	assert.Equal(t, `{"ok":1}`, w.Body.String())

	for _, status := range []int{-1, 100, 199, 204, 304, 600} {
		_, err := compose.Build(compose.Config{Parts: []compose.Part{ok}, PartialStatus: status})
		assert.Error(t, err, "%d", status)
	}
}

func TestFieldsOfPartsArePassedOnByRule(t *testing.T) {
	a := saying("Set-Cookie", "a=1; Path=/", "Set-Cookie", "b=2", "X-Version", "1", "X-Multi", "p", "X-Multi", "q", "Link", "</a>; rel=x", "Secret", "s")
	b := saying("Set-Cookie", "a=3", "X-Version", "2", "Link", "</b>; rel=y", "Vary", "X-Tenant", "X-Only", "b")
	failed := roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(500, ``)
		res.Header.Set("Set-Cookie", "failed=1")
		return res, nil
	})
	h := compose.Must(compose.Config{
		Headers: []string{"set-cookie", "X-Version", "X-Multi", "link", "Vary", "X-Only", "X-None"},
		Parts: []compose.Part{
			compose.Get("a", a, "/"), compose.Get("b", b, "/").Hide(), compose.Get("c", failed, "/").Optional(),
			compose.Get("d", b, "/{header:x-lang}").SkipMissing(),
		},
	})
	got := get(t, h, "/", nil).Header()
	assert.Equal(t, http.Header{
		"Set-Cookie":     {"a=1; Path=/", "b=2", "a=3"},
		"X-Version":      {"1"},
		"X-Multi":        {"p", "q"},
		"Link":           {"</a>; rel=x", "</b>; rel=y"},
		"Vary":           {"X-Tenant", "X-Lang"},
		"X-Only":         {"b"},
		"Content-Type":   {"application/json"},
		"Content-Length": {"8"},
		"Cache-Control":  {"no-store"},
	}, got)

	got = get(t, compose.New(compose.Get("a", a, "/")), "/", nil).Header()
	assert.NotContains(t, got, "Set-Cookie", "nobody asked")
	assert.NotContains(t, got, "X-Version")
}

// The race detector sees it: the failure is written to the state of the request while the
// part that is given up has read, for its own request, who asks.
func TestAPartThatIsGivenUpDoesNotReadWhatTheFailureIsWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		r := httptest.NewRequest("GET", "/", nil)
		state := &exchange.State{RequestID: "id-1"}
		w := httptest.NewRecorder()
		compose.New(compose.Get("slow", b, "/9").Stale(time.Minute), compose.Get("gone", b, "/gone")).
			ServeHTTP(w, r.WithContext(exchange.With(r.Context(), state)))
		assert.Equal(t, 404, w.Code)
		assert.Error(t, state.Err)
	})
}

// shared is a transport whose responses have one header, as a cache's may.
type shared struct{ header http.Header }

func (s shared) RoundTrip(*http.Request) (*http.Response, error) {
	res := response(200, `1`)
	res.Header = s.header
	return res, nil
}

func TestWhatIsAddedToAFieldThatIsPassedOnDoesNotReachTheNextAnswer(t *testing.T) {
	values := append(make([]string, 0, 4), "one")
	from := shared{http.Header{"X-A": values, "Set-Cookie": values}}
	h := compose.Must(compose.Config{Parts: []compose.Part{compose.Get("a", from, "/")}, Headers: []string{"X-A", "Set-Cookie"}})
	for range 2 {
		w := get(t, h, "/", nil)
		w.Header().Add("X-A", "two")
		w.Header().Add("Set-Cookie", "two")
	}
	assert.Equal(t, []string{"one", "", "", ""}, values[:4])
}

func TestJoinedResultsBecomeMembersOfTheirElements(t *testing.T) {
	b := &backend{answers: map[string]string{
		"/orders": `{"groups":[{"items":[{"id":1},7,{"id":2}]},{"items":[{"id":1}]}]}`,
		"/list":   `[{"id":2},{"id":1}]`,
		"/p/1":    `{"maker":"m"}`, "/p/2": `{"maker":"n"}`, "/m/m": `"Ms. M"`, "/m/n": `"Mr. N"`,
	}}
	list := compose.Get("list", b, "/list")
	product := compose.Get("product", b, "/p/{each.id}").Each("list").Join("product")
	t.Run("of a root array", func(t *testing.T) {
		w := get(t, compose.New(list, product), "/", nil)
		assert.Equal(t, `{"list":[{"id":2,"product":{"maker":"n"}},{"id":1,"product":{"maker":"m"}}]}`, w.Body.String())
	})
	t.Run("of a part that is an element of an array itself", func(t *testing.T) {
		w := get(t, compose.Must(compose.Config{Array: true, Parts: []compose.Part{list.Spread(compose.Append), product}}), "/", nil)
		assert.Equal(t, `[{"id":2,"product":{"maker":"n"}},{"id":1,"product":{"maker":"m"}}]`, w.Body.String())
	})
	t.Run("behind an index", func(t *testing.T) {
		w := get(t, compose.New(
			compose.Get("orders", b, "/orders"),
			compose.Get("product", b, "/p/{each.id}").Each("orders.groups.0.items").Join("product").Default(`0`),
		), "/", nil)
		assert.Equal(t, `{"orders":{"groups":[{"items":[{"id":1,"product":{"maker":"m"}},7,{"id":2,"product":{"maker":"n"}}]},{"items":[{"id":1}]}]}}`, w.Body.String())
	})
	t.Run("that failed", func(t *testing.T) {
		w := get(t, compose.New(list, compose.Get("product", b, "/none/{each.id}").Each("list").Join("product").Optional()), "/", nil)
		assert.Equal(t, `{"list":[{"id":2,"product":null},{"id":1,"product":null}]}`, w.Body.String())
	})
}
