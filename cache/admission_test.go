package cache

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/require"
)

// replay asks a memory with room for so many items for each key, and sets what is not
// there. It returns how many requests in a hundred it answered, and how many a plain
// LRU with the same number of items does.
func replay(t *testing.T, items int, trace []string) (ours, plain float64) {
	t.Helper()
	ctx, hits := context.Background(), 0
	m := Memory(int64(items) * (itemSize + 128 + 16)).(*memory)
	val, most := make([]byte, 100), 0
	for _, key := range trace {
		if _, ok, _ := m.Get(ctx, key); ok {
			hits++
			continue
		}
		require.NoError(t, m.Set(ctx, key, val, time.Hour))
		most = max(most, m.len())
	}
	lru, err := simplelru.NewLRU[string, bool](most, nil)
	require.NoError(t, err)
	lruHits := 0
	for _, key := range trace {
		if _, ok := lru.Get(key); ok {
			lruHits++
			continue
		}
		lru.Add(key, true)
	}
	part := 100 / float64(len(trace))
	return float64(hits) * part, float64(lruHits) * part
}

func (m *memory) len() (n int) {
	for i := range m.shards {
		m.shards[i].mu.RLock()
		n += m.shards[i].table.len
		m.shards[i].mu.RUnlock()
	}
	return n
}

// TestAdmissionOnTheTraces replays the files that CACHE_TRACES names as a pattern: a key
// a line, or ARC's lines of a first block and how many follow. Without it, those that are made here.
func TestAdmissionOnTraces(t *testing.T) {
	files, err := filepath.Glob(os.Getenv("CACHE_TRACES"))
	require.NoError(t, err)
	for _, file := range files {
		trace := readTrace(t, file)
		distinct := map[string]bool{}
		for _, key := range trace {
			distinct[key] = true
		}
		fmt.Printf("%s: %d requests for %d keys\n", filepath.Base(file), len(trace), len(distinct))
		for _, part := range []int{100, 50, 20, 10, 5, 3, 2} {
			ours, plain := replay(t, max(len(distinct)/part, 10), trace)
			fmt.Printf("| %s | %d | %.2f | %.2f | %+.2f |\n", filepath.Base(file), len(distinct)/part, plain, ours, ours-plain)
		}
	}
}

func readTrace(t *testing.T, file string) (trace []string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		r, err = gzip.NewReader(f)
		require.NoError(t, err)
	}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		trace = append(trace, lines.Text())
	}
	return trace
}

const seed = 7

// zipfWithScans is a popularity that lasts, and now and then somebody who reads all there is.
func zipfWithScans(n int) (trace []string) {
	random := rand.New(rand.NewPCG(seed, seed))
	zipf := rand.NewZipf(random, 1.01, 1, 100_000)
	for scanned := 0; len(trace) < n; {
		if len(trace)%20_000 < 5000 {
			trace = append(trace, "scan "+strconv.Itoa(scanned))
			scanned++
			continue
		}
		trace = append(trace, strconv.FormatUint(zipf.Uint64(), 10))
	}
	return trace
}

// young is news: most requests are for what came last, and what is old is never asked
// for again, however often it was.
func young(n int) (trace []string) {
	random := rand.New(rand.NewPCG(seed, seed))
	for newest := 0; len(trace) < n; {
		if random.IntN(4) == 0 {
			newest++
		}
		back := int(random.ExpFloat64() * 600)
		trace = append(trace, strconv.Itoa(max(newest-back, 0)))
	}
	return trace
}

func TestAdmissionSynthetic(t *testing.T) {
	for name, trace := range map[string][]string{"zipf": zipfWithScans(500_000), "young": young(500_000)} {
		for _, n := range []int{200, 500, 1000, 2000, 4000} {
			ours, plain := replay(t, n, trace)
			fmt.Printf("| %s | %d | %.2f | %.2f | %+.2f |\n", name, n, plain, ours, ours-plain)
		}
	}
}
