package auth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzBearer takes any Authorization header for one, or for two lines of it.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"", " ", "Bearer", "Bearer ", "bearer  a.b.c", "BEARER\ta", "Basic YTpi", "Bearer a, Bearer b", "Bearer\x00a"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, field string, twice bool) {
		r := &http.Request{Header: http.Header{authorization: {field}}}
		if twice {
			r.Header.Add(authorization, field)
		}
		token, found, err := bearer(r)
		assert.Equal(t, twice, err != nil)
		if !found {
			assert.Empty(t, token)
			return
		}
		assert.True(t, strings.HasSuffix(field, token))
		assert.True(t, strings.EqualFold("bearer", strings.TrimRight(strings.TrimSuffix(field, token), " ")))
		assert.False(t, strings.HasPrefix(token, " "))
	})
}
