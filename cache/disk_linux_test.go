package cache_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nobody has f run without the right to override permissions, if we have it.
func nobody(t *testing.T, dir string, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	require.NoError(t, os.Chown(dir, 65534, 65534))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := unix.SetfsuidRetUid(65534) // of this thread alone
	require.NoError(t, err)
	defer func() { _, _ = unix.SetfsuidRetUid(old) }()
	f()
}

func TestDiskWithoutPermissionFailsAndRecovers(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "disk") //nolint:usetesting // the test's own directory is closed to others
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	nobody(t, dir, func() {
		d := openDisk(t, dir, 256<<10)
		for i := range 60 {
			toDisk(t, d, strconv.Itoa(i), "v")
		}
		before := openFiles(t)
		require.NoError(t, os.Chmod(dir, 0o500))
		assert.ErrorIs(t, d.Set(t.Context(), "new", nil, time.Hour), syscall.EACCES)
		assert.ErrorIs(t, d.Delete(t.Context(), "1"), syscall.EACCES)
		for i := range 100 {
			assert.ErrorIs(t, d.Set(t.Context(), "new "+strconv.Itoa(i), nil, time.Hour), syscall.EACCES)
		}
		assert.False(t, onDisk(t, d, "1"))
		assert.False(t, onDisk(t, d, "new"))
		for i := range 60 {
			assert.Equal(t, i != 1, onDisk(t, d, strconv.Itoa(i)), "that nothing can be removed costs no entries")
		}
		require.NoError(t, os.Chmod(dir, 0))
		_, _, err := d.Get(t.Context(), "40")
		assert.ErrorIs(t, err, syscall.EACCES)
		assert.ErrorIs(t, d.Set(t.Context(), "new", nil, time.Hour), syscall.EACCES)
		_, err = openAgain(dir)
		assert.Error(t, err)
		require.NoError(t, os.Chmod(dir, 0o700))
		_, err = openAgain(dir)
		assert.ErrorContains(t, err, "in use", "the lock was kept all the while")
		assert.Equal(t, "v", fromDisk(t, d, "40"))
		sameAfterwards(t, d, dir, before)
		for i := range 100 {
			toDisk(t, d, strconv.Itoa(i), "w")
		}
		assert.Len(t, filesIn(t, dir), 256<<10/(4096+256))
		require.NoError(t, d.Close())
	})
}

// fileSystem mounts one of so many bytes on a new directory, where we may: root may.
func fileSystem(t *testing.T, bytes int64) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		require.ErrorIs(t, err, syscall.EPERM)
		t.Log("no file system of our own:", err)
		return "", false
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, true
}

// Where no file system can be mounted, the limit in
// TestDiskThatCannotWriteMoreFailsAndRecovers stands for this.
func TestDiskThatIsFullFailsAndRecovers(t *testing.T) {
	dir, ok := fileSystem(t, 1<<20)
	if !ok {
		return
	}
	d := openDisk(t, dir, 16<<20)
	before := openFiles(t)
	full := 0
	for i := range 600 {
		key := strconv.Itoa(i % 200)
		if err := d.Set(t.Context(), key, make([]byte, 9000), time.Hour); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			assert.False(t, onDisk(t, d, key))
			full++
		}
	}
	assert.Positive(t, full)
	for _, path := range filesIn(t, dir) {
		assert.NotContains(t, path, ".tmp")
	}
	for i := range 200 {
		require.NoError(t, d.Delete(t.Context(), strconv.Itoa(i)))
	}
	assert.Empty(t, filesIn(t, dir))
	sameAfterwards(t, d, dir, before)
	require.NoError(t, d.Close())
}

// A file system that is no larger than the bound is never full, at no moment. Where
// none can be mounted, TestDiskHoldsItsBoundUnderRandomSizes has looked at it from outside.
func TestDiskNeedsNoMoreThanItsBoundAtAnyMoment(t *testing.T) {
	const limit = 1 << 20
	dir, ok := fileSystem(t, limit)
	if !ok {
		return
	}
	d := openDisk(t, dir, limit)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(i)))
			for range 500 {
				key, size := strconv.Itoa(random.IntN(100)), random.IntN(1<<random.IntN(18))
				assert.NoError(t, d.Set(t.Context(), key, make([]byte, size), time.Hour))
			}
		})
	}
	wg.Wait()
	assert.Greater(t, bytesIn(t, dir), int64(limit/2), "and it is made use of")
	require.NoError(t, d.Close())
}
