package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// seat returns a reader of b that nobody asks about when it leaves.
func seat(b *buffer) *reading { return b.reader(context.Background(), func() {}) }

func TestEachReaderGetsTheBodyFromItsBeginning(t *testing.T) {
	b := newBuffer(100)
	first := seat(b)
	require.NoError(t, b.write(context.Background(), []byte("abc")))
	p := make([]byte, 2)
	n, err := first.Read(p)
	require.NoError(t, err)
	require.Equal(t, "ab", string(p[:n]))
	require.Equal(t, 1, first.Buffered())
	second := seat(b)
	require.NoError(t, b.write(context.Background(), []byte("def")))
	b.end(io.EOF, nil)
	for want, r := range map[string]io.Reader{"cdef": first, "abcdef": second} {
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestAllReadersGetTheErrorBehindWhatHasArrived(t *testing.T) {
	broken := errors.New("broken")
	b := newBuffer(100)
	require.NoError(t, b.write(context.Background(), []byte("abc")))
	b.end(broken, http.Header{"A": {"1"}})
	for range 2 {
		r := seat(b)
		r.trailer = make(http.Header)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, broken)
		require.Equal(t, "abc", string(got))
		require.Empty(t, r.trailer, "what broke off has no end to say something at")
	}
}

func TestAReaderThatHasLeftReadsNoMore(t *testing.T) {
	b := newBuffer(100)
	left := 0
	r := b.reader(context.Background(), func() { left++ })
	require.NoError(t, b.write(context.Background(), []byte("abc")))
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.Equal(t, 1, left)
	_, err := r.Read(make([]byte, 1))
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

func TestABodyWithinTheLimitIsWholeAndHoldsNoMoreThanItself(t *testing.T) {
	for _, declared := range []int64{-1, 70} {
		b := newBuffer(100)
		b.over = func() { t.Error("it is not longer") }
		b.expect(declared)
		for range 7 {
			require.NoError(t, b.write(context.Background(), make([]byte, 10)))
		}
		body, within := b.whole()
		require.True(t, within)
		require.Len(t, body, 70)
		b.mu.Lock()
		require.LessOrEqual(t, cap(b.data), 80, "what is stored counts by its length")
		b.mu.Unlock()
	}
}

func TestALongerBodyWaitsForTheSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(10)
		told := 0
		b.over = func() { told++ }
		slow, quick := seat(b), seat(b)
		written := 0
		go func() {
			for range 10 {
				if b.write(context.Background(), []byte("12345")) != nil {
					return
				}
				written++
			}
			b.end(io.EOF, nil)
		}()
		go func() { _, _ = io.Copy(io.Discard, quick) }()
		synctest.Wait()
		require.Equal(t, 2, written)
		require.Equal(t, 1, told)
		_, within := b.whole()
		require.False(t, within)

		_, err := io.ReadFull(slow, make([]byte, 5))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 3, written, "as much as it has taken")
		require.NoError(t, slow.Close())
		synctest.Wait()
		require.Equal(t, 10, written, "it holds nobody back any more")
	})
}

func TestAWriteThatWaitsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(10)
		b.over = func() {}
		seat(b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, b.write(ctx, make([]byte, 10)))
		require.ErrorIs(t, b.write(ctx, make([]byte, 1)), context.DeadlineExceeded)
	})
}

func TestAReadThatWaitsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := newBuffer(10).reader(ctx, func() {})
		_, err := r.Read(make([]byte, 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// run has a body pass a buffer with readers of random speeds, some of which leave, and
// reports what the others got.
func run(t *testing.T, seed uint64, size, limit, readers int) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // not a secret
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		b := newBuffer(int64(limit))
		b.over = func() {}
		got := make([][]byte, readers)
		var wg sync.WaitGroup
		for i := range readers {
			r, steps := seat(b), rand.New(rand.NewPCG(seed, uint64(i)+2)) //nolint:gosec // likewise
			wg.Go(func() { got[i] = read(r, steps) })
		}
		wg.Go(func() {
			for rest := want; len(rest) > 0; {
				n := min(1+rnd.IntN(64), len(rest))
				pause(rnd)
				require.NoError(t, b.write(context.Background(), rest[:n]))
				require.LessOrEqual(t, len(b.data), max(limit, 64))
				rest = rest[n:]
			}
			b.end(io.EOF, nil)
		})
		wg.Wait()
		for i, body := range got {
			if body != nil {
				require.True(t, bytes.Equal(want, body), "reader %d: %d bytes of %d", i, len(body), size)
			}
		}
		if body, within := b.whole(); within {
			require.True(t, bytes.Equal(want, body))
			require.LessOrEqual(t, size, limit)
		}
	})
}

// read returns nil if it has left before the end.
func read(r *reading, rnd *rand.Rand) []byte {
	leaves := rnd.IntN(4) == 0
	body := []byte{}
	for {
		if leaves && rnd.IntN(20) == 0 {
			_ = r.Close()
			return nil
		}
		pause(rnd)
		p := make([]byte, 1+rnd.IntN(100))
		n, err := r.Read(p)
		body = append(body, p[:n]...)
		if err != nil {
			_ = r.Close()
			return body
		}
	}
}

func pause(rnd *rand.Rand) {
	if rnd.IntN(2) == 0 {
		time.Sleep(time.Duration(rnd.IntN(1000)))
	}
}

func TestWhateverTheSpeedsEachGetsExactlyTheBytes(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not a secret
		run(t, seed, rnd.IntN(4000), 1+rnd.IntN(2000), 1+rnd.IntN(8))
	}
}

func FuzzBuffer(f *testing.F) {
	f.Add(uint64(1), uint16(1000), uint16(100), uint8(3))
	f.Add(uint64(2), uint16(0), uint16(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, size, limit uint16, readers uint8) {
		run(t, seed, int(size%5000), int(limit%3000)+1, int(readers%10)+1)
	})
}
