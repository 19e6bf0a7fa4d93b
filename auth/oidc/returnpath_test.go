package oidc

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReturnPathsLeadNobodyElsewhere(t *testing.T) {
	for _, good := range []string{
		"/", "/app", "/app/", "/app/a%20b?x=1&y=//z#part", "/app/%E4%BD%A0", "/a;b=c/d", "/authority", "/app/a%2Fb",
		"/app?next=https://evil.test/", "/app/.hidden", "/a/..b", "/?a=%0d%0a",
	} {
		assert.Equal(t, good, local(good, "/auth"), good)
	}
	for _, bad := range []string{
		"", "app", "?x", "#x", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "/\\/evil.test", "\\/evil.test",
		"https://evil.test/", "https:evil.test", "HTTPS://evil.test", "javascript:alert(1)", "data:text/html,x", "//evil.test@shop.test",
		" //evil.test", "/ /evil.test", "/\t/evil.test", "/\n/evil.test", "\t//evil.test", "/\r\nSet-Cookie: a=b", "/\x00", "/\x7f", "/é",
		"/%2Fevil.test", "/%2fevil.test", "/%5Cevil.test", "/%5c/evil.test", "/%09/evil.test", "/%0d%0aSet-Cookie:a=b", "/%00",
		"/%252Fevil.test", "/%25252Fevil.test", "/%2525252Fevil.test", "/.//evil.test", "/..//evil.test", "/a/..//evil.test",
		"/./x", "/a/../x", "/%2e%2e/x", "/a/%2e%2e%2fx", "/a/%252e%252e/x", "/a//b", "/%", "/%zz", "/a%2", "/a%25b%252fx", // who decodes that leniently sees another path
		"/auth", "/auth/login", "/auth/logout?x", "/%61uth/login", "/" + strings.Repeat("a", maxReturn),
	} {
		assert.Equal(t, "/", local(bad, "/auth"), bad)
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, seed := range []string{"/app?x#y", "//evil.test", "/\\evil.test", "/%2F/evil.test", "/.//x", "/%25252Fx"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://shop.test/auth/callback")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, target string) {
		got := local(target, "/auth")
		require.True(t, got == target || got == "/")
		require.Equal(t, got, local(got, "/auth"))
		// A browser strips tabs and line breaks and takes backslashes for slashes (WHATWG URL).
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(got)
		require.Equal(t, got, seen)
		for range 3 {
			u, err := base.Parse(seen)
			require.NoError(t, err)
			require.Equal(t, "https://shop.test", u.Scheme+"://"+u.Host)
			require.False(t, strings.HasPrefix(u.Path, "//"), u.Path)
			require.False(t, strings.HasPrefix(u.Path, "/auth/"))
			if seen = u.Path; !strings.HasPrefix(seen, "/") || strings.ContainsAny(seen, "?#%") {
				return
			}
		}
	})
}
