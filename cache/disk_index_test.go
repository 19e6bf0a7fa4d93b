package cache

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newDisk(t *testing.T) *Disk {
	t.Helper()
	d, err := OpenDisk(t.TempDir(), 1<<20)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// slowSet is a Set whose disk hangs until the returned function is called.
func slowSet(d *Disk, key, val string) (goOn func() (bool, error)) {
	f := diskFile{id: diskIDOf(key), size: diskSize(key, []byte(val)), expires: diskExpiry(time.Now(), time.Hour)}
	f.seq = d.begin(f.id)
	return func() (bool, error) {
		kept, err := d.store(nil, f, key, []byte(val)) //nolint:staticcheck // SA1012: it is asked only if something must go
		if !kept {
			d.giveUp(f)
		}
		return kept, err
	}
}

// An engine that has given up a Set calls Delete, or Set again: what it gave up must not
// come back.
func TestDiskSetThatWasOvertakenHasNoEffect(t *testing.T) {
	for name, later := range map[string]func(d *Disk) error{
		"by Delete":                  func(d *Disk) error { return d.Delete(t.Context(), "k") },
		"by Set":                     func(d *Disk) error { return d.Set(t.Context(), "k", []byte("new"), time.Hour) },
		"by Set without ttl":         func(d *Disk) error { return d.Set(t.Context(), "k", []byte("new"), 0) },
		"by Set of what is too much": func(d *Disk) error { return d.Set(t.Context(), "k", make([]byte, 1<<20), time.Hour) },
	} {
		d := newDisk(t)
		require.NoError(t, d.Set(t.Context(), "k", []byte("before"), time.Hour))
		goOn := slowSet(d, "k", "abandoned")
		require.NoError(t, later(d))
		kept, err := goOn()
		require.NoError(t, err)
		assert.False(t, kept, name)
		val, ok, err := d.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, name == "by Set", ok && string(val) == "new", "%s: %q", name, val)
		assert.NotEqual(t, "abandoned", string(val), name)
		assert.EqualValues(t, len(d.index.numbers)*(4096+256), d.index.used, name)
		assert.Empty(t, d.index.pending, name)
		entries, err := os.ReadDir(d.dir)
		require.NoError(t, err)
		assert.Len(t, entries, 1+len(d.index.numbers), name)
	}
}

func TestDiskEvictionThatFailsGivesTheEntryBackUnlessItWasDeleted(t *testing.T) {
	x := newDiskIndex(10_000)
	f := diskFile{id: diskIDOf("k"), seq: 7, size: 100, expires: diskNoFile.expires}
	x.fill([]diskFile{f}, time.Now())
	victim, full := x.reserve(8000)
	require.True(t, full)
	require.Equal(t, f, victim)
	x.evicted(victim, false)
	_, ok := x.use(f.id, time.Time{})
	assert.True(t, ok)

	victim, _ = x.reserve(8000)
	x.forget(f.id)
	x.evicted(victim, false)
	_, ok = x.use(f.id, time.Time{})
	assert.False(t, ok)
	assert.Equal(t, []diskDoomed{f.doomed()}, x.sweep(time.Now()))
	assert.Equal(t, f.cost(), x.used, "it counts until it is removed")
	assert.Empty(t, x.pending)
}

func TestDiskCountsWhatIsThere(t *testing.T) {
	d := newDisk(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(i)))
			for range 300 {
				key, ttl := strconv.Itoa(random.IntN(200)), time.Duration(random.IntN(3)-1)*time.Hour
				switch random.IntN(4) {
				case 0:
					assert.NoError(t, d.Delete(t.Context(), key))
				case 1:
					_, _, err := d.Get(t.Context(), key)
					assert.NoError(t, err)
				default:
					assert.NoError(t, d.Set(t.Context(), key, make([]byte, random.IntN(40_000)), ttl))
				}
			}
		})
	}
	wg.Wait()
	var sum int64
	entries, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	for _, e := range entries {
		if f, ok := parseDiskName(e.Name()); ok {
			info, err := e.Info()
			require.NoError(t, err)
			f.size = info.Size()
			sum += f.cost()
		}
	}
	assert.Equal(t, sum, d.index.used)
	assert.Len(t, entries, 1+len(d.index.numbers))
	assert.Empty(t, d.index.pending)
	assert.Empty(t, d.index.doomed)
	assert.Equal(t, len(d.index.slots), 1+len(d.index.numbers)+len(d.index.free))
}

func TestDiskIndexCostsAboutAHundredBytesForAnEntry(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := newDiskIndex(n * 5000)
	for i := range n {
		x.put(diskFile{id: diskIDOf(strconv.Itoa(i)), seq: uint64(i)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / n
	t.Log(each, "bytes")
	assert.Less(t, each, uint64(160))
	runtime.KeepAlive(x)
}
