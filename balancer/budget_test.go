package balancer_test

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/balancer"
)

func TestABrownoutDoesNotBecomeARetryStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 1000
		attempts := 0
		random := rand.New(rand.NewPCG(1, 2))
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b", "http://c"},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				attempts++
				if random.IntN(2) == 0 {
					return respond(503, ""), nil
				}
				return respond(200, ""), nil
			}),
		})
		for range requests {
			_, _ = get(t, p)
		}
		assert.LessOrEqual(t, attempts, requests*125/100)
		assert.Greater(t, attempts, requests*115/100)
	})
}

func TestABudgetThatIsUsedUpStillGivesOneRetryASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Retry: balancer.Retry{Attempts: 2},
			Base: tripper(func(*http.Request) (*http.Response, error) { attempts.Add(1); return respond(502, ""), nil }),
		})
		for range 100 {
			_, _ = get(t, p)
		}
		attempts.Store(0)
		for range 5 {
			time.Sleep(time.Second)
			_, _ = get(t, p)
		}
		assert.GreaterOrEqual(t, attempts.Load(), int64(10))
	})
}

// Two of three are dead: the third carries everything, without limit.
func TestConnectionsThatCannotBeMadeCostNoBudget(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets: []string{"http://dead-1", "http://dead-2", "http://alive"}, Balancer: first,
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "alive" {
				return respond(200, ""), nil
			}
			return nil, refused
		}),
	})
	for range 1000 {
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
	}
}
