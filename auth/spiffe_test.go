package auth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSPIFFEPatternsMatchWholeSegments(t *testing.T) {
	tests := []struct {
		pattern, id string
		matches     bool
	}{
		{"spiffe://shop.test/a", "spiffe://shop.test/a", true},
		{"spiffe://shop.test/a", "spiffe://shop.test/A", false},
		{"spiffe://shop.test/a", "spiffe://shop.test/ab", false},
		{"spiffe://shop.test/a", "spiffe://shop.test/a/b", false},
		{"spiffe://shop.test/a", "spiffe://shop.test.evil/a", false},
		{"spiffe://shop.test/a/b", "spiffe://shop.test/a", false},
		{"spiffe://shop.test/ns/*/sa/orders", "spiffe://shop.test/ns/prod/sa/orders", true},
		{"spiffe://shop.test/ns/*/sa/orders", "spiffe://shop.test/ns/prod/x/sa/orders", false},
		{"spiffe://shop.test/ns/*/sa/orders", "spiffe://shop.test/ns/sa/orders", false},
		{"spiffe://shop.test/ns/*/sa/orders", "spiffe://shop.test/ns/prod/sa/ordersx", false},
		{"spiffe://shop.test/*", "spiffe://shop.test/a", true},
		{"spiffe://shop.test/*", "spiffe://shop.test/a/b", false},
		{"spiffe://shop.test/...", "spiffe://shop.test/a", true},
		{"spiffe://shop.test/...", "spiffe://shop.test/a/b/c", true},
		{"spiffe://shop.test/...", "spiffe://shop.tes/t/a", false},
		{"spiffe://shop.test/...", "spiffe://shop.testx/a", false},
		{"spiffe://shop.test/a/...", "spiffe://shop.test/a/b", true},
		{"spiffe://shop.test/a/...", "spiffe://shop.test/a", false},
		{"spiffe://shop.test/a/...", "spiffe://shop.test/ab/c", false},
		{"spiffe://shop.test/a/*/...", "spiffe://shop.test/a/b", false},
		{"spiffe://shop.test/a/*/...", "spiffe://shop.test/a/b/c", true},
	}
	for _, test := range tests {
		p, err := newSPIFFEPattern(test.pattern)
		require.NoError(t, err)
		require.True(t, isSPIFFE(test.id), test.id)
		assert.Equal(t, test.matches, p.matches(test.id), "%s ~ %s", test.pattern, test.id)
	}
}

func TestSPIFFEPatternsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "spiffe://", "spiffe:///a", "spiffe://shop.test", "spiffe://shop.test/", "spiffe://shop.test//a", "spiffe://shop.test/a/",
		"shop.test/a", "https://shop.test/a", "SPIFFE://shop.test/a", "spiffe://Shop.test/a", "spiffe://*/a", "spiffe://*.test/a",
		"spiffe://shop.test:443/a", "spiffe://ann@shop.test/a", "spiffe://shop.test/../a", "spiffe://shop.test/./a",
		"spiffe://shop.test/.../a", "spiffe://shop.test/a*", "spiffe://shop.test/**", "spiffe://shop.test/%61", "spiffe://shop.test/a?b",
		"spiffe://shop.test/a#b", "spiffe://shop.test/é", "spiffe://shop.test/a b", "spiffe://shop.test/" + strings.Repeat("a", 2048),
		"spiffe://" + strings.Repeat("a", 256) + "/a",
	} {
		_, err := newSPIFFEPattern(text)
		assert.Error(t, err, text)
	}
}

func TestSPIFFEIDsAreStrict(t *testing.T) {
	for _, id := range []string{"spiffe://a/b", "spiffe://a.b-c_d9/E.f-g_9", "spiffe://a/.../b"} {
		assert.True(t, isSPIFFE(id), id)
	}
	for _, id := range []string{
		"", "spiffe://a", "spiffe://a/", "spiffe://a//b", "spiffe://a/b/", "spiffe://A/b", "spiffe://a/../b", "spiffe://a/*", "spiffe://a/%2F", "Spiffe://a/b",
	} {
		assert.False(t, isSPIFFE(id), id)
	}
}

func FuzzSPIFFE(f *testing.F) {
	f.Add("spiffe://shop.test/ns/*/sa/orders", "spiffe://shop.test/ns/prod/sa/orders")
	f.Add("spiffe://shop.test/...", "spiffe://shop.test/a/b")
	f.Fuzz(func(t *testing.T, pattern, id string) {
		p, err := newSPIFFEPattern(pattern)
		if err != nil || !isSPIFFE(id) {
			return
		}
		matches := p.matches(id)
		if !strings.ContainsAny(pattern, "*") && !strings.HasSuffix(pattern, "/...") {
			assert.Equal(t, pattern == id, matches, "a pattern without wildcards is an ID")
		}
		assert.False(t, p.matches(strings.Replace(id, "//", "//x", 1)) && matches, "one trust domain only")
	})
}
