package rawpath

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPatternMatches(t *testing.T) {
	for pattern, paths := range map[string]struct{ yes, no []string }{
		"/":            {[]string{"/", "/a", "/a/b/"}, nil},
		"/a":           {[]string{"/a", "/%61", "/a;x=1"}, []string{"/", "/a/", "/b", "/A", "/a.", "/a/b", "/aa"}},
		"/a/":          {[]string{"/a/", "/a/b", "/a%2Fb", "/a;x/b", "/%61/b/c", "/a%252Fb"}, []string{"/a", "/ab/", "/b/a/", "/A/b"}},
		"/f/{name}":    {[]string{"/f/x|%2fpublic", "/f/a%2Fb"}, []string{"/f/a/b", "/g/a%2Fb"}},
		"/a/{id}":      {[]string{"/a/1", "/a/%31"}, []string{"/a/", "/a", "/a/1/", "/a/1/2", "/b/1"}},
		"/a/{id}/b":    {[]string{"/a/1/b"}, []string{"/a/1/c", "/a//b"}},
		"/a/{rest...}": {[]string{"/a/", "/a/1/2"}, []string{"/a", "/b/1"}},
		"/a b":         {[]string{"/a%20b"}, []string{"/a+b", "/a"}},
	} {
		p, err := ParsePattern(pattern)
		require.NoError(t, err)
		for _, path := range paths.yes {
			assert.True(t, p.Matches(path), "%s of %s", path, pattern)
		}
		for _, path := range paths.no {
			assert.False(t, p.Matches(path), "%s of %s", path, pattern)
		}
	}
}

func TestParsePatternRefusesWhatIsNoPath(t *testing.T) {
	for _, s := range []string{"", "a", "GET /a", "/a//b", "/../a", "/a/x{id}", "/{rest...}/a", "/{a", "/a\x00", `/a\b`} {
		_, err := ParsePattern(s)
		assert.Error(t, err, s)
	}
}
