package claim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/internal/claim"
)

func TestAtFollowsDotsButNotThoseOfAName(t *testing.T) {
	claims := map[string]any{
		"a":   map[string]any{"b": map[string]any{"c": "deep"}, "d.e": "dotted", "null": nil},
		"a.b": "whole", "https://shop.test/plan": "gold", "text": "x", "list": []any{"y"}, "": "nameless",
	}
	for path, want := range map[string]any{
		"text": "x", "a.b": "whole", "a.b.c": "deep", "a.d.e": "dotted", "https://shop.test/plan": "gold",
		"x": nil, "a.x": nil, "text.x": nil, "list.0": nil, "a.null": nil, "a.b.c.d": nil, "a.": nil, ".a": nil, "a..b": nil, "": "nameless",
	} {
		assert.Equal(t, want, claim.At(claims, path), path)
	}
	assert.Nil(t, claim.At(nil, "a.b"))
}

func TestRolesAreWhereIssuersHaveThem(t *testing.T) {
	claims := map[string]any{
		"roles": []any{"a", 7, "b"}, "groups": "c d", "cognito:groups": []any{"e"},
		"realm_access": map[string]any{"roles": []any{"f"}}, "n": 7,
	}
	for path, want := range map[string][]string{
		"": {"a", "b", "c", "d"}, "cognito:groups": {"e"}, "realm_access.roles": {"f"}, "groups": {"c", "d"}, "x": nil, "n": nil,
	} {
		roles, all := claim.Roles(claims, path)
		assert.Equal(t, want, roles, path)
		assert.True(t, all)
	}
	roles, all := claim.Roles(nil, "")
	assert.Empty(t, roles)
	assert.True(t, all)
	for _, v := range []any{map[string]any{"a": true}, []any{"a", []any{"b"}}, []any{map[string]any{}}} {
		_, all := claim.Roles(map[string]any{"groups": v}, "")
		assert.False(t, all, v)
	}
}
