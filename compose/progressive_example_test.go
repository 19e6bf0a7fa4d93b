package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatewright/gateway/compose"
)

// A client that asks for lines has each part as it ends.
func ExampleConfig_progressive() {
	a := compose.Must(compose.Config{
		Progressive: true,
		Parts: []compose.Part{
			compose.Get("offers", service(`[{"id":1}]`), "/v1/offers?segment={profile.segment}"),
			compose.Get("profile", service(`{"segment":"gold"}`), "/v1/users/7"),
		},
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "application/x-ndjson")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output:
	// {"part":"profile","value":{"segment":"gold"}}
	// {"part":"offers","value":[{"id":1}]}
	// {"done":true,"status":200}
}
