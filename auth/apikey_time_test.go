package auth_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
)

// A key is long here, so that a comparison that ends at the first difference would show.
func TestAPIKeyRefusalTakesAsLongHoweverMuchOfTheKeyIsRight(t *testing.T) {
	right := strings.Repeat("k", 8<<10)
	near, far := withKeys(right[:len(right)-1]+"x"), withKeys("x"+right[1:])
	keys := map[string]*auth.Principal{auth.HashKey(right): {Subject: "acme"}}

	careless := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if comparedByBytes(r.Header["X-Api-Key"][0], right) {
			return keys[auth.HashKey(right)], nil
		}
		return nil, nil
	})
	require.Greater(t, ratio(careless, near, far), 1.15, "the measurement would not see a careless comparison")

	for name, a := range map[string]auth.APIKey{
		"listed":     {Keys: keys},
		"stored":     {Store: &shelf{keys: keys}},
		"remembered": {Store: &shelf{keys: keys}, Remember: time.Hour},
	} {
		got := ratio(a, near, far)
		for range 2 {
			if math.Abs(got-1) > 0.1 { // something else may have hit one of them: it does not do so always
				got = ratio(a, near, far)
			}
		}
		assert.InDelta(t, 1, got, 0.1, name)
	}
}

// comparedByBytes imitates what must not be done.
func comparedByBytes(a, b string) bool {
	for i := range len(b) {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// ratio returns how much longer near takes than far. The two take turns, so that whatever
// else the machine does hits both, and of each it is the median that counts.
func ratio(a auth.Authenticator, near, far *http.Request) float64 {
	const runs = 2000
	h := auth.Require(a)(http.NotFoundHandler())
	var took [2][]time.Duration
	for i := range 2 * runs {
		r := near
		if i%2 == 1 {
			r = far
		}
		start := time.Now()
		h.ServeHTTP(nowhere{}, r)
		took[i%2] = append(took[i%2], time.Since(start))
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return float64(took[0][runs/2]) / float64(max(took[1][runs/2], 1))
}

// nowhere is a response that costs next to nothing.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
