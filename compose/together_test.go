package compose_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// after returns a task that takes d, unless its context ends before.
func after[T any](d time.Duration, v T, err error) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		select {
		case <-time.After(d):
			return v, err
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
	}
}

func TestBothTakeAsLongAsTheSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a, b, err := compose.Both(t.Context(), after(2*time.Second, "a", nil), after(3*time.Second, 7, nil))
		require.NoError(t, err)
		assert.Equal(t, "a", a)
		assert.Equal(t, 7, b)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestTheFirstErrorEndsTheOthersAndIsTheOneReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		for name, tasks := range map[string][2]func(context.Context) (int, error){
			"the first":  {after(time.Second, 0, boom), after(time.Hour, 0, nil)},
			"the second": {after(time.Hour, 0, nil), after(time.Second, 0, boom)},
		} {
			start := time.Now()
			_, _, err := compose.Both(t.Context(), tasks[0], tasks[1])
			assert.Equal(t, boom, err, name)
			assert.Equal(t, time.Second, time.Since(start), name)
		}
	})
}

func TestAllWaitsForATaskThatDoesNotHeedItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		err := compose.All(t.Context(),
			func(context.Context) error { time.Sleep(time.Minute); ended = true; return nil },
			func(context.Context) error { return errors.New("boom") })
		assert.EqualError(t, err, "boom")
		assert.True(t, ended, "a goroutine was left behind, and it writes to what the caller reads")
	})
	assert.NoError(t, compose.All(t.Context()))
}

func TestAPanicOfATaskIsItsErrorOnAnyGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, v := range []any{"boom", http.ErrAbortHandler} {
			for i := range 3 {
				tasks := []func(context.Context) error{
					func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
					func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
					func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
				}
				tasks[i] = func(context.Context) error { panic(v) }
				p := gateway.ProblemOf(compose.All(t.Context(), tasks...))
				assert.Equal(t, 500, p.Status)
				assert.Contains(t, p.Err.Error(), fmt.Sprint(v))
				assert.Contains(t, p.Err.Error(), "together_test.go", "nobody could find out where")
			}
		}
	})
}

// A test's FailNow, for one, ends a goroutine without a panic.
func TestATaskThatLeavesItsGoroutineHasNotSucceeded(t *testing.T) {
	err := compose.All(t.Context(),
		func(context.Context) error { runtime.Goexit(); return nil },
		func(context.Context) error { return nil })
	assert.Error(t, err)
}

func TestEachKeepsTheOrderAndTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		keys := make([]int, 30)
		for i := range keys {
			keys[i] = i
		}
		start := time.Now()
		got, err := compose.Each(t.Context(), keys, func(_ context.Context, k int) (string, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Duration(30-k) * time.Second)
			return fmt.Sprint(k), nil
		})
		require.NoError(t, err)
		for i := range keys {
			assert.Equal(t, fmt.Sprint(i), got[i])
		}
		assert.Equal(t, int32(8), most.Load())
		assert.Less(t, time.Since(start), 100*time.Second)
	})
}

func TestEachBeginsNothingAfterAnErrorOrTheClientsLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		boom := errors.New("boom")
		got, err := compose.Each(t.Context(), make([]int, 100), func(ctx context.Context, _ int) (int, error) {
			if calls.Add(1) == 3 {
				return 0, boom
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		assert.Equal(t, boom, err)
		assert.Nil(t, got)
		assert.LessOrEqual(t, calls.Load(), int32(8))

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = compose.Each(ctx, make([]int, 100), func(context.Context, int) (int, error) { time.Sleep(800 * time.Millisecond); return 0, nil })
		assert.Equal(t, gateway.ClientCanceled, gateway.ProblemOf(err).Fault)
	})
}

func TestTasksNoteWhatHappenedWithoutARace(t *testing.T) {
	state := &exchange.State{RequestID: "r", Principal: claims{"sub": "ada"}}
	ctx := exchange.With(t.Context(), state)
	_, err := compose.Each(ctx, make([]int, 20), func(ctx context.Context, _ int) (int, error) {
		s := exchange.From(ctx)
		assert.NotSame(t, state, s, "it has no lock")
		assert.Equal(t, "r", s.RequestID)
		assert.Equal(t, claims{"sub": "ada"}, s.Principal)
		s.Notes = append(s.Notes, slog.Bool("noted", true))
		return 0, nil
	})
	require.NoError(t, err)
	assert.Len(t, state.Notes, 20)
}
