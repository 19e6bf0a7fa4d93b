package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
)

func ExampleBatch() {
	gw := gateway.New()
	gw.Handle("GET /v1/users/{id}", compose.New(compose.Get("user", service(`{"id":9007199254740993}`), "/users/{id}")))
	gw.Handle("GET /v1/terms", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Be kind.") }))
	gw.Handle("POST /batch", compose.Batch(compose.BatchConfig{Routes: gw, MaxRequests: 10}))

	r := httptest.NewRequest("POST", "/batch", strings.NewReader(`{"requests":[
		{"id": "user",  "path": "/v1/users/7"},
		{"id": "terms", "path": "/v1/terms", "headers": {"Accept-Language": "en"}},
		{"id": "other", "method": "DELETE", "path": "/v1/users/7"}
	]}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.ReplaceAll(w.Body.String(), `{"id":"`, "\n"+`{"id":"`))
	// Output:
	// 200 {"responses":[
	// {"id":"user","status":200,"headers":{"Cache-Control":"no-store","Content-Type":"application/json"},"body":{"user":{"id":9007199254740993}}},
	// {"id":"terms","status":200,"headers":{"Content-Type":"text/plain; charset=utf-8"},"encoding":"text","body":"Be kind."},
	// {"id":"other","status":405,"headers":{"Allow":"GET, HEAD","Cache-Control":"no-store","Content-Type":"application/problem+json","X-Content-Type-Options":"nosniff"},"body":{"type":"about:blank","title":"Method Not Allowed","status":405}}]}
}
