package auth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/field"
)

// told returns what a backend is told of a claim, and the error if it is told nothing
// because that would be dangerous.
func told(t *testing.T, claim any, escape bool) ([]string, error) {
	t.Helper()
	backend := &backendSeen{}
	transport := &auth.ClaimHeaders{Base: backend, Headers: map[string]string{"X-Claim": "c"}, Escape: escape}
	p := &auth.Principal{Subject: "ann", Claims: map[string]any{"c": claim}}
	_, err := transport.RoundTrip(asking(t.Context(), p, ""))
	if err != nil {
		require.Nil(t, backend.header, "the request was sent")
	}
	return backend.header["X-Claim"], err
}

func TestClaimHeadersTellWhatIsSafe(t *testing.T) {
	tests := map[string]struct {
		claim   any
		plain   string // "": left out
		escaped string
	}{
		"text":              {"ann", "ann", "ann"},
		"with spaces":       {"Ann Doe", "Ann Doe", "Ann%20Doe"},
		"a percent sign":    {"100%", "100%", "100%25"},
		"64 bits":           {json.Number("9007199254740993"), "9007199254740993", "9007199254740993"},
		"a boolean":         {true, "true", "true"},
		"a list":            {[]any{"a", json.Number("1")}, "a,1", "a,1"},
		"a list of strings": {[]string{"a", "b"}, "a,b", "a,b"},
		"null":              {nil, "", ""},
		"empty":             {"", "", ""},
		"empty list":        {[]any{}, "", ""},
		"an object":         {map[string]any{"a": "b"}, "", ""},
		"list in a list":    {[]any{"a", []any{"b"}}, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for escape, want := range map[bool]string{false: test.plain, true: test.escaped} {
				got, err := told(t, test.claim, escape)
				require.NoError(t, err)
				if want == "" {
					assert.Empty(t, got)
					continue
				}
				assert.Equal(t, []string{want}, got)
			}
		})
	}
}

// Incident 28. U+560A is a line feed for who drops the upper bits.
func TestClaimHeadersNeverInject(t *testing.T) {
	for name, claim := range map[string]any{
		"CR LF": "ann\r\nX-Admin: 1", "LF": "a\nb", "CR": "a\rb", "NUL": "a\x00b", "DEL": "a\x7fb", "tab": "a\tb",
		"Latin": "Jürgen", "wide line feed": "a嘊X-Admin: 1", "not UTF-8": "a\xffb",
		"space before": " ann", "space behind": "ann ",
		"comma in a member": []any{"users", "guests,admins"}, "line break in a member": []any{"a", "b\r\nc"},
		"comma in a text":   "users,admins",
		"comma in a string": []string{"users", "guests,admins"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := told(t, claim, false)
			require.Error(t, err)
			assert.Equal(t, http.StatusInternalServerError, gateway.ProblemOf(err).Status)
			assert.ErrorContains(t, err, `claim "c"`)
			assert.NotContains(t, err.Error(), "admin")

			got, err := told(t, claim, true)
			require.NoError(t, err)
			require.Len(t, got, 1)
			assert.Regexp(t, `^[A-Za-z0-9._~%,-]+$`, got[0])
		})
	}
	_, err := told(t, strings.Repeat("a", 8<<10+1), true)
	require.Error(t, err)
}

func TestClaimHeadersKnowSubjectAndScopes(t *testing.T) {
	backend := &backendSeen{}
	transport := &auth.ClaimHeaders{Base: backend, Headers: map[string]string{"x-user": "sub", "X-Scope": "scope"}}
	p := &auth.Principal{Subject: "ann", Scopes: []string{"read", "delete everything", "", "write"}, Claims: map[string]any{"scope": "admin", "sub": "bob"}}
	_, err := transport.RoundTrip(asking(t.Context(), p, ""))
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-User": {"ann"}, "X-Scope": {"read write"}}, backend.header)
}

func TestClaimHeadersTellRolesAndClaimsWithinObjects(t *testing.T) {
	backend := &backendSeen{}
	transport := &auth.ClaimHeaders{Base: backend, Headers: map[string]string{"X-Roles": "roles", "X-Realm": "realm_access.roles"}}
	p := &auth.Principal{Roles: []string{"a", "b"}, Claims: map[string]any{"realm_access": map[string]any{"roles": []any{"c", "d"}}}}
	_, err := transport.RoundTrip(asking(t.Context(), p, ""))
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-Roles": {"a,b"}, "X-Realm": {"c,d"}}, backend.header)
}

func TestClaimHeadersOfNobodyAreRemovedAllTheSame(t *testing.T) {
	backend := &backendSeen{}
	transport := &auth.ClaimHeaders{Base: backend, Headers: map[string]string{"X-User": "sub", "X-Role": "role"}}
	for name, p := range map[string]*auth.Principal{"nobody": nil, "nameless": {}} {
		r := asking(t.Context(), p, "")
		r.Header = http.Header{"X-User": {"forged"}, "X_user": {"forged"}, "x-USER": {"forged"}, "X_Role": {"forged"}, "X-Users": {"kept"}}
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, http.Header{"X-Users": {"kept"}}, backend.header, name)
	}
}

func FuzzClaimHeaders(f *testing.F) {
	f.Add("ann", "b", false)
	f.Add("a\r\nX: y", "a,b", true)
	f.Fuzz(func(t *testing.T, a, b string, escape bool) {
		for _, claim := range []any{a, []any{a, b}} {
			got, err := told(t, claim, escape)
			if err != nil || got == nil {
				continue
			}
			require.Len(t, got, 1)
			require.True(t, field.IsValue(got[0]))
			_, list := claim.([]any)
			if members := strings.Split(got[0], ","); list && escape {
				require.Len(t, members, 2)
				back, err := url.PathUnescape(members[1])
				require.NoError(t, err)
				require.Equal(t, b, back)
			} else if list {
				require.Equal(t, []string{a, b}, members)
			}
		}
	})
}
