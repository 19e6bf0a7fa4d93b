package compose_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
)

func TestCacheControlIsTheStrictestOfTheParts(t *testing.T) {
	const cc = "Cache-Control"
	one := func(fields ...string) []compose.Part { return []compose.Part{compose.Get("a", saying(fields...), "/")} }
	two := func(a, b string) []compose.Part {
		return []compose.Part{compose.Get("a", saying(cc, a), "/"), compose.Get("b", saying(cc, b), "/")}
	}
	fresh, down := saying(cc, "max-age=60"), answering(500, ``)
	tests := map[string]struct {
		parts []compose.Part
		want  string
	}{
		"one":                            {one(cc, "max-age=60"), "public, max-age=60"},
		"the shorter":                    {two("public, max-age=60", "max-age=10"), "public, max-age=10"},
		"private":                        {two("private, max-age=60", "max-age=10"), "private, max-age=10"},
		"private for some fields":        {two(`private="x, y", max-age=60`, "max-age=10"), "private, max-age=10"},
		"no-store":                       {two("no-store", "max-age=10"), "no-store"},
		"no-cache":                       {two("max-age=10", "No-Cache, max-age=60"), "no-store"},
		"one says nothing":               {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", saying(), "/")}, "no-store"},
		"only Expires":                   {one("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"), "no-store"},
		"public, and for how long?":      {one(cc, "public"), "no-store"},
		"zero":                           {one(cc, "max-age=0"), "no-store"},
		"for shared caches less":         {one(cc, "max-age=60, s-maxage=5"), "public, max-age=5"},
		"for shared caches more":         {one(cc, "s-maxage=600, max-age=60"), "public, max-age=60"},
		"for shared caches only":         {one(cc, "s-maxage=9"), "public, max-age=9"},
		"must-revalidate":                {two("max-age=60, must-revalidate", "max-age=10"), "public, max-age=10, must-revalidate"},
		"proxy-revalidate":               {one(cc, "max-age=60, proxy-revalidate"), "public, max-age=60, must-revalidate"},
		"stale-while-revalidate":         {one(cc, "max-age=60, stale-while-revalidate=600, stale-if-error=600"), "public, max-age=60"},
		"given twice":                    {one(cc, "max-age=5, max-age=60"), "public, max-age=5"},
		"in two lines":                   {one(cc, "max-age=60", cc, "private"), "private, max-age=60"},
		"quoted":                         {one(cc, `max-age="60"`), "public, max-age=60"},
		"no number":                      {one(cc, "max-age=60, max-age=soon"), "no-store"},
		"negative":                       {one(cc, "max-age=-1"), "no-store"},
		"larger than any":                {one(cc, "max-age=99999999999999999999"), "no-store"},
		"old already":                    {one(cc, "max-age=60", "Age", "45"), "public, max-age=15"},
		"too old":                        {one(cc, "max-age=60", "Age", "60"), "no-store"},
		"of an age that is none":         {one(cc, "max-age=60", "Age", "-9"), "public, max-age=60"},
		"a cookie":                       {one(cc, "max-age=60", "Set-Cookie", "a=1"), "no-store"},
		"varies by what nobody can know": {one(cc, "max-age=60", "Vary", "Accept, *"), "no-store"},
		"a hidden part counts":           {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", saying(cc, "max-age=1"), "/").Hide()}, "public, max-age=1"},
		"not the answer to a GET":        {[]compose.Part{compose.Post("a", fresh, "/", `{}`)}, "no-store"},
		"one is left out":                {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", down, "/").Optional()}, "no-store"},
		"one is replaced":                {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", down, "/").Default(`1`)}, "no-store"},
		"one is skipped, and always is":  {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", fresh, "/{query:q}").SkipMissing()}, "public, max-age=60"},
		"one is skipped for who asks":    {[]compose.Part{compose.Get("a", fresh, "/"), compose.Get("b", fresh, "/{sub}").SkipMissing()}, "private, max-age=60"},
		"all are skipped":                {[]compose.Part{compose.Get("b", fresh, "/{query:q}").SkipMissing()}, "no-store"},
	}
	for name, test := range tests {
		w := get(t, compose.New(test.parts...), "/", nil)
		assert.Equal(t, 200, w.Code, name)
		assert.Equal(t, []string{test.want}, w.Header()["Cache-Control"], name)
	}
}

func TestWhatMayDependOnWhoAsksIsPrivate(t *testing.T) {
	h := compose.New(compose.Get("a", saying("Cache-Control", "public, max-age=60"), "/"))
	asks := map[string]func(*http.Request) *http.Request{
		"Authorization": func(r *http.Request) *http.Request { r.Header.Set("Authorization", "Bearer x"); return r },
		"Cookie":        func(r *http.Request) *http.Request { r.Header.Set("Cookie", "a=1"); return r },
		"a principal": func(r *http.Request) *http.Request {
			return r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: claims{"sub": "u"}}))
		},
	}
	for name, with := range asks {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, with(httptest.NewRequest("GET", "/", nil)))
		assert.Equal(t, "private, max-age=60", w.Header().Get("Cache-Control"), name)
	}
	w := get(t, h, "/", nil)
	assert.Equal(t, "public, max-age=60", w.Header().Get("Cache-Control"), "nobody")
}
