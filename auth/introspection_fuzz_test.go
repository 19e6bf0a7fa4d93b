package auth

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzIntrospectionAnswer takes anything for what an issuer says. A token may be active
// only if every reader of JSON finds that it is, whichever of two members of one name it
// takes.
func FuzzIntrospectionAnswer(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"active":true}`, `{"active":false}`, `{"active":"true"}`, `{"Active":true}`,
		`{"active":true,"exp":4102444800,"aud":["a","b"],"scope":"read write","cnf":{"jkt":"x"}}`,
		`{"active":true,"active":false}`, `{"\u0061ctive":true,"active":false}`, `{"active":true}{}`, "{\"active\":true,\"x\":\"\xff\"}",
		`{"active":true,"exp":1e400}`, `{"active":true,"aud":[1]}`, `{"x":{"active":true}}`, `[{"active":true}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseIntrospection(data)
		if err != nil {
			assert.Nil(t, c)
			return
		}
		require.True(t, json.Valid(data))
		active, found := firstMember(t, data, "active")
		assert.True(t, found)
		assert.Equal(t, c != nil, active == true)
		if c == nil {
			return
		}
		for _, name := range []string{"sub", "iss", "client_id"} {
			if v, ok := c[name]; ok {
				assert.IsType(t, "", v)
			}
		}
		_ = scopes(c)
	})
}

// firstMember reads as one does that takes the first of two members.
func firstMember(t *testing.T, data []byte, name string) (any, bool) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	_, err := d.Token()
	require.NoError(t, err)
	for d.More() {
		member, err := d.Token()
		require.NoError(t, err)
		var v any
		require.NoError(t, d.Decode(&v))
		if member == name {
			return v, true
		}
	}
	return nil, false
}
