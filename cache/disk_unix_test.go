//go:build unix

package cache_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// limitedRole has the test binary be the process that may not write as much as it wants.
const limitedRole = "CACHE_TEST_LIMITED"

func TestDiskShowsItsFilesToNobodyElse(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir := filepath.Join(t.TempDir(), "new")
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "v")
	for path, mode := range map[string]os.FileMode{
		dir: 0o700 | os.ModeDir, filepath.Join(dir, "lock"): 0o600, onlyFileIn(t, dir): 0o600,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode())
	}
}

func TestDiskFollowsNoLinkAndWaitsAtNoPipe(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for name, replace := range map[string]func(string) error{
		"a link":            func(path string) error { return os.Symlink(outside, path) },
		"a link to nothing": func(path string) error { return os.Symlink(outside+"x", path) },
		"a link to a FIFO": func(path string) error {
			return errors.Join(unix.Mkfifo(outside+"p", 0o600), os.Symlink(outside+"p", path))
		},
		"a FIFO without a pen": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory":          func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		d := openDisk(t, dir, 1<<20)
		toDisk(t, d, "k", "v")
		path := onlyFileIn(t, dir)
		require.NoError(t, os.Rename(path, outside), "what it leads to is a record as it should be")
		require.NoError(t, replace(path))

		require.NoError(t, d.Close())
		d = openDisk(t, dir, 1<<20)
		assert.False(t, onDisk(t, d, "k"), "%s is no entry", name)
		assert.Len(t, filesIn(t, dir), 1, "%s is left alone", name)

		require.NoError(t, os.Remove(path))
		toDisk(t, d, "k", "v")
		path = onlyFileIn(t, dir)
		require.NoError(t, os.Rename(path, outside))
		_ = os.Remove(outside + "p")
		require.NoError(t, replace(path))
		assert.False(t, onDisk(t, d, "k"), "%s in place of an entry", name)
		assert.Empty(t, filesIn(t, dir), name)
		_, err := os.Stat(outside)
		assert.NoError(t, err, "what %s leads to is not removed", name)
		_ = os.Remove(outside + "p")
	}
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) (n int) {
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	require.Less(t, n, 512)
	return n
}

// sameAfterwards checks that a condition which made all calls fail has left nothing.
func sameAfterwards(t *testing.T, d interface {
	Set(context.Context, string, []byte, time.Duration) error
	Get(context.Context, string) ([]byte, bool, error)
	Delete(context.Context, string) error
}, dir string, descriptors int,
) {
	t.Helper()
	assert.Equal(t, descriptors, openFiles(t), "no descriptor is left")
	toDisk(t, d, "afterwards", "works again")
	assert.Equal(t, "works again", fromDisk(t, d, "afterwards"))
	for _, path := range filesIn(t, dir) {
		assert.NotContains(t, path, ".tmp")
	}
}

func TestDiskWithoutDescriptorsFailsAndRecovers(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "v")
	toDisk(t, d, "l", "v")
	before := openFiles(t)
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 3
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
	_, ok, getErr := d.Get(t.Context(), "k")
	setErr := d.Set(t.Context(), "l", []byte("w"), time.Hour)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))

	assert.False(t, ok)
	assert.ErrorIs(t, getErr, syscall.EMFILE)
	assert.ErrorIs(t, setErr, syscall.EMFILE)
	assert.Equal(t, "v", fromDisk(t, d, "k"), "it was not the entry's fault")
	assert.False(t, onDisk(t, d, "l"), "what could not be set is not what it was either")
	sameAfterwards(t, d, dir, before)
}

// A limit for the size of files imitates a file system that is full in the middle of a
// write; only the number of the error is another. It is set in a process of its own, as
// that of the tests has files to write to, too.
func TestDiskThatCannotWriteMoreFailsAndRecovers(t *testing.T) {
	if os.Getenv(limitedRole) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), limitedRole+"=1")
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "PASS")
		return
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	dir := t.TempDir()
	d := openDisk(t, dir, 1<<20)
	toDisk(t, d, "k", "old")
	before := openFiles(t)
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &limit))
	little := limit
	little.Cur = 1000
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &little))
	err := d.Set(t.Context(), "k", make([]byte, 5000), time.Hour)
	var others []error
	for i := range 500 { // each would take from the bound, if it were not given back
		others = append(others, d.Set(t.Context(), strconv.Itoa(i), make([]byte, 5000), time.Hour))
	}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))

	assert.ErrorIs(t, err, syscall.EFBIG)
	assert.NotContains(t, others, nil)
	assert.False(t, onDisk(t, d, "k"))
	assert.Empty(t, filesIn(t, dir))
	sameAfterwards(t, d, dir, before)
	for i := range 200 {
		toDisk(t, d, strconv.Itoa(i), "v")
	}
	assert.Len(t, filesIn(t, dir), 201, "all of the bound is there")
}

func TestDiskErrorsNameNoKey(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, 64<<10)
	toDisk(t, d, "secret", "v")
	path := onlyFileIn(t, dir)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "not empty"), 0o700))
	err := d.Delete(t.Context(), "secret")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
	assert.False(t, onDisk(t, d, "secret"))

	// What cannot be removed goes on to count, is tried again, and keeps nobody out.
	for i := range 40 {
		toDisk(t, d, strconv.Itoa(i), "")
	}
	assert.LessOrEqual(t, bytesIn(t, dir), int64(64<<10))
	assert.DirExists(t, path)
	require.NoError(t, os.Remove(filepath.Join(path, "not empty")))
	toDisk(t, d, "k", "")
	assert.NoDirExists(t, path)
	toDisk(t, d, "l", "")
	assert.Len(t, filesIn(t, dir), 15)
}

func TestDiskSaysWhenItCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "lock")))
	before := openFiles(t)
	_, err := openAgain(dir)
	assert.Error(t, err, "the lock is a link")
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	d := openDisk(t, dir, 1<<20)
	for range 10 {
		_, err = openAgain(dir)
		assert.Error(t, err)
	}
	require.NoError(t, d.Close())
	assert.Equal(t, before, openFiles(t))
	assert.False(t, strings.Contains(err.Error(), "\n") || errors.Is(err, fs.ErrNotExist))
}
