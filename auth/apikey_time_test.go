package auth

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A key is long here, so that a comparison that ends at the first difference would show.
func TestAPIKeyRefusalTakesAsLongHoweverMuchOfTheKeyIsRight(t *testing.T) {
	right := strings.Repeat("k", maxCredential)
	keys := map[string]*Principal{HashKey(right): {Subject: "acme"}}
	store := KeyStoreFunc(func(_ context.Context, hash string) (*Principal, error) { return keys[hash], nil })
	near, far := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRequest(http.MethodGet, "/", nil)
	near.Header.Set("X-Api-Key", right[:len(right)-1]+"x")
	far.Header.Set("X-Api-Key", "x"+right[1:])

	careless := AuthenticatorFunc(func(r *http.Request) (*Principal, error) {
		if comparedByBytes(r.Header["X-Api-Key"][0], right) {
			return keys[HashKey(right)], nil
		}
		return nil, nil
	})
	require.Greater(t, ratio(careless, near, far), 2.0, "the measurement would not see a careless comparison")

	for name, literal := range map[string]APIKey{
		"listed":     {Keys: keys},
		"stored":     {Store: store},
		"remembered": {Store: store, Remember: time.Hour},
	} {
		a, err := literal.build()
		require.NoError(t, err)
		got := ratio(a, near, far)
		for range 2 {
			if math.Abs(got-1) > 0.15 { // something else may have hit one of them: it does not do so always
				got = ratio(a, near, far)
			}
		}
		assert.InDelta(t, 1, got, 0.15, name)
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

// ratio returns how much longer a takes for near than for far. The two take turns, so that
// whatever else the machine does hits both, and of each it is the median that counts.
func ratio(a Authenticator, near, far *http.Request) float64 {
	const runs = 2000
	var took [2][]time.Duration
	for i := range 2 * runs {
		r := near
		if i%2 == 1 {
			r = far
		}
		start := time.Now()
		_, _ = a.Authenticate(r)
		took[i%2] = append(took[i%2], time.Since(start))
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return float64(took[0][runs/2]) / float64(max(took[1][runs/2], 1))
}
