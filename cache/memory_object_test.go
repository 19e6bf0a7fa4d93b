package cache

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is an object that can be encoded.
type page string

func (p *page) encode() []byte { return []byte("encoded " + *p) }

func bytesOf(t *testing.T, m *memory, key string) (string, bool) {
	t.Helper()
	val, ok, err := m.Get(context.Background(), key)
	require.NoError(t, err)
	return string(val), ok
}

func TestMemoryReturnsTheObjectThatWasSet(t *testing.T) {
	m, p := Memory(10_000).(*memory), page("a")
	m.setObject("k", &p, 100, time.Minute)
	obj, ok := m.getObject("k")
	require.True(t, ok)
	assert.Same(t, &p, obj)
	val, ok := bytesOf(t, m, "k")
	assert.True(t, ok)
	assert.Equal(t, "encoded a", val)

	require.NoError(t, m.Delete(t.Context(), "k"))
	_, ok = m.getObject("k")
	assert.False(t, ok)
}

func TestMemoryDoesNotReturnAnObjectAsBytesNorBytesAsAnObject(t *testing.T) {
	m := Memory(10_000).(*memory)
	m.setObject("k", 42, 8, time.Minute)
	_, ok := bytesOf(t, m, "k")
	assert.False(t, ok, "42 cannot be encoded")

	require.NoError(t, m.Set(t.Context(), "k", []byte("bytes"), time.Minute))
	_, ok = m.getObject("k")
	assert.False(t, ok)
	val, _ := bytesOf(t, m, "k")
	assert.Equal(t, "bytes", val)

	m.setObject("k", 43, 8, time.Minute)
	obj, _ := m.getObject("k")
	assert.Equal(t, 43, obj)
	assert.Equal(t, 1, m.len())
}

func TestMemoryForgetsObjectsThatHaveExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Memory(10_000).(*memory)
		m.setObject("k", 42, 8, time.Minute)
		m.setObject("for ever", 43, 8, 1<<63-1)
		time.Sleep(time.Minute)
		_, ok := m.getObject("k")
		assert.False(t, ok)
		assert.Equal(t, 1, m.len(), "nothing is kept of it")
		_, ok = m.getObject("for ever")
		assert.True(t, ok, "a time that ends after all time is none that is over")
		m.setObject("for ever", 43, 8, 0)
		assert.Zero(t, m.len())
	})
}

func TestMemoryCountsWhatAnObjectSaysItKeeps(t *testing.T) {
	m := Memory(10_000).(*memory)
	m.setObject("small", 1, 8, time.Minute)
	m.setObject("large", 2, 9700, time.Minute)
	_, ok := m.getObject("small")
	assert.False(t, ok, "there was no room for both")
	_, ok = m.getObject("large")
	assert.True(t, ok)
	m.setObject("large", 3, 20_000, time.Minute)
	m.setObject("liar", 4, -1<<40, time.Minute)
	assert.Positive(t, m.bytes.Load())
	assert.Equal(t, 1, m.len(), "what is larger than the memory is not kept")
}

// popular fills m, and asks for all that is in it until nobody new can compete.
func popular(t *testing.T, m *memory) {
	t.Helper()
	for i := range 1000 {
		m.setObject("popular "+strconv.Itoa(i), i, 1000, time.Hour)
	}
	for range 20 {
		for i := range 1000 {
			_, _ = m.getObject("popular " + strconv.Itoa(i))
		}
	}
}

// flood sets what nobody asks for.
func flood(m *memory) {
	for i := range 20_000 {
		m.setObject("flood "+strconv.Itoa(i), i, 1000, time.Hour)
	}
}

func TestMemoryKeepsWhatIsPopularThroughAFlood(t *testing.T) {
	m := Memory(1 << 20).(*memory)
	popular(t, m)
	flood(m)
	kept := 0
	for i := range 1000 {
		if _, ok := m.getObject("popular " + strconv.Itoa(i)); ok {
			kept++
		}
	}
	assert.Greater(t, kept, 500)
	_, ok := m.getObject("flood 19999")
	assert.True(t, ok, "what has just been set is there all the same")
	_, ok = m.getObject("flood 0")
	assert.False(t, ok)
}

func TestMemoryDoesNotRefuseRecordsNorWhatWasDeletedJustNow(t *testing.T) {
	m := Memory(1 << 20).(*memory)
	popular(t, m)
	m.setObject("ordinary", 1, 100, time.Hour)
	m.setRecord("record", 2, 100, time.Hour)
	_, ok := m.getObject("popular 999")
	require.True(t, ok)
	require.NoError(t, m.Delete(t.Context(), "popular 999"))
	m.setObject("popular 999", 3, 100, time.Hour)
	flood(m)
	_, ok = m.getObject("ordinary")
	assert.False(t, ok)
	_, ok = m.getObject("record")
	assert.True(t, ok)
	obj, _ := m.getObject("popular 999")
	assert.Equal(t, 3, obj)
}

// A record that nobody uses goes in its time, or records would fill the memory.
func TestMemoryDropsRecordsToo(t *testing.T) {
	m := Memory(1 << 20).(*memory)
	for i := range 5000 {
		m.setRecord(strconv.Itoa(i), i, 1000, time.Hour)
	}
	assert.LessOrEqual(t, m.bytes.Load(), m.max)
	_, ok := m.getObject("0")
	assert.False(t, ok)
	_, ok = m.getObject("4999")
	assert.True(t, ok)
}

func TestMemoryHasRoomForWhatLivesWhereOthersHaveExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Memory(1 << 20).(*memory)
		popular(t, m) // for an hour
		time.Sleep(time.Hour)
		kept := 0
		for i := range 600 {
			m.setObject("new "+strconv.Itoa(i), i, 1000, time.Hour)
		}
		for i := range 600 {
			if _, ok := m.getObject("new " + strconv.Itoa(i)); ok {
				kept++
			}
		}
		assert.Greater(t, kept, 500, "however popular the others were")
	})
}

func TestMemoryHasWhatWasSetLast(t *testing.T) {
	m := Memory(10_000).(*memory)
	for i := range 20 {
		key := strconv.Itoa(i)
		if i%2 == 0 {
			m.setObject(key, i, 9000, time.Hour)
		} else {
			m.setRecord(key, i, 9000, time.Hour)
		}
		_, ok := m.getObject(key)
		require.True(t, ok, key)
	}
}

func TestMemoryFindsAnObjectWithoutAllocating(t *testing.T) {
	if underRace {
		return // it allocates
	}
	m := Memory(1 << 20).(*memory)
	m.setObject("k", new(int), 8, time.Hour)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = m.getObject("k") }))
}

func TestMemoryNeverMixesKeysUpUnderLoad(t *testing.T) {
	m := Memory(64 << 10).(*memory)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := range 5000 {
				i := (worker*31 + n*7) % 300
				key := strconv.Itoa(i)
				if obj, ok := m.getObject(key); ok {
					assert.Equal(t, i, obj)
				}
				if n%50 == 0 {
					_ = m.Delete(t.Context(), key)
				}
				m.setObject(key, i, int64(n%900), time.Hour)
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, m.bytes.Load(), m.max)
}

// Collisions must not make one key's value another's.
func TestItemTableTellsKeysWithOneHashApart(t *testing.T) {
	var table itemTable
	items := make([]*item, 100)
	for i := range items {
		items[i] = &item{key: strconv.Itoa(i), hash: 7}
		table.add(items[i])
	}
	for i, it := range items {
		require.Same(t, it, table.find(7, strconv.Itoa(i)))
	}
	for i, it := range items {
		table.remove(it)
		require.Nil(t, table.find(7, strconv.Itoa(i)))
		require.Equal(t, len(items)-i-1, table.len)
	}
}

func BenchmarkMemoryHit(b *testing.B) {
	m := Memory(64 << 20).(*memory)
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = "GET https://shop.test/offers/" + strconv.Itoa(i)
		m.setObject(keys[i], i, 1000, time.Hour)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, _ = m.getObject(keys[i%len(keys)])
		}
	})
}

func BenchmarkMemoryHitOfOneKey(b *testing.B) {
	m := Memory(64 << 20).(*memory)
	m.setObject("GET https://shop.test/offers", 1, 1000, time.Hour)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = m.getObject("GET https://shop.test/offers")
		}
	})
}

func BenchmarkMemorySet(b *testing.B) {
	m, ctx, val := Memory(64<<20).(*memory), context.Background(), make([]byte, 1000)
	keys := make([]string, 200_000)
	for i := range keys {
		keys[i] = "GET https://shop.test/offers/" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_ = m.Set(ctx, keys[i*7919%len(keys)], val, time.Hour)
		}
	})
}
