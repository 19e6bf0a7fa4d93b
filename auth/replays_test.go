package auth

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Require that is made anew has to refuse what the one before it has accepted.
func TestReplaysAreSharedByRequires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := partner()
		s.Seen = Replays(10)
		before, after := Require(s), Require(s)
		first := ordered("")
		signAs(first, "sig", usual+now(""))
		again := first.Clone(t.Context())
		assert.NotNil(t, serveBy(before, first).passed)
		refusedSignature(t, serveBy(after, again), "a replay")
	})
}

func TestReplaysForgetInTimeAndNoSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := Replays(2)
		ask := func(id string, ttl time.Duration) (bool, error) { return seen(t.Context(), id, ttl) }
		was, err := ask("a", time.Minute)
		require.NoError(t, err)
		assert.False(t, was)
		time.Sleep(time.Minute - time.Nanosecond)
		was, err = ask("a", time.Nanosecond)
		require.NoError(t, err)
		assert.True(t, was)
		_, err = ask("b", time.Hour)
		require.NoError(t, err)
		_, err = ask("c", time.Hour)
		require.ErrorIs(t, err, errReplaysFull, "what is full must not forget")
		time.Sleep(2 * replaySliceTime)
		was, err = ask("c", time.Hour)
		require.NoError(t, err)
		assert.False(t, was)
		_, err = ask("d", 25*time.Hour)
		require.Error(t, err)
	})
	assert.Panics(t, func() { Replays(0) })
}

func TestReplaysMayBeAskedConcurrently(t *testing.T) {
	seen := Replays(1000)
	first := make(chan bool, 100)
	for i := range cap(first) {
		go func() {
			was, err := seen(context.Background(), strconv.Itoa(i%10), time.Minute)
			first <- err == nil && !was
		}()
	}
	n := 0
	for range cap(first) {
		if <-first {
			n++
		}
	}
	assert.Equal(t, 10, n)
}

// The time of day may leap: what was accepted before it did must not be accepted again.
func TestAClockThatIsSetDoesNotMakeReplaysForgotten(t *testing.T) {
	m := newReplays(10, time.Minute)
	until := time.Now().Add(time.Minute)
	seen := func() bool {
		was, err := m.seen(t.Context(), [32]byte{1}, until)
		require.NoError(t, err)
		return was
	}
	assert.False(t, seen())
	m.tidy(m.sliceOf(time.Now().Add(time.Hour)))
	assert.True(t, seen())
}
