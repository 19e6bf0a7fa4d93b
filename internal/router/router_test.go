package router_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatewright/gateway/internal/router"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMatchSetsThePathValuesAndServesNothing(t *testing.T) {
	served := false
	table := router.New()
	require.NoError(t, table.Add("GET /users/{id}/{rest...}", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })))
	r := httptest.NewRequest("GET", "/users/a%2Fb/c/d", nil)
	h, miss := table.Match(r)
	require.NotNil(t, h)
	assert.Zero(t, miss)
	assert.Equal(t, "GET /users/{id}/{rest...}", r.Pattern)
	assert.Equal(t, "a/b", r.PathValue("id"))
	assert.Equal(t, "c/d", r.PathValue("rest"))
	assert.False(t, served)
}

func TestMatchSaysWhyThereIsNoHandler(t *testing.T) {
	table := router.New()
	h := http.NotFoundHandler()
	for _, p := range []string{"GET /a", "DELETE /a", "/tree/"} {
		require.NoError(t, table.Add(p, h))
	}
	require.Error(t, table.Add("nonsense", h))
	for target, want := range map[string]router.Miss{
		"/b":         {Status: 404},
		"/tree":      {Status: 307, Location: "/tree/"},
		"/a/../b":    {Status: 400, Detail: "the path has a dot segment"},
		"/tree%2f":   {Status: 404},
		"/tree/;x":   {},
		"/tree/a%2f": {},
		"/a/b%2f/":   {Status: 404},
	} {
		_, miss := table.Match(httptest.NewRequest("GET", target, nil))
		assert.Equal(t, want, miss, target)
	}
	_, miss := table.Match(httptest.NewRequest("PUT", "/a", nil))
	assert.Equal(t, router.Miss{Status: 405, Allow: "DELETE, GET, HEAD"}, miss)
	_, miss = table.Match(httptest.NewRequest("TRACE", "/tree/", nil))
	assert.Equal(t, router.Miss{Status: 405, Allow: "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}, miss)
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := router.New()
			for i := range n {
				if err := table.Add(fmt.Sprintf("GET /service-%d/{id}", i), http.NotFoundHandler()); err != nil {
					b.Fatal(err)
				}
			}
			r := httptest.NewRequest("GET", fmt.Sprintf("/service-%d/7", n/2), nil)
			b.ReportAllocs()
			for b.Loop() {
				table.Match(r)
			}
		})
	}
}
