package balancer_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func byUser(r *http.Request) string { return r.Header.Get("X-User") }

var secret = []byte("sixteen bytes ok")

// all is a new balancer of each kind.
func all() map[string]balancer.Balancer {
	return map[string]balancer.Balancer{
		"RoundRobin":         balancer.RoundRobin(),
		"PowerOfTwo":         balancer.PowerOfTwo(),
		"Random":             balancer.Random(),
		"LeastRequest":       balancer.LeastRequest(),
		"LeastLatency":       balancer.LeastLatency(),
		"PeakEWMA":           balancer.PeakEWMA(),
		"WeightedRoundRobin": balancer.WeightedRoundRobin(),
		"ConsistentHash":     balancer.ConsistentHash(byUser),
		"Sticky":             balancer.Sticky(secret, balancer.Session{}),
	}
}

// weighted returns the endpoints of a pool that is told of the weights, in their order.
func weighted(t testing.TB, weights ...int) []*balancer.Endpoint {
	t.Helper()
	var targets balancer.Static
	for i, w := range weights {
		targets = append(targets, balancer.Target{URL: fmt.Sprintf("http://host-%d", i), Weight: w})
	}
	p, err := balancer.New(balancer.Config{Resolver: targets})
	require.NoError(t, err)
	return p.Endpoints()
}

// busy returns endpoints as they are in the midst of their work.
func busy(t testing.TB, n int) []*balancer.Endpoint {
	t.Helper()
	ready := endpoints(t, n)
	for i, e := range ready {
		balancer.Answer(e, time.Duration(20+i%7)*time.Millisecond)
		balancer.Hold(e, int64(1+i%3))
	}
	return ready
}

// user is a request whose key is ConsistentHash's, and which is in a session of Sticky's.
func user(t testing.TB, name string, ready []*balancer.Endpoint) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	require.NoError(t, err)
	r.Header.Set("X-User", name)
	if ready != nil {
		res := respond(200, "")
		balancer.Follow(balancer.Sticky(secret, balancer.Session{}), r, res, ready[len(ready)/2])
		r.Header.Set("Cookie", cookieOf(t, res).String())
	}
	return r
}

func BenchmarkPick(b *testing.B) {
	balancers := all()
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range balancers {
			if !yield(name) {
				return
			}
		}
	}) {
		for _, n := range []int{3, 8, 32, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				ready, picker := busy(b, n), balancers[name]
				r := user(b, "ann", ready)
				b.ReportAllocs()
				for b.Loop() {
					picker.Pick(r, ready)
				}
			})
		}
	}
}

func TestNoPickAllocates(t *testing.T) {
	for _, n := range []int{1, 3, 32, 100} {
		ready := busy(t, n)
		r := user(t, "ann", ready)
		for name, b := range all() {
			b.Pick(r, ready) // what it computes once
			assert.Zero(t, testing.AllocsPerRun(100, func() { b.Pick(r, ready) }), "%s of %d", name, n)
		}
	}
}

func TestEveryBalancerPicksOfWhatIsReady(t *testing.T) {
	for _, n := range []int{1, 2, 3, 70} {
		for name, b := range all() {
			everyone := busy(t, n)
			r := user(t, "ann", everyone)
			for left := n; left > 0; left-- {
				ready := everyone[n-left:]
				for range 3 {
					require.Contains(t, ready, b.Pick(r, ready), "%s: %d of %d", name, left, n)
				}
			}
		}
	}
}

// What Pick reads changes all the time, and the set of endpoints under it; the race detector
// looks on.
func TestEveryBalancerBearsWhatGoesOnAroundIt(t *testing.T) {
	for name, b := range all() {
		t.Run(name, func(t *testing.T) {
			targets := func(n, from int) (all balancer.Static) {
				for i := range n {
					all = append(all, balancer.Target{URL: fmt.Sprintf("http://host-%d", from+i), Weight: 1 + i%3})
				}
				return all
			}
			p := newPool(t, balancer.Config{Resolver: targets(70, 0), Balancer: b})
			r := user(t, "ann", p.Endpoints())
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					for i := range 300 {
						ready := p.Endpoints()
						e := b.Pick(r, ready)
						if !slices.Contains(ready, e) {
							t.Errorf("%v was not offered", e)
							return
						}
						balancer.Hold(e, 1)
						balancer.Answer(e, time.Duration(i))
						balancer.Hold(e, -1)
					}
				})
			}
			for i := range 20 {
				require.NoError(t, balancer.Retarget(p, targets(60+i, i)))
				balancer.WarmUp(p.Endpoints()[0])
			}
			users.Wait()
		})
	}
}
