package auth

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzObject takes any part of a token for a JSON object. What it is understood as
// must be written without loss: then no member was dropped and no number changed.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", "{}{}", `[{"a":1}]`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a:\"":{"b":[":\\",{"c":1e400}]}}`,
		`{"exp":1e300,"scope":"a b","scp":["a",1],"sub":1}`, `{"crit":[],"typ":"JWT"}`, "{\"a\":\"\xff\"}", "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := object(base64.RawURLEncoding.EncodeToString(data))
		if err != nil {
			assert.Nil(t, c)
			return
		}
		again, err := json.Marshal(c)
		require.NoError(t, err)
		assert.Equal(t, colons(data), colons(again))
		_ = new(verifier).checkHeader(c)
		_ = checkClaims(c)
		_ = scopes(c)
	})
}
