package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCacheControlIsReadStrictly(t *testing.T) {
	age := func(n int) delta { return delta{true, time.Duration(n) * time.Second} }
	for _, c := range []struct {
		name  string
		lines []string
		want  directives
	}{
		{"nothing", nil, directives{}},
		{"empty members", []string{" , ,,", ""}, directives{}},
		{"any case", []string{"No-Store, PUBLIC"}, directives{noStore: true, public: true}},
		{"no space, several lines", []string{"public,max-age=5", "must-revalidate"}, directives{public: true, maxAge: age(5), mustRevalidate: true}},
		{"quoted seconds", []string{`max-age="7"`}, directives{maxAge: age(7)}},
		{"the smaller of two", []string{"max-age=60, max-age=5", "s-maxage=1,s-maxage=9"}, directives{maxAge: age(5), sMaxAge: age(1)}},
		{"one of two invalid", []string{"max-age=60, max-age=x"}, directives{maxAge: age(0)}},
		{"negative", []string{"max-age=-1"}, directives{maxAge: age(0)}},
		{"fraction", []string{"max-age=1.5"}, directives{maxAge: age(0)}},
		{"no number", []string{"max-age, s-maxage="}, directives{maxAge: age(0), sMaxAge: age(0)}},
		{"space before the number", []string{"max-age= 60"}, directives{maxAge: age(0)}},
		{"overflow", []string{"max-age=99999999999999999999999999"}, directives{maxAge: delta{true, maxDelta}}},
		{"private with fields names them", []string{`private="set-cookie, x"`}, directives{unshared: []string{"Set-Cookie", "X"}}},
		{"no-cache with fields names them", []string{`no-cache="a,b", public`}, directives{public: true, unshared: []string{"A", "B"}}},
		{"fields that are none", []string{`private="a b"`, `no-cache="", max-age=1`}, directives{private: true, noCache: true, maxAge: delta{true, time.Second}}},
		{"a directive inside quotes is none", []string{`ext="public, max-age=60", max-age=1`}, directives{maxAge: age(1)}},
		{"an escaped quote", []string{`ext="a\", public"`}, directives{noStore: true}},
		{"a quote without end", []string{`ext="a, private`, "max-age=60"}, directives{noStore: true, maxAge: age(60)}},
		{"a quote inside a token", []string{`max-age=6"0, private"`}, directives{noStore: true, maxAge: age(0)}},
		{"a quote before the name", []string{`"x, private"`}, directives{noStore: true}},
		{"public with an argument is not public", []string{"public=yes"}, directives{}},
		{"no-store with an argument is no-store", []string{"no-store=0"}, directives{noStore: true}},
		{"space around the name", []string{" no-store = 1 "}, directives{noStore: true}},
		{"max-stale without limit", []string{"max-stale"}, directives{maxStale: delta{true, maxDelta}}},
		{"the smaller max-stale", []string{"max-stale, max-stale=5"}, directives{maxStale: age(5)}},
		{"the larger min-fresh", []string{"min-fresh=1, min-fresh=5"}, directives{minFresh: age(5)}},
		{"an invalid min-fresh is never met", []string{"min-fresh=x"}, directives{minFresh: delta{true, maxDelta}}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, parseControl(c.lines)) })
	}
}

func TestPragmaCountsOnlyWithoutCacheControl(t *testing.T) {
	require.True(t, requestControl(http.Header{"Pragma": {"x, No-Cache"}}).noCache)
	require.False(t, requestControl(http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"max-age=1"}}).noCache)
}

func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"", "no-store", `private="a, b", max-age=1`, `a="\"", max-age=99999999999`, `"`, "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := parseControl([]string{s})
		for _, n := range []delta{d.maxAge, d.sMaxAge, d.minFresh, d.maxStale} {
			require.True(t, n.Duration >= 0 && n.Duration <= maxDelta)
		}
		if s != "" && !strings.Contains(s, `"`) {
			// What restricts cannot be undone by what comes before or after it.
			require.True(t, parseControl([]string{s + ",no-store"}).noStore)
			require.True(t, parseControl([]string{"private," + s}).private)
		}
		require.True(t, parseControl([]string{s, "no-store"}).noStore, "a line does not reach into the next")
	})
}
