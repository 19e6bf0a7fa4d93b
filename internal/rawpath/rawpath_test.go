package rawpath_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatewright/gateway/internal/rawpath"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckRefusesWhatTwoParsersReadDifferently(t *testing.T) {
	for path, want := range map[string]error{
		"/.": rawpath.ErrDot, "/..": rawpath.ErrDot, "/a/./b": rawpath.ErrDot, "/a/../b": rawpath.ErrDot,
		"/%2e": rawpath.ErrDot, "/.%2E/b": rawpath.ErrDot, "/a/..%2fb": rawpath.ErrDot, "/a%2f..%2fb": rawpath.ErrDot,
		"/%252e%252e/b": rawpath.ErrDot, "/%25252e%25252e/b": rawpath.ErrDot, "/..;/b": rawpath.ErrDot, "/..;a=b/b": rawpath.ErrDot, "/%2e%2e%3b/b": rawpath.ErrDot,
		"//": rawpath.ErrEmpty, "//a": rawpath.ErrEmpty, "/a//b": rawpath.ErrEmpty, "/a//": rawpath.ErrEmpty, "/;a/b": rawpath.ErrEmpty,
		`/a\b`: rawpath.ErrControl, "/a%5cb": rawpath.ErrControl, "/a%255Cb": rawpath.ErrControl, "/a%00": rawpath.ErrControl,
		"/a%2500": rawpath.ErrControl, "/a%0d%0ab": rawpath.ErrControl, "/%7f": rawpath.ErrControl,
	} {
		assert.ErrorIs(t, rawpath.Check(path), want, path)
	}
	for _, path := range []string{"", "/", "*", "/a/", "/a/b", "/a/b/", "/...", "/.a", "/a.", "/a..b", "/.well-known/x", "/a%2Fb", "/100%25", "/%zz", "/%", "/a;b=c", "/a;", "/%C3%A9", "/a%20b", "/a%2F%2Fb"} {
		assert.NoError(t, rawpath.Check(path), path)
	}
}

func TestReadingsAreThoseOfEveryBackendFromStrictToCareless(t *testing.T) {
	for path, want := range map[string][]string{
		"/a":           {"/a"},
		"/a/":          {"/a/"},
		"/a%2Fb":       {"/a%2Fb", "/a/b"},
		"/a%2Fb%252Fc": {"/a%2Fb%252Fc", "/a/b%2Fc", "/a/b/c"},
		"/a;x=y/b":     {"/a;x=y/b", "/a/b"},
		"/a%2F;x":      {"/a%2F;x", "/a%2F", "/a/;x", "/a/"},
		"/a%2F%2Fb":    {"/a%2F%2Fb", "/a/b"},
	} {
		got := slices.Collect(rawpath.Readings(path))
		for _, w := range want {
			assert.Contains(t, got, w, path)
		}
	}
	for path, want := range map[string]bool{"/a": false, "/a%20b": false, "/a%2fb": true, "/a%2Fb": true, "/a;b": true, "/a%3b": true, "/%2": false, "/a%20%2F": true, "/100%25": true} {
		assert.Equal(t, want, rawpath.Ambiguous(path), path)
	}
}

// "|" and the like are not quite by the book, and Go's own EscapedPath would write them anew.
func TestTargetIsWhatTheClientHasWritten(t *testing.T) {
	for _, target := range []string{
		"/", "/a%2Fb", "/a|b", "/a|b%2fc", "/a|b?q=|%20+&", "/a?", "*", `/"<>^{}`, "/%C3%A9", "/\xc3\xa9", "/a;b=c", "/%7e", "/a%20b",
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		assert.Equal(t, target, rawpath.Target(u), target)
		assert.Equal(t, "GET "+target, string(rawpath.AppendTarget([]byte("GET "), u)))
	}
	for want, u := range map[string]url.URL{
		"/":      {},
		"/a":     {Path: "a"},
		"/a%20b": {Path: "/a b", RawPath: "/a b"}, // which would be two words of a request line
		"/a%3Fb": {Path: "/a?b", RawPath: "/a?b"}, // which would be a query
		"/a%7Cb": {Path: "/a|b"},
		"/b":     {Path: "/b", RawPath: "/a|b"}, // that somebody has not kept up
	} {
		assert.Equal(t, want, rawpath.Target(&u))
	}
}

func TestStrictIsWhatEscapedPathLeavesAlone(t *testing.T) {
	for path, want := range map[string]string{
		"/a|b%2fc": "/a%7Cb%2fc", `/"<>^{}`: "/%22%3C%3E%5E%7B%7D", "/\xc3\xa9": "/%C3%A9", "/a;b=c,d!$&'()*+:@[]~-._": "/a;b=c,d!$&'()*+:@[]~-._", "*": "*",
	} {
		u, err := url.ParseRequestURI(path)
		require.NoError(t, err)
		assert.Equal(t, want, rawpath.Strict(u))
		u, err = url.ParseRequestURI(want)
		require.NoError(t, err)
		assert.Equal(t, want, u.EscapedPath())
	}
}

func TestStripRemovesThePrefixAndNoOtherByte(t *testing.T) {
	for _, test := range []struct{ path, prefix, want string }{
		{"/app/a%2Fb", "/app", "/a%2Fb"}, {"/app", "/app", "/"}, {"/app/", "/app", "/"}, {"/%61pp/x", "/app", "/x"},
		{"/a/b/c%20d", "/a/b", "/c%20d"}, {"/application", "/app", "/application"}, {"/x/app", "/app", "/x/app"}, {"/a%2Fb/c", "/a/b", "/a%2Fb/c"}, {"/app/x/", "/app/", "/x/"}, {"/app/a|b", "/app", "/a|b"},
	} {
		u, err := url.ParseRequestURI(test.path)
		require.NoError(t, err)
		rawpath.Strip(u, test.prefix)
		assert.Equal(t, test.want, rawpath.Escaped(u), test.path)
	}
}

func TestJoinKeepsBothPartsAsTheyAre(t *testing.T) {
	for _, test := range []struct{ base, path, want string }{
		{"", "/a", "/a"}, {"/", "/a", "/a"}, {"/v1", "/a%2Fb", "/v1/a%2Fb"}, {"/v1/", "/a", "/v1/a"}, {"/v1", "", "/v1"}, {"/v1", "a", "/v1/a"},
	} {
		assert.Equal(t, test.want, rawpath.Join(test.base, test.path))
	}
}

// Whatever Check lets pass, the most lenient reading of it climbs nowhere.
func FuzzWhatPassesHasNoDotSegmentInAnyReading(f *testing.F) {
	for _, seed := range []string{"/a/b", "/a/%2e%2e/b", "/a%252f..%255c", "/;/..;x", "//", "/%", "/a%2f.%2e%2fb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if rawpath.Check(path) != nil {
			return
		}
		decoded := path
		for range 3 {
			for _, seg := range strings.FieldsFunc(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
				seg, _, _ = strings.Cut(seg, ";")
				if seg == "." || seg == ".." {
					t.Errorf("%q is read as %q", path, decoded)
				}
			}
			next, err := url.PathUnescape(decoded)
			if err != nil {
				break
			}
			decoded = next
		}
		for reading := range rawpath.Readings(path) {
			if !strings.HasPrefix(reading, "/") || strings.Contains(reading, "//") {
				t.Errorf("%q is read as %q", path, reading)
			}
		}
	})
}

// However a client writes a path, it is forwarded so, and judged by what differs from that
// only in how it escapes.
func FuzzTargetsAreForwardedAsTheyCame(f *testing.F) {
	for _, seed := range []string{"/a|b%2fc", "/a?b", "/%zz", "*", "//a", "/\xff%2F;x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.IsAbs() || u.Host != "" || strings.ContainsAny(target, " ") {
			return
		}
		require.Equal(t, target, rawpath.Target(u))
		strict := rawpath.Strict(u)
		again, err := url.ParseRequestURI(strict)
		require.NoError(t, err)
		require.Equal(t, u.Path, again.Path)
		require.Equal(t, strict, again.EscapedPath())
		path, _, _ := strings.Cut(target, "?")
		require.Equal(t, strings.Count(path, "/"), strings.Count(strict, "/"))
	})
}
