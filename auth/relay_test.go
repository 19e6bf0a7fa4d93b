package auth_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// What has no token to go on with is refused by a transport, far from Require; the 401
// has a challenge all the same.
func TestA401OfATransportHasTheChallengesOfRequire(t *testing.T) {
	base := gateway.Local(http.NotFoundHandler())
	proxy := gateway.Proxy(&auth.Relay{Base: base, Required: true})
	mw := func(http.Handler) http.Handler { return auth.Require(annJWT, reports)(proxy) }
	w := answer(mw, withKeys(apiKey))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, []string{`Bearer realm="gateway"`, `ApiKey header="X-Api-Key"`}, w.Header()["Www-Authenticate"])
}
