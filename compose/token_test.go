package compose_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
)

// What relays or exchanges the caller's token stands below a part, or below Fetch.
func TestBackendsTransportsFindTheCallersToken(t *testing.T) {
	var tokens []exchange.Secret
	relay := roundTrip(func(r *http.Request) (*http.Response, error) {
		tokens = append(tokens, exchange.From(r.Context()).Token)
		return response(200, `1`), nil
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: claims{"sub": "u"}, Token: "opaque"}))
	compose.New(compose.Get("a", relay, "/")).ServeHTTP(httptest.NewRecorder(), r)
	_, err := compose.Fetch[int](r.Context(), relay, "/")
	require.NoError(t, err)
	assert.Equal(t, []exchange.Secret{"opaque", "opaque"}, tokens)
}
