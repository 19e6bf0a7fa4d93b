package balancer_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// named are targets by the numbers in their names.
func named(numbers ...int) (all balancer.Static) {
	for _, i := range numbers {
		all = append(all, balancer.Target{URL: fmt.Sprintf("http://host-%d", i)})
	}
	return all
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// keyed returns requests with n different keys.
func keyed(n int) []*http.Request {
	all := make([]*http.Request, n)
	for i := range all {
		all[i] = &http.Request{Header: http.Header{"X-User": {fmt.Sprintf("user-%d", i)}}}
	}
	return all
}

// owners returns which endpoint each request goes to, by address.
func owners(b balancer.Balancer, ready []*balancer.Endpoint, requests []*http.Request) []string {
	all := make([]string, len(requests))
	for i, r := range requests {
		all[i] = b.Pick(r, ready).URL()
	}
	return all
}

func moved(before, after []string) (n int) {
	for i := range before {
		if before[i] != after[i] {
			n++
		}
	}
	return n
}

func counted(owners []string) map[string]int {
	counts := map[string]int{}
	for _, o := range owners {
		counts[o]++
	}
	return counts
}

// poolSizes are with rendezvous hashing and with a table.
var poolSizes = []int{2, 3, 64, 65, 100}

func TestConsistentHashSpreadsKeysEvenly(t *testing.T) {
	for _, n := range poolSizes {
		ready := endpoints(t, n)
		counts := counted(owners(balancer.ConsistentHash(byUser), ready, keyed(400*n)))
		for _, e := range ready {
			assert.InDelta(t, 400, counts[e.URL()], 100, "%v of %d", e, n)
		}
	}
}

// Gateways that know the targets in another order, that were started later, or that have
// seen other targets before.
func TestConsistentHashIsTheSameInEveryGateway(t *testing.T) {
	requests := keyed(5000)
	for _, n := range poolSizes {
		want := owners(balancer.ConsistentHash(byUser), newPool(t, balancer.Config{Resolver: named(numbers(n)...)}).Endpoints(), requests)
		shuffled := numbers(n)
		rand.New(rand.NewPCG(1, uint64(n))).Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		b := balancer.ConsistentHash(byUser)
		p := newPool(t, balancer.Config{Resolver: named(numbers(n + 7)...), Balancer: b, SlowStart: -1})
		owners(b, p.Endpoints(), requests[:100])
		require.NoError(t, balancer.Retarget(p, named(shuffled...)))
		assert.Equal(t, want, owners(b, p.Endpoints(), requests), "%d", n)
	}
}

// The addresses are hashed by what they are, not by a seed of this process: a new version
// that hashed otherwise would make every cache behind it cold.
func TestConsistentHashStaysAsItIs(t *testing.T) {
	for n, want := range map[int][]int{10: {6, 8, 0, 0, 4}, 100: {61, 47, 30, 31, 92}} {
		for i, owner := range owners(balancer.ConsistentHash(byUser), endpoints(t, n), keyed(5)) {
			assert.Equal(t, fmt.Sprintf("http://host-%d", want[i]), owner, "user-%d of %d", i, n)
		}
	}
}

// One endpoint of n goes.
func TestConsistentHashMovesFewKeys(t *testing.T) {
	requests := keyed(10000)
	for _, c := range []struct {
		n       int
		removed bool    // it is no longer a target; otherwise it is not ready
		most    float64 // keys that move, per key of the one that has gone
	}{{3, true, 1}, {10, true, 1}, {64, true, 1}, {10, false, 1}, {100, false, 1}, {100, true, 2.5}} {
		b := balancer.ConsistentHash(byUser)
		p := newPool(t, balancer.Config{Resolver: named(numbers(c.n)...), Balancer: b, SlowStart: -1})
		before := owners(b, p.Endpoints(), requests)
		gone := p.Endpoints()[c.n/2].URL()
		ready := slices.Delete(p.Endpoints(), c.n/2, c.n/2+1)
		if c.removed {
			require.NoError(t, balancer.Retarget(p, named(slices.Delete(numbers(c.n), c.n/2, c.n/2+1)...)))
			ready = p.Endpoints()
		}
		after := owners(b, ready, requests)
		its := counted(before)[gone]
		assert.NotContains(t, after, gone)
		assert.LessOrEqual(t, moved(before, after), int(c.most*float64(its)), "%+v", c)

		orphans := map[string]int{}
		for i := range before {
			if before[i] == gone {
				orphans[after[i]]++
			}
		}
		for heir, n := range orphans {
			assert.LessOrEqual(t, float64(n), 0.7*float64(its), "%s inherits nearly all: %+v", heir, c)
		}
		assert.GreaterOrEqual(t, len(orphans), min(c.n-1, 40), "%+v", c)
	}
}

func TestConsistentHashSharesByWeight(t *testing.T) {
	for _, n := range []int{3, 90} {
		weights := make([]int, n)
		sum := 0
		for i := range weights {
			weights[i] = 1 + i%3
			sum += weights[i]
		}
		ready := weighted(t, weights...)
		counts := counted(owners(balancer.ConsistentHash(byUser), ready, keyed(400*sum)))
		for i, e := range ready {
			assert.InDelta(t, 400*weights[i], counts[e.URL()], 150, "%d of %d", i, n)
		}
	}
}

// A weight that is raised takes keys from the others, and moves none among them.
func TestConsistentHashGivesAWarmingEndpointItsKeysBitByBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, b, requests := endpoints(t, 4), balancer.ConsistentHash(byUser), keyed(10000)
		balancer.WarmUp(ready[3])
		before := owners(b, ready, requests)
		for _, c := range []struct {
			after time.Duration
			share float64
		}{{0, 0.1 / 3.1}, {5 * time.Second, 0.5 / 3.5}, {5 * time.Second, 0.25}} {
			time.Sleep(c.after)
			now := owners(b, ready, requests)
			assert.InDelta(t, c.share, float64(counted(now)[ready[3].URL()])/10000, 0.015)
			for i := range now {
				if now[i] != before[i] {
					require.Equal(t, ready[3].URL(), now[i])
				}
			}
			before = now
		}
	})
}

// Most want the same: nobody gets more than 1.25 times the mean, rounded up, and the others
// go to the same few.
func TestConsistentHashBoundsTheLoadOfAnEndpoint(t *testing.T) {
	for _, n := range poolSizes {
		ready, b := endpoints(t, n), balancer.ConsistentHash(byUser)
		requests := keyed(1000)
		random := rand.New(rand.NewPCG(2, uint64(n)))
		var used []*balancer.Endpoint
		for range 30 * n {
			key := 0
			if random.Float64() < 0.2 {
				key = random.IntN(len(requests))
			}
			e := b.Pick(requests[key], ready)
			balancer.Hold(e, 1)
			used = append(used, e)
			require.Less(t, float64(e.InFlight()), 1.25*float64(len(used))/float64(n)+1, "of %d", n)
			if len(used) == 10*n { // from here on as many end as begin
				i := random.IntN(len(used))
				balancer.Hold(used[i], -1)
				used = slices.Delete(used, i, i+1)
			}
		}
		holding := map[*balancer.Endpoint]bool{}
		for _, e := range used {
			holding[e] = true
		}
		assert.GreaterOrEqual(t, len(holding), 8*n/10)
	}
}

func TestConsistentHashBoundsTheLoadByWeight(t *testing.T) {
	ready, b := weighted(t, 6, 3, 1), balancer.ConsistentHash(byUser)
	for range 1000 {
		balancer.Hold(b.Pick(keyed(1)[0], ready), 1)
	}
	for i, w := range []float64{0.6, 0.3, 0.1} {
		assert.LessOrEqual(t, float64(ready[i].InFlight()), 1250*w+1)
	}
}

func TestConsistentHashWithoutAKeyTakesTheLeastLoaded(t *testing.T) {
	for _, n := range []int{3, 64} {
		ready := endpoints(t, n)
		for _, e := range ready {
			balancer.Hold(e, 1)
		}
		balancer.Hold(ready[1], -1)
		assert.Same(t, ready[1], balancer.ConsistentHash(byUser).Pick(&http.Request{}, ready))
	}
}

func TestConsistentHashFindsTheFewThatAreLeft(t *testing.T) {
	all, b := endpoints(t, 150), balancer.ConsistentHash(byUser)
	left := []*balancer.Endpoint{all[3], all[70], all[149]}
	counts := counted(owners(b, left, keyed(3000)))
	for _, e := range left {
		assert.InDelta(t, 1000, counts[e.URL()], 200)
	}
}

// While one request makes the new table, the others go by the old one, and all of them to
// what they are offered.
func TestConsistentHashMakesItsTableWithoutHoldingUpOthers(t *testing.T) {
	b := balancer.ConsistentHash(byUser)
	p := newPool(t, balancer.Config{Resolver: named(numbers(100)...), Balancer: b})
	requests := keyed(50)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 20 {
				ready := p.Endpoints()
				for _, r := range requests {
					if e := b.Pick(r, ready); !slices.Contains(ready, e) {
						t.Errorf("%v was not offered", e)
					}
				}
			}
		})
	}
	for i := range 10 {
		require.NoError(t, balancer.Retarget(p, named(numbers(100+i)...)))
	}
	clients.Wait()
}

// A resolver that says the same again, in another order, costs nothing.
func TestConsistentHashKeepsItsTableWhileTheTargetsAreTheSame(t *testing.T) {
	b, r := balancer.ConsistentHash(byUser), keyed(1)[0]
	p := newPool(t, balancer.Config{Resolver: named(numbers(100)...), Balancer: b})
	takes := func() uint64 {
		ready := p.Endpoints()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b.Pick(r, ready)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	assert.Greater(t, takes(), uint64(100<<10), "a table")
	again := numbers(100)
	slices.Reverse(again)
	require.NoError(t, balancer.Retarget(p, named(again...)))
	assert.Less(t, takes(), uint64(10<<10))
	require.NoError(t, balancer.Retarget(p, named(again[1:]...)))
	assert.Greater(t, takes(), uint64(100<<10), "another")
}

func TestConsistentHashNeedsAKey(t *testing.T) {
	assert.PanicsWithValue(t, "balancer: ConsistentHash has no key", func() { balancer.ConsistentHash(nil) })
}
