//go:build unix

package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

const (
	// killedRole has the test binary write to the directory that it names, until it is killed.
	killedRole  = "CACHE_TEST_KILLED"
	killedBytes = 2 << 20
	killedKeys  = 60
)

func openAgain(dir string) (*cache.Disk, error) { return cache.OpenDisk(dir, killedBytes) }

// describing returns a value that says whose it is, and by its sum that it is whole.
func describing(key string, n uint64, size int) []byte {
	b := fmt.Appendf(nil, "%s|%d|", key, n)
	for i := range size {
		b = append(b, byte(uint64(i)*n>>3))
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// describes returns the number of a value of key, and whether it is whole.
func describes(val []byte, key string) (n uint64, ok bool) {
	if len(val) < sha256.Size {
		return 0, false
	}
	body := val[:len(val)-sha256.Size]
	sum := sha256.Sum256(body)
	owner, rest, _ := bytes.Cut(body, []byte("|"))
	number, _, _ := bytes.Cut(rest, []byte("|"))
	n, err := strconv.ParseUint(string(number), 10, 64)
	return n, err == nil && string(owner) == key && bytes.Equal(sum[:], val[len(body):])
}

// playKilled writes with several hands, each to keys of its own, numbers that rise. It
// says which is there for good: those were set when it speaks.
func playKilled(dir string, first uint64) {
	d, err := openAgain(dir)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	var wg sync.WaitGroup
	for hand := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(first, uint64(hand)))
			for n := first + 1; ; n++ {
				key := strconv.Itoa(random.IntN(killedKeys)/4*4 + hand)
				if random.IntN(10) == 0 {
					_ = d.Delete(context.Background(), key)
					fmt.Println(key, "gone", n)
					continue
				}
				val := describing(key, n, random.IntN(1<<random.IntN(18)))
				if err := d.Set(context.Background(), key, val, time.Hour); err != nil {
					fmt.Println("error:", err)
				}
				fmt.Println(key, "set", n)
			}
		})
	}
	wg.Wait()
}

// said reads what a killed process had to say: which number each key had, at the
// least. Its last line may be torn.
func said(t *testing.T, out *bufio.Reader, last map[string]uint64, gone map[string]bool) (lines int) {
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			return lines
		}
		require.NotContains(t, line, "error")
		fields := strings.Fields(line)
		require.Len(t, fields, 3, line)
		n, err := strconv.ParseUint(fields[2], 10, 64)
		require.NoError(t, err)
		last[fields[0]], gone[fields[0]] = n, fields[1] == "gone"
		lines++
	}
}

// A process is killed with -9 while four goroutines write, a hundred times. What is
// served after it is, for each key, the last value that was known to be set or one
// that came after it, byte for byte.
func TestDiskSurvivesAHundredKills(t *testing.T) {
	dir := os.Getenv(killedRole)
	if dir != "" {
		first, _ := strconv.ParseUint(os.Getenv(killedRole+"_FIRST"), 10, 64)
		playKilled(dir, first)
		return
	}
	dir = t.TempDir()
	last, gone := map[string]uint64{}, map[string]bool{}
	random := rand.New(rand.NewPCG(binary.BigEndian.Uint64([]byte("kill -9!")), 0))
	hits, drafts := 0, 0
	for round := range 100 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDiskSurvivesAHundredKills$")
		cmd.Env = append(os.Environ(), killedRole+"="+dir, fmt.Sprintf("%s_FIRST=%d", killedRole, round*1_000_000))
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // should this test end early
		out := bufio.NewReaderSize(pipe, 1<<20)
		_, err = out.Peek(1) // it has begun
		require.NoError(t, err)
		killed := make(chan error)
		time.AfterFunc(time.Duration(random.IntN(30_000))*time.Microsecond, func() { killed <- cmd.Process.Kill() })
		lines := said(t, out, last, gone)
		require.NoError(t, <-killed)
		require.Error(t, cmd.Wait(), "it was killed")
		require.Positive(t, lines)

		for _, path := range filesIn(t, dir) {
			if strings.HasSuffix(path, ".tmp") {
				drafts++
			}
		}
		hits += survives(t, dir, last, gone)
	}
	t.Logf("%d values were served, %d were cut off", hits, drafts)
	assert.Greater(t, hits, 1000)
	assert.Positive(t, drafts, "some were killed while they wrote")
}

func survives(t *testing.T, dir string, last map[string]uint64, gone map[string]bool) (hits int) {
	t.Helper()
	d, err := openAgain(dir)
	require.NoError(t, err, "the kernel has freed the lock")
	defer func() { _ = d.Close() }()
	require.LessOrEqual(t, bytesIn(t, dir), int64(killedBytes))
	for _, path := range filesIn(t, dir) {
		require.NotContains(t, path, ".tmp")
	}
	for i := range killedKeys {
		key := strconv.Itoa(i)
		val, ok, err := d.Get(t.Context(), key)
		require.NoError(t, err)
		if !ok {
			continue
		}
		hits++
		n, whole := describes(val, key)
		require.True(t, whole, "key %s: %.40q", key, val)
		require.GreaterOrEqual(t, n, last[key], "key %s has not gone back", key)
		require.False(t, gone[key] && n == last[key], "key %s was deleted", key)
	}
	return hits
}
