package auth_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

var _ exchange.Principal = (*auth.Principal)(nil)

func TestPrincipalClaimIsText(t *testing.T) {
	p := &auth.Principal{Subject: "ann", Claims: map[string]any{
		"sub":    "mallory",
		"string": `a "quoted" <b>`,
		"empty":  "",
		"big":    json.Number("9223372036854775807"),
		"float":  json.Number("1.0"),
		"int64":  int64(math.MaxInt64),
		"uint64": uint64(math.MaxUint64),
		"half":   0.5,
		"nan":    math.NaN(),
		"true":   true,
		"null":   nil,
		"object": map[string]any{"a": "b"},
		"array":  []any{"a"},
	}}
	for name, want := range map[string]string{
		"sub": "ann", "string": `a "quoted" <b>`, "empty": "", "big": "9223372036854775807", "float": "1.0",
		"int64": "9223372036854775807", "uint64": "18446744073709551615", "half": "0.5", "true": "true",
	} {
		got, ok := p.Claim(name)
		assert.True(t, ok, name)
		assert.Equal(t, want, got, name)
	}
	for _, name := range []string{"nan", "null", "object", "array", "absent", "Sub", ""} {
		got, ok := p.Claim(name)
		assert.False(t, ok, name)
		assert.Empty(t, got, name)
	}
	_, ok := (&auth.Principal{Claims: p.Claims}).Claim("sub")
	assert.False(t, ok, "a principal without subject has no sub")
}

func TestPrincipalClaimFollowsDots(t *testing.T) {
	p := &auth.Principal{Roles: []string{"admin"}, Claims: map[string]any{
		"realm_access":             map[string]any{"plan": "gold", "deep": map[string]any{"n": json.Number("7")}},
		"https://shop.test/tenant": "acme", "realm_access.plan": "platinum",
	}}
	for name, want := range map[string]string{"realm_access.plan": "platinum", "realm_access.deep.n": "7", "https://shop.test/tenant": "acme"} {
		got, ok := p.Claim(name)
		assert.True(t, ok, name)
		assert.Equal(t, want, got, name)
	}
	for _, name := range []string{"realm_access", "realm_access.deep", "realm_access.x", "plan", "roles"} {
		_, ok := p.Claim(name)
		assert.False(t, ok, name)
	}
}

func TestNobodyHasNoClaimsAndNoScopes(t *testing.T) {
	var nobody *auth.Principal
	_, ok := nobody.Claim("sub")
	assert.False(t, ok)
	assert.False(t, nobody.HasScope(""))
	assert.Nil(t, auth.From(context.Background()))
	assert.Empty(t, auth.Subject(httptest.NewRequest(http.MethodGet, "/", nil)))
}

func TestPrincipalHasScopeExactly(t *testing.T) {
	p := &auth.Principal{Scopes: []string{"orders:read"}}
	assert.True(t, p.HasScope("orders:read"))
	for _, scope := range []string{"orders", "orders:read ", "ORDERS:READ", "*", ""} {
		assert.False(t, p.HasScope(scope), scope)
	}
}

func TestNewContextLeavesTheSharedStateAlone(t *testing.T) {
	shared := &exchange.State{RequestID: "r1", Principal: &auth.Principal{Subject: "ann"}}
	outer := exchange.With(context.Background(), shared)
	inner := auth.NewContext(outer, &auth.Principal{Subject: "bob"})
	nobody := auth.NewContext(outer, nil)

	assert.Equal(t, "bob", auth.From(inner).Subject)
	assert.Equal(t, "r1", exchange.From(inner).RequestID)
	assert.Equal(t, "ann", auth.From(outer).Subject)
	assert.Nil(t, auth.From(nobody))
	assert.Equal(t, exchange.Principal(nil), exchange.From(nobody).Principal, "a nil pointer in an interface is somebody")
}
