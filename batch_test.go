package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// batchOf sends paths as one batch and returns the status of each.
func batchOf(t *testing.T, h http.Handler, header http.Header, paths ...string) (status []int, body string) {
	t.Helper()
	var requests []string
	for i, path := range paths {
		requests = append(requests, fmt.Sprintf(`{"id":"%d","path":%q}`, i, path))
	}
	r := httptest.NewRequest("POST", "/batch", strings.NewReader(`{"requests":[`+strings.Join(requests, ",")+`]}`))
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code, w.Body)
	var answers struct{ Responses []struct{ Status int } }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answers))
	for _, a := range answers.Responses {
		status = append(status, a.Status)
	}
	return status, w.Body.String()
}

func TestABatchHasTheCallersIdentityAndLimitsForEachRequest(t *testing.T) {
	keys := auth.APIKey{Keys: map[string]*auth.Principal{
		auth.HashKey("ada's"): {Subject: "ada"}, auth.HashKey("bob's"): {Subject: "bob"},
	}}
	var log bytes.Buffer
	gw := gateway.New(middleware.RequestID, middleware.AccessLog(slog.New(slog.NewTextHandler(&log, nil))), middleware.Recover)
	app := gw.Group("/app", auth.Require(keys), middleware.RateLimit(middleware.PerHour(3).Burst(3).By(auth.Subject)))
	app.Handle("GET /me", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "I am "+auth.Subject(r)) }))
	gw.Handle("GET /open", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	gw.Handle("POST /batch", compose.Batch(compose.BatchConfig{Routes: gw, AtOnce: 1}))

	status, _ := batchOf(t, gw, http.Header{}, "/app/me", "/open")
	assert.Equal(t, []int{401, 200}, status, "nobody in particular")

	status, body := batchOf(t, gw, http.Header{"X-Api-Key": {"ada's"}, "X-Request-Id": {"r-7"}}, "/app/me", "/app/me", "/open", "/app/me", "/app/me")
	assert.Equal(t, []int{200, 200, 200, 200, 429}, status, "a batch is no way around a limit")
	assert.Equal(t, 3, strings.Count(body, `"body":"I am ada"`))
	assert.Contains(t, body, `"Retry-After":"1200"`)
	assert.Equal(t, 6, strings.Count(log.String(), "request.id=r-7"), "the batch and each of its requests")
	assert.Equal(t, 4, strings.Count(log.String(), "user.id=ada"))

	status, _ = batchOf(t, gw, http.Header{"X-Api-Key": {"bob's"}}, "/app/me")
	assert.Equal(t, []int{200}, status)
}

func TestABatchIsLimitedByTheClientsAddress(t *testing.T) {
	gw := gateway.New(middleware.TrustProxies(netip.MustParsePrefix("192.0.2.0/24"))) // that of httptest's requests
	gw.Handle("GET /x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), middleware.RateLimit(middleware.PerHour(2).Burst(2)))
	gw.Handle("POST /batch", compose.Batch(compose.BatchConfig{Routes: gw, AtOnce: 1}))
	for _, client := range []string{"203.0.113.1", "203.0.113.2"} {
		status, _ := batchOf(t, gw, http.Header{"X-Forwarded-For": {client}}, "/x", "/x", "/x")
		assert.Equal(t, []int{200, 200, 429}, status)
	}
}
