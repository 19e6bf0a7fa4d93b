package cache_test

import (
	"bytes"
	"context"
	"fmt"
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
