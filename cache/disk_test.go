package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func openDisk(t testing.TB, dir string, maxBytes int64) *cache.Disk {
	t.Helper()
	d, err := cache.OpenDisk(dir, maxBytes)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func toDisk(t testing.TB, c cache.Cache, key, val string) {
	t.Helper()
	require.NoError(t, c.Set(context.Background(), key, []byte(val), time.Hour))
}

func onDisk(t testing.TB, c cache.Cache, key string) bool {
	t.Helper()
	_, ok, err := c.Get(context.Background(), key)
	require.NoError(t, err)
	return ok
}

func fromDisk(t testing.TB, c cache.Cache, key string) string {
	t.Helper()
	val, ok, err := c.Get(context.Background(), key)
	require.NoError(t, err)
	require.True(t, ok, "%q is there", key)
	return string(val)
}

// filesIn returns the paths of what is in dir, but for the lock.
func filesIn(t testing.TB, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() != "lock" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

func onlyFileIn(t testing.TB, dir string) string {
	t.Helper()
	paths := filesIn(t, dir)
	require.Len(t, paths, 1)
	return paths[0]
}

// bytesIn is what the files in dir count as. Those that go in the meantime do not.
func bytesIn(t testing.TB, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != "lock" {
			sum += (info.Size()+4095)/4096*4096 + 256
		}
	}
	return sum
}

func TestDiskRefusesADirectoryWithoutNameAndTooFewBytes(t *testing.T) {
	_, err := cache.OpenDisk("", 1<<20)
	assert.Error(t, err)
	for _, n := range []int64{math.MinInt64, -1, 0, 64<<10 - 1} {
		_, err = cache.OpenDisk(t.TempDir(), n)
		assert.Error(t, err, "%d", n)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = cache.OpenDisk(file, 1<<20)
	assert.Error(t, err, "a file is no directory")
}

func TestDiskRefusesADirectoryThatIsOpen(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	_, err := cache.OpenDisk(dir, 1<<20)
	require.ErrorContains(t, err, "in use")
	toDisk(t, d, "k", "still mine")
	assert.Equal(t, "still mine", fromDisk(t, d, "k"))

	require.NoError(t, d.Close())
	assert.Equal(t, "still mine", fromDisk(t, openDisk(t, dir, 1<<20), "k"))
}

func TestDiskServesNothingOfAFileWithAByteChanged(t *testing.T) {
	whole := "some value"
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "key", whole)
	record, err := os.ReadFile(onlyFileIn(t, dir))
	require.NoError(t, err)
	for i := range record {
		for _, bit := range []byte{1, 0x80, 0xff} {
			toDisk(t, d, "key", whole)
			path := onlyFileIn(t, dir)
			torn, err := os.ReadFile(path)
			require.NoError(t, err)
			torn[i] ^= bit
			require.NoError(t, os.WriteFile(path, torn, 0o600))
			require.False(t, onDisk(t, d, "key"), "byte %d", i)
			require.Empty(t, filesIn(t, dir), "byte %d: it is removed", i)
		}
	}
}

func TestDiskServesNothingOfAFileOfAnotherLength(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		dir := t.TempDir()
		d := openDisk(t, dir, 1<<20)
		toDisk(t, d, "key", "some value")
		record, err := os.ReadFile(onlyFileIn(t, dir))
		require.NoError(t, err)
		for n := range 2*len(record) + 1 {
			if n == len(record) {
				continue
			}
			toDisk(t, d, "key", "some value")
			path := onlyFileIn(t, dir)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, append(b, b...)[:n], 0o600))
			if reopened { // the length is the file's then, and the record is to blame
				require.NoError(t, d.Close())
				d = openDisk(t, dir, 1<<20)
			}
			require.False(t, onDisk(t, d, "key"), "length %d", n)
			require.Empty(t, filesIn(t, dir), "length %d", n)
		}
	}
}

func TestDiskServesNothingUnderAnothersName(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "a", "value of a")
	a := onlyFileIn(t, dir)
	record, err := os.ReadFile(a)
	require.NoError(t, err)
	require.NoError(t, d.Delete(t.Context(), "a"))
	toDisk(t, d, "b", "value of b")
	b := onlyFileIn(t, dir)
	require.NoError(t, os.WriteFile(b, record, 0o600))
	require.False(t, onDisk(t, d, "b"))

	// A later number, and a later expiry, for a file that has neither.
	require.NoError(t, d.Close())
	for i, by := range map[int]byte{len(a) - 18: '9', len(a) - 16: '7'} {
		name := []byte(a)
		name[i] = by
		require.NoError(t, os.WriteFile(string(name), record, 0o600))
		d = openDisk(t, dir, 1<<20)
		require.False(t, onDisk(t, d, "a"), "%s", name)
		require.Empty(t, filesIn(t, dir))
		require.NoError(t, d.Close())
	}
	require.NoError(t, os.WriteFile(a, record, 0o600))
	require.Equal(t, "value of a", fromDisk(t, openDisk(t, dir, 1<<20), "a"), "under its own name it is what it was")
}

func TestDiskLeavesForeignFilesAlone(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 64<<10)
	toDisk(t, d, "k", "v")
	ours := onlyFileIn(t, dir)
	require.NoError(t, d.Close())
	foreign := []string{
		"README", ".hidden", "gatewright-.tmp", "gatewright-xyz.tmp", "gatewright-000000000000000g.tmp",
		strings.ToUpper(filepath.Base(ours)) + "A", filepath.Base(ours) + ".bak", filepath.Base(ours)[1:],
		strings.Repeat("A", 32) + filepath.Base(ours)[32:], // not how we write it
	}
	for _, name := range foreign {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), make([]byte, 50_000), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, strings.Repeat("0", 32)+filepath.Base(ours)[32:]), 0o700))
	d = openDisk(t, dir, 64<<10)
	for i := range 100 {
		toDisk(t, d, strconv.Itoa(i), "v")
	}
	for _, name := range foreign {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.EqualValues(t, 50_000, info.Size())
	}
	assert.Len(t, filesIn(t, dir), len(foreign)+1+64<<10/(4096+256), "and they do not count")
}

func TestDiskRemovesTheDraftsOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gatewright-00000000000000af.tmp"), []byte("half"), 0o600))
	openDisk(t, dir, 1<<20)
	assert.Empty(t, filesIn(t, dir))
}

func TestDiskKeepsTheLaterOfTwoFilesOfAKey(t *testing.T) { // killed between giving one its name and removing the other
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "old")
	path := onlyFileIn(t, dir)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	toDisk(t, d, "k", "new")
	require.NoError(t, d.Close())
	require.NoError(t, os.WriteFile(path, old, 0o600))
	d = openDisk(t, dir, 1<<20)
	assert.Equal(t, "new", fromDisk(t, d, "k"))
	path = onlyFileIn(t, dir)
	toDisk(t, d, "k", "newest")
	assert.Greater(t, onlyFileIn(t, dir), path, "the number in its name")
	require.NoError(t, d.Close())
	assert.Equal(t, "newest", fromDisk(t, openDisk(t, dir, 1<<20), "k"))
}

func TestDiskTakesKeysAndValuesOfAnyBytes(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 256<<20)
	big := make([]byte, 9<<20)
	for i := range big {
		big[i] = byte(i * i >> 3)
	}
	pairs := map[string]string{
		"": "of no key", "../../etc/passwd": "a path", "/": "/", "a\x00b": "\x00", "\xff\xfe": "\xff",
		"lock": "lock", strings.Repeat("long", 100_000): "", "empty": "", "big": string(big),
	}
	for key, val := range pairs {
		toDisk(t, d, key, val)
	}
	for range 2 {
		for key, val := range pairs {
			if fromDisk(t, d, key) != val {
				t.Fatalf("key %.20q", key) // and not the nine megabytes
			}
		}
		require.Len(t, filesIn(t, dir), len(pairs), "and nothing is elsewhere")
		require.NoError(t, d.Close())
		d = openDisk(t, dir, 256<<20)
	}
}

func TestDiskHonoursTheTimeToLiveAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := openDisk(t, dir, 1<<20)
		for key, ttl := range map[string]time.Duration{"short": time.Minute, "long": time.Hour, "ever": math.MaxInt64} {
			require.NoError(t, d.Set(t.Context(), key, []byte(key), ttl))
		}
		time.Sleep(time.Minute - 1)
		require.NoError(t, d.Close())
		d = openDisk(t, dir, 1<<20)
		require.Equal(t, "short", fromDisk(t, d, "short"))
		time.Sleep(time.Nanosecond)
		require.False(t, onDisk(t, d, "short"))
		require.Len(t, filesIn(t, dir), 2, "what has expired is removed")
		require.Equal(t, "long", fromDisk(t, d, "long"))

		require.NoError(t, d.Close())
		time.Sleep(time.Hour)
		d = openDisk(t, dir, 1<<20)
		require.False(t, onDisk(t, d, "long"))
		require.Equal(t, "ever", fromDisk(t, d, "ever"))
		require.NoError(t, d.Close())
	})
}

func TestDiskForgetsWhatIsSetWithoutTimeToLive(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	for _, ttl := range []time.Duration{0, -1, math.MinInt64} {
		toDisk(t, d, "k", "v")
		require.NoError(t, d.Set(t.Context(), "k", []byte("w"), ttl))
		require.False(t, onDisk(t, d, "k"))
		require.Empty(t, filesIn(t, dir))
	}
}

func TestDiskDeletes(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "v")
	require.NoError(t, d.Delete(t.Context(), "k"))
	require.NoError(t, d.Delete(t.Context(), "k"))
	require.False(t, onDisk(t, d, "k"))
	require.Empty(t, filesIn(t, dir))
}

func TestDiskSweepsOutWhatHasExpiredBeforeWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := openDisk(t, dir, 1<<20) // room for 240
		toDisk(t, d, "old", "but in time")
		for i := range 200 {
			require.NoError(t, d.Set(t.Context(), strconv.Itoa(i), nil, time.Second))
		}
		time.Sleep(time.Second)
		for i := range 100 {
			toDisk(t, d, "new "+strconv.Itoa(i), "")
		}
		require.Equal(t, "but in time", fromDisk(t, d, "old"))
		require.Len(t, filesIn(t, dir), 101)
		require.NoError(t, d.Close())
	})
}

func TestDiskDropsWhatWasNotUsedForLongest(t *testing.T) {
	d := openDisk(t, t.TempDir(), 64<<10) // room for 15
	for i := range 15 {
		toDisk(t, d, strconv.Itoa(i), "")
	}
	require.True(t, onDisk(t, d, "0"))
	toDisk(t, d, "15", "")
	assert.True(t, onDisk(t, d, "0"))
	assert.False(t, onDisk(t, d, "1"))
	assert.True(t, onDisk(t, d, "2"))
}

func TestDiskKnowsTheOrderOfUseAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := openDisk(t, dir, 64<<10)
		for i := range 15 {
			toDisk(t, d, strconv.Itoa(i), "")
		}
		for _, path := range filesIn(t, dir) { // the kernel's time is not the bubble's
			require.NoError(t, os.Chtimes(path, time.Now(), time.Now()))
		}
		time.Sleep(10 * time.Minute)
		require.True(t, onDisk(t, d, "0"))
		require.NoError(t, d.Close())
		d = openDisk(t, dir, 64<<10)
		toDisk(t, d, "15", "")
		assert.True(t, onDisk(t, d, "0"))
		assert.False(t, onDisk(t, d, "1"))
		require.NoError(t, d.Close())
	})
}

func TestDiskThatWasOpenedWithLessKeepsLess(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	for i := range 200 {
		toDisk(t, d, strconv.Itoa(i), "")
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, strings.Repeat("0", 32)+"-0000000000000001-7fffffffffffffff"), make([]byte, 100_000), 0o600))
	require.NoError(t, d.Close())
	d = openDisk(t, dir, 64<<10)
	assert.LessOrEqual(t, bytesIn(t, dir), int64(64<<10))
	assert.Len(t, filesIn(t, dir), 15)
	assert.True(t, onDisk(t, d, "199"))
}

func TestDiskDoesNotKeepMoreThanAnEighthForOneKey(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "other", "v")
	toDisk(t, d, "k", "old")
	require.NoError(t, d.Set(t.Context(), "k", make([]byte, 128<<10-256), time.Hour))
	require.False(t, onDisk(t, d, "k"), "the old value is no longer the key's")
	require.True(t, onDisk(t, d, "other"))
	require.NoError(t, d.Set(t.Context(), "k", make([]byte, 120<<10), time.Hour))
	require.True(t, onDisk(t, d, "k"))
}

// The directory is looked at all the while: drafts count, and so does what is
// yet to be removed.
func TestDiskHoldsItsBoundUnderRandomSizes(t *testing.T) {
	const limit = 512 << 10
	dir := t.TempDir()
	d := openDisk(t, dir, limit)
	var done atomic.Bool
	var writers, watcher sync.WaitGroup
	most, looks := int64(0), 0
	watcher.Go(func() {
		for ; !done.Load(); looks++ {
			most = max(most, bytesIn(t, dir))
		}
	})
	for i := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 400 {
				key, size := strconv.Itoa(random.IntN(100)), random.IntN(1<<random.IntN(17))
				assert.NoError(t, d.Set(context.Background(), key, make([]byte, size), time.Hour))
			}
		})
	}
	writers.Wait()
	done.Store(true)
	watcher.Wait()
	assert.Positive(t, looks)
	assert.LessOrEqual(t, bytesIn(t, dir), int64(limit))
	assert.Greater(t, bytesIn(t, dir), int64(limit/2), "and it is made use of")
	// One look is not one moment: it may count a file and what it replaced. That is
	// one file for each writer.
	assert.LessOrEqual(t, most, int64(limit+4*limit/8))
}

func TestDiskServesTheOldTheNewOrNothingButNoMix(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	d := openDisk(t, dir, 256<<10)
	var writers, readers sync.WaitGroup
	var hits, left atomic.Int64
	left.Store(4)
	for i := range 4 {
		writers.Go(func() {
			defer left.Add(-1)
			for n := range 300 {
				key := strconv.Itoa(n % 5)
				if i == 3 {
					assert.NoError(t, d.Delete(ctx, key))
					continue
				}
				val := bytes.Repeat([]byte{byte('a' + n%26)}, 1+n*37%20_000)
				assert.NoError(t, d.Set(ctx, key, append(val, key...), time.Hour))
			}
		})
		readers.Go(func() {
			for n := 0; left.Load() > 0 || n < 5; n++ {
				key := strconv.Itoa(n % 5)
				val, ok, err := d.Get(ctx, key)
				if assert.NoError(t, err); ok {
					hits.Add(1)
					body, found := bytes.CutSuffix(val, []byte(key))
					assert.True(t, found && len(bytes.Trim(body, string(body[:1]))) == 0)
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	assert.Positive(t, hits.Load())
	for _, path := range filesIn(t, dir) {
		assert.NotContains(t, path, ".tmp")
	}
	assert.LessOrEqual(t, len(filesIn(t, dir)), 5)
}

func TestDiskDoesNothingForACancelledContext(t *testing.T) {
	d := openDisk(t, t.TempDir(), 1<<20)
	toDisk(t, d, "k", "v")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := d.Get(ctx, "k")
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, d.Set(ctx, "k", nil, time.Hour), context.Canceled)
	assert.ErrorIs(t, d.Delete(ctx, "k"), context.Canceled)
	assert.Equal(t, "v", fromDisk(t, d, "k"))
}

func TestDiskThatIsClosedIsAnError(t *testing.T) {
	d := openDisk(t, t.TempDir(), 1<<20)
	toDisk(t, d, "k", "v")
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	_, ok, err := d.Get(t.Context(), "k")
	assert.False(t, ok)
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorIs(t, d.Set(t.Context(), "k", nil, time.Hour), os.ErrClosed)
	assert.ErrorIs(t, d.Delete(t.Context(), "k"), os.ErrClosed)
}

func TestDiskClosesWhileItIsUsed(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; d.Set(context.Background(), strconv.Itoa(i), make([]byte, 10_000), time.Hour) == nil; n++ {
				_, _, _ = d.Get(context.Background(), strconv.Itoa(n%4))
			}
		})
	}
	for len(filesIn(t, dir)) < 4 {
		runtime.Gosched()
	}
	require.NoError(t, d.Close())
	before := filesIn(t, dir)
	wg.Wait()
	assert.Equal(t, before, filesIn(t, dir), "what was under way had ended")
	assert.NotContains(t, fmt.Sprint(before), ".tmp")
}

func TestDiskWorksAgainAfterItsDirectoryWasRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for us")
	d := openDisk(t, dir, 256<<10)
	for i := range 50 {
		toDisk(t, d, strconv.Itoa(i), "v")
	}
	require.NoError(t, os.RemoveAll(dir))
	require.False(t, onDisk(t, d, "1"))
	require.NoError(t, d.Delete(t.Context(), "2"))
	for i := range 100 {
		toDisk(t, d, strconv.Itoa(i), "w")
	}
	assert.Equal(t, "w", fromDisk(t, d, "99"))
	assert.LessOrEqual(t, bytesIn(t, dir), int64(256<<10))
	assert.Len(t, filesIn(t, dir), 256<<10/(4096+256))
	_, err := cache.OpenDisk(dir, 1<<20)
	assert.Error(t, err, "the new directory is locked as well")
}

func TestDiskDoesNotUseADirectoryThatAnotherHasLocked(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "v")
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	other := openDisk(t, dir, 1<<20)
	require.Error(t, d.Set(t.Context(), "k", []byte("w"), time.Hour))
	require.NoError(t, other.Close())
	toDisk(t, d, "k", "x")
	assert.Equal(t, "x", fromDisk(t, d, "k"))
}
