package cache

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is bounded is what the process really has, not what the books say.
func TestMemoryTakesNoMoreOfTheHeapThanItMay(t *testing.T) {
	const bound = 16 << 20
	keys := 10_000_000
	if underRace {
		keys = 200_000
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // collecting is most of the work
	for name, c := range map[string]struct{ least, most, keys int }{
		"values of all sizes": {100, 4096, keys},
		"small values":        {0, 32, max(keys/20, 150_000)},
		"large values":        {100_000, 1 << 20, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			m := Memory(bound).(*memory)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { setRandom(m, c.keys/4, c.least, c.most) })
			}
			wg.Wait()
			taken := heap() - before
			t.Logf("%d items in %.2f MiB of the heap, and %.2f by the books", m.len(), float64(taken)/(1<<20), float64(m.bytes.Load())/(1<<20))
			assert.LessOrEqual(t, m.bytes.Load(), int64(bound))
			assert.InEpsilon(t, bound, taken, 0.05)
			runtime.KeepAlive(m)
		})
	}
}

func setRandom(m *memory, n, least, most int) {
	ctx, random := context.Background(), rand.New(rand.NewPCG(rand.Uint64(), 1))
	for n := range n {
		key := strconv.FormatUint(random.Uint64(), 16)
		if n%8 == 0 {
			_, _, _ = m.Get(ctx, key) // so that there is something to count
		}
		size := least + random.IntN(max(most>>random.IntN(8)-least, 1)) // small ones are more frequent
		_ = m.Set(ctx, key, make([]byte, size), time.Hour)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first may have found its sweeping not done
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryGivesBackWhatSmallItemsNeeded(t *testing.T) {
	ctx, m := context.Background(), Memory(2<<20).(*memory)
	for i := range 100_000 {
		_ = m.Set(ctx, strconv.Itoa(i), nil, time.Hour)
	}
	full := m.shards[0].overhead()
	for i := range 100 {
		_ = m.Set(ctx, "large "+strconv.Itoa(i), make([]byte, 100_000), time.Hour)
		_, _, _ = m.Get(ctx, "large "+strconv.Itoa(i))
		_, _, _ = m.Get(ctx, "large "+strconv.Itoa(i))
	}
	for i := range 100_000 {
		_ = m.Delete(ctx, strconv.Itoa(i))
	}
	assert.Less(t, m.shards[0].overhead(), full/10)
	for i := range 100 {
		_ = m.Delete(ctx, "large "+strconv.Itoa(i))
	}
	assert.LessOrEqual(t, m.bytes.Load(), slotSize*minSlots)
	assert.Zero(t, m.len())
}

// The books are kept by differences; one that was forgotten would add up.
func TestMemoryKeepsItsBooks(t *testing.T) {
	ctx, m := context.Background(), Memory(32<<20).(*memory)
	require.Greater(t, len(m.shards), 1)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range 3000 {
				key := strconv.Itoa(random.IntN(2000))
				switch random.IntN(8) {
				case 0:
					_ = m.Delete(ctx, key)
				case 1:
					m.setObject(key, worker, random.Int64N(1<<20), time.Minute)
				case 2:
					m.setRecord(key, worker, random.Int64N(1000), time.Minute)
				case 3, 4:
					_ = m.Set(ctx, key, make([]byte, random.IntN(1<<random.IntN(22))), time.Minute)
				default:
					_, _, _ = m.Get(ctx, key)
					_, _ = m.getObject(key)
				}
			}
		})
	}
	wg.Wait()
	var all int64
	for i := range m.shards {
		s := &m.shards[i]
		sum, n := s.overhead(), 0
		for _, q := range []*itemQueue{&s.window, &s.trial, &s.proven} {
			var bytes int64
			for it := q.root.next; it != &q.root; it = it.next {
				assert.Same(t, it, s.table.find(it.hash, it.key))
				bytes += it.cost
				n++
			}
			assert.Equal(t, bytes, q.bytes)
			sum += bytes
		}
		assert.Equal(t, s.table.len, n)
		assert.Equal(t, sum, s.bytes.Load())
		all += sum
	}
	assert.Equal(t, all, m.bytes.Load())
	assert.LessOrEqual(t, all, m.max)
}

func TestMemoryShardsOnlyWhatIsLarge(t *testing.T) {
	for size, shards := range map[int64]int{1: 1, 7 << 20: 1, 8 << 20: 2, 64 << 20: 16, 1 << 40: 64} {
		assert.Len(t, Memory(size).(*memory).shards, shards, "%d bytes", size)
	}
}

func TestMemoryKeepsAValueThatIsLargerThanAShardsShare(t *testing.T) {
	ctx, m := context.Background(), Memory(16<<20).(*memory)
	for i := range 20_000 {
		_ = m.Set(ctx, strconv.Itoa(i), make([]byte, 1000), time.Hour)
	}
	_ = m.Set(ctx, "large", make([]byte, 15<<20), time.Hour)
	_, ok, _ := m.Get(ctx, "large")
	assert.True(t, ok)
	assert.Greater(t, m.len(), 500, "what there was room for beside it is still there")
	assert.LessOrEqual(t, m.bytes.Load(), m.max)
}

func TestRoundingUpIsWhatTheAllocatorDoes(t *testing.T) {
	for _, n := range []int{16, 17, 100, 1000, 1025, 20_000, 32 << 10, 40_000, 1<<20 + 1} {
		kept := make([]string, 200)
		before := heap()
		for i := range kept {
			kept[i] = strings.Repeat("x", n)
		}
		taken := (heap() - before) / int64(len(kept))
		assert.InDelta(t, roundUp(int64(n)), taken, float64(n)/50+2, "%d bytes", n)
		runtime.KeepAlive(kept)
	}
}
