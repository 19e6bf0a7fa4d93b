package cache_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
