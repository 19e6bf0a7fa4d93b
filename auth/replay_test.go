package auth

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a million requests take is said in the documentation of Remember: whether they come
// evenly or all at once.
func TestReplaysTakeNoMoreMemoryThanIsSaid(t *testing.T) {
	const requests = 1 << 20
	for _, seconds := range []int{1, 60} {
		m := newReplays(requests, time.Minute)
		before, now := heap(), time.Now()
		for i := range requests {
			var id [32]byte
			copy(id[:], strconv.Itoa(i))
			seen, err := m.seen(t.Context(), id, now.Add(time.Duration(i%seconds)*time.Second+time.Minute))
			if seen || err != nil {
				t.Fatal(i, seen, err)
			}
		}
		taken := heap() - before
		t.Logf("%d bytes for each of %d, %d MiB", taken/requests, requests, taken>>20)
		assert.LessOrEqual(t, taken, 50<<20)
		assert.Equal(t, requests, m.held)
	}
}

func TestReplaysAreForgottenNoSoonerThanTheyAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newReplays(1000, time.Minute)
		begin := time.Now()
		until := func(i int) time.Time { return begin.Add(time.Duration(i) * 1234 * time.Millisecond) }
		id := func(i int) [32]byte { return sha256.Sum256([]byte(strconv.Itoa(i))) }
		for i := 1; i < 90; i++ {
			seen, err := m.seen(t.Context(), id(i), until(i))
			require.NoError(t, err)
			require.False(t, seen)
		}
		for i := 1; i < 90; i++ {
			time.Sleep(time.Until(until(i)) - time.Nanosecond)
			seen, err := m.seen(t.Context(), id(i), until(i))
			require.NoError(t, err)
			assert.True(t, seen, i)
			assert.LessOrEqual(t, m.held, 90-i+13, "what was over a slice ago is gone")
			assert.LessOrEqual(t, len(m.ends), 2*slicesOfWindow+2)
		}
	})
}
