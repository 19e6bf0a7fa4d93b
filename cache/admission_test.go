package cache

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/assert"
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

// TestAdmissionOnTraces replays the files that CACHE_TRACES names as a pattern, each a key
// a line, and prints what the decision about admission says. Without it there is one to
// see that the reading works.
func TestAdmissionOnTraces(t *testing.T) {
	pattern := os.Getenv("CACHE_TRACES")
	if pattern == "" {
		pattern = filepath.Join(t.TempDir(), "trace")
		require.NoError(t, os.WriteFile(pattern, []byte(strings.Repeat("a\nb\nc\n", 100)), 0o600))
	}
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		trace := readTrace(t, file)
		distinct := map[string]bool{}
		for _, key := range trace {
			distinct[key] = true
		}
		t.Logf("%s: %d requests for %d keys", filepath.Base(file), len(trace), len(distinct))
		for _, part := range []int{50, 20, 10, 5, 2} {
			items := max(len(distinct)/part, 10)
			ours, plain := replay(t, items, trace)
			assert.Positive(t, ours+plain)
			t.Logf("%s, %d items: %.1f %% and %.1f for LRU, %+.1f", filepath.Base(file), items, ours, plain, ours-plain)
		}
	}
}

func readTrace(t *testing.T, file string) (trace []string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
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

func TestAdmissionAnswersMoreOfWhatIsPopularAndNoLessOfWhatIsYoung(t *testing.T) {
	n, sizes := 300_000, []int{500, 1000, 2000}
	if underRace {
		n, sizes = 100_000, sizes[:1]
	}
	for name, c := range map[string]struct {
		trace []string
		least float64 // points more than plain LRU
	}{
		"popular, with scans": {zipfWithScans(n), 2},
		"young":               {young(n), -1},
	} {
		for _, items := range sizes {
			ours, plain := replay(t, items, c.trace)
			t.Logf("%s, %d items: %.2f %% and %.2f for LRU", name, items, ours, plain)
			assert.Greater(t, ours, plain+c.least, "%s, %d items", name, items)
		}
	}
}
