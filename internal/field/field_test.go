package field_test

import (
	"net/http"
	"testing"

	"github.com/gatewright/gateway/internal/field"
	"github.com/stretchr/testify/assert"
)

func TestNamesAndValuesThatCouldEndALineAreNoNamesAndValues(t *testing.T) {
	for _, ok := range []string{"a", "X-Request-Id", "!#$%&'*+-.^_`|~09azAZ"} {
		assert.True(t, field.IsToken(ok), ok)
	}
	for _, bad := range []string{"", "a b", "a:", "a\r", "é", "\"a\"", "a\x00", "(a)"} {
		assert.False(t, field.IsToken(bad), "%q", bad)
	}
	for _, ok := range []string{"", "a b", "\ta", "é", `"x"; y=1`} {
		assert.True(t, field.IsValue(ok), ok)
	}
	for _, bad := range []string{"a\r\nb: c", "\n", "\x00", "\x7f", "\x1b[0m"} {
		assert.False(t, field.IsValue(bad), "%q", bad)
	}
}

func TestStripListedRemovesWhatConnectionNamesAndKeepsWhatItSays(t *testing.T) {
	h := http.Header{
		"Connection": {"close, X-Foo ,,", "x-BAR", "Upgrade"}, "X-Foo": {"1"}, "X-Bar": {"2"}, "X-Keep": {"3"}, "Upgrade": {"websocket"},
	}
	field.StripListed(h)
	assert.Equal(t, http.Header{"Connection": {"close", "upgrade"}, "X-Keep": {"3"}, "Upgrade": {"websocket"}}, h)
	h = http.Header{"Connection": {"X-Foo"}}
	field.StripListed(h)
	assert.Empty(t, h)
}

func TestConnectionCannotNameWhatDecidesWhoGetsAStoredResponse(t *testing.T) { // RFC 9110 section 7.6.1
	h := http.Header{
		"Connection":    {"Cache-Control, vary, cdn-cache-control, Expires, X-Foo"},
		"Cache-Control": {"private"}, "Vary": {"Cookie"}, "Cdn-Cache-Control": {"private"}, "Expires": {"0"}, "X-Foo": {"1"},
	}
	field.StripListed(h)
	assert.Equal(t, http.Header{"Cache-Control": {"private"}, "Vary": {"Cookie"}, "Cdn-Cache-Control": {"private"}, "Expires": {"0"}}, h)
}
