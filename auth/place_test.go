package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQueryLosesTheKeyAndNothingElse(t *testing.T) {
	for query, want := range map[string]string{
		"key=s":                          "",
		"key":                            "",
		"key=":                           "",
		"a=1&key=s":                      "a=1",
		"key=s&a=1":                      "a=1",
		"a=1&key=s&b=2":                  "a=1&b=2",
		"a=1&key=s&b=2&key=s":            "a=1&b=2",
		"%6bey=s&a=1":                    "a=1",
		"a=1&k%65y=s":                    "a=1",
		"%6B%65%79=s":                    "",
		"&key=s&":                        "&",
		"&&key=s":                        "&",
		"a=%20b+c&key=s&u=/x?y&%zz&;=;":  "a=%20b+c&u=/x?y&%zz&;=;",
		"KEY=s&keys=1&ke=2&%256bey=3":    "KEY=s&keys=1&ke=2&%256bey=3",
		"a=key=s":                        "a=key=s",
		"key%=1&key+=2&+key=3&key%00=4":  "key%=1&key+=2&+key=3&key%00=4",
		"key=%zz&a":                      "a",
		"a;key=s":                        "a;key=s",
		"":                               "",
		strings.Repeat("a&", 5000) + "b": strings.Repeat("a&", 5000) + "b",
	} {
		u := &url.URL{Path: "/x", RawQuery: query}
		r := &http.Request{URL: u, RequestURI: "/x?" + query, Form: url.Values{"key": {"s"}, "a": {"1"}}}
		queryPlace("key").clean(r)
		assert.Equal(t, want, r.URL.RawQuery, query)
		assert.Same(t, u, r.URL, "in place")
		assert.Equal(t, strings.TrimSuffix("/x?"+want, "?"), r.RequestURI, query)
		assert.Equal(t, url.Values{"a": {"1"}}, r.Form)
	}
}

func TestQueryNameMayNeedEscapes(t *testing.T) {
	r := &http.Request{URL: &url.URL{RawQuery: "api+key=s&api%20key=t&api key=u"}}
	assert.Equal(t, []string{"s", "t", "u"}, queryPlace("api key").find(r))
	queryPlace("api key").clean(r)
	assert.Empty(t, r.URL.RawQuery)
}

func TestCookiesLoseTheKeyAndNothingElse(t *testing.T) {
	for name, test := range map[string]struct{ lines, want []string }{
		"alone":           {[]string{"key=s"}, nil},
		"without value":   {[]string{"key"}, nil},
		"first":           {[]string{"key=s; a=1; b=2"}, []string{"a=1; b=2"}},
		"in the middle":   {[]string{"a=1; key=s; b=2"}, []string{"a=1; b=2"}},
		"last":            {[]string{"a=1; key=s"}, []string{"a=1"}},
		"twice":           {[]string{"key=s; a=1; key=t"}, []string{"a=1"}},
		"its own line":    {[]string{"a=1", "key=s", "b=2"}, []string{"a=1", "b=2"}},
		"odd spaces":      {[]string{"a=1;\tkey =s;b=2"}, []string{"a=1;b=2"}},
		"odd others":      {[]string{`a="x,y" ;;=;b; key=s; c=%3d=`}, []string{`a="x,y" ;;=;b; c=%3d=`}},
		"a lone ;":        {[]string{"key=s;"}, nil},
		"other names":     {[]string{"KEY=s; keys=1; ke=2; a=key=3; k%65y=4"}, []string{"KEY=s; keys=1; ke=2; a=key=3; k%65y=4"}},
		"an empty line":   {[]string{"", "a=1"}, []string{"", "a=1"}},
		"nothing of ours": {[]string{"a=1; b=2"}, []string{"a=1; b=2"}},
	} {
		t.Run(name, func(t *testing.T) {
			given := slices.Clone(test.lines)
			r := &http.Request{Header: http.Header{"Cookie": given, "cookie": {"key=s"}, "X": {"key=s"}}}
			cookiePlace("key").clean(r)
			assert.Equal(t, test.want, r.Header["Cookie"])
			assert.Equal(t, test.want != nil, r.Header["Cookie"] != nil)
			assert.NotContains(t, r.Header, "cookie", "a spelling of those in the same process")
			assert.Contains(t, r.Header, "X")
			assert.Equal(t, test.lines, given, "which others may have as well")
		})
	}
}

// subsequence reports whether all of the pieces of kept are in s, in that order.
func subsequence(kept, s, separator string) bool {
	rest := strings.Split(s, separator)
	for piece := range strings.SplitSeq(kept, separator) {
		i := slices.Index(rest, piece)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// FuzzQueryWithoutKey: what is left decodes to the same parameters without ours, in the
// same order, and each piece is written as it was.
func FuzzQueryWithoutKey(f *testing.F) {
	for _, seed := range []string{"", "key=s", "a=1&%6bey=s&b=%zz", "&&key&", "a;key=1&key=2", "+key=1&k%65y", "key==&=key", "a=1&a=2&key=3&a=4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		p := queryPlace("key")
		kept := p.without(query)
		had, _ := url.ParseQuery(query) // what it cannot read, it leaves out
		have, _ := url.ParseQuery(kept)
		delete(had, "key")
		assert.Equal(t, had, have)
		assert.Empty(t, p.find(&http.Request{URL: &url.URL{RawQuery: kept}}))
		assert.Equal(t, kept, p.without(kept))
		if kept != "" {
			assert.True(t, subsequence(kept, query, "&"))
		}
		lost := strings.Count(query, "&") - strings.Count(kept, "&")
		found := len(p.find(&http.Request{URL: &url.URL{RawQuery: query}}))
		assert.True(t, lost == found || kept == "" && lost == found-1, "one separator for each")
	})
}

// FuzzCookiesWithoutKey is the same for cookies.
func FuzzCookiesWithoutKey(f *testing.F) {
	for _, seed := range []string{"", "key=s", "a=1; key=s; b=2", "key=s;", `a="x; key=y"; b`, "a=1;;key;\tkey =", ";key=;", "key;\t0", "a=1; a=2; key=3; a=4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line != strings.Trim(line, " \t") {
			return // no field value
		}
		p := cookiePlace("key")
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		had := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return c.Name == "key" })
		p.clean(r)
		require.Len(t, r.Cookies(), len(had))
		for i, c := range r.Cookies() {
			assert.Equal(t, had[i], c)
		}
		assert.Empty(t, p.find(r))
		for _, kept := range r.Header["Cookie"] {
			first, others, more := strings.Cut(kept, ";")
			i := slices.IndexFunc(strings.Split(line, ";"), func(piece string) bool { return strings.TrimLeft(piece, " \t") == first })
			assert.GreaterOrEqual(t, i, 0, "the space before the first may be gone, and nothing else")
			assert.True(t, !more || subsequence(others, line, ";"))
		}
	})
}
