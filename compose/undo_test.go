package compose_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type undone []string

// step returns a compensation that is noted, and then ends as f does.
func (u *undone) step(name string, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		*u = append(*u, name)
		if f == nil {
			return nil
		}
		return f(ctx)
	}
}

func TestWhatWasDoneIsTakenBackTheLastFirst(t *testing.T) {
	boom := errors.New("boom")
	for want, fails := range map[error]bool{boom: true, nil: false} {
		var done undone
		err := func() (err error) {
			var undo compose.Undo
			defer undo.OnError(t.Context(), &err)
			undo.Add("a", done.step("a", nil))
			undo.Add("b", done.step("b", nil))
			return want
		}()
		assert.Equal(t, want, err)
		if fails {
			assert.Equal(t, undone{"b", "a"}, done)
		} else {
			assert.Empty(t, done)
		}
	}
}

func TestAPanicIsTakenBackAsWellAndGoesOn(t *testing.T) {
	var done undone
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		_ = func() (err error) {
			var undo compose.Undo
			defer undo.OnError(t.Context(), &err)
			undo.Add("a", done.step("a", nil))
			panic(http.ErrAbortHandler)
		}()
	})
	assert.Equal(t, undone{"a"}, done)
}

func TestOneThatFailsHidesNeitherTheErrorNorTheOthers(t *testing.T) {
	state := &exchange.State{}
	ctx := exchange.With(t.Context(), state)
	var done undone
	boom := errors.New("boom")
	err := func() (err error) {
		var undo compose.Undo
		defer undo.OnError(ctx, &err)
		undo.Add("a", done.step("a", nil))
		undo.Add("b", done.step("b", func(context.Context) error { return errors.New("refused") }))
		undo.Add("c", done.step("c", func(context.Context) error { panic(http.ErrAbortHandler) }))
		return boom
	}()
	assert.Equal(t, boom, err)
	assert.Equal(t, undone{"c", "b", "a"}, done)
	require.Len(t, state.Notes, 2)
	assert.Equal(t, "compose.undo_failed", state.Notes[0].Key)
	assert.Contains(t, state.Notes[0].Value.String(), "c: 500 Internal Server Error: gateway_internal: panic: net/http: abort Handler")
	assert.Equal(t, "b: refused", state.Notes[1].Value.String())
}

func TestTakingBackOutlivesTheClientButNotItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for limit, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Second: time.Second} {
			ctx, leave := context.WithCancel(exchange.With(t.Context(), &exchange.State{RequestID: "r"}))
			var done undone
			start := time.Now()
			_ = func() (err error) {
				undo := compose.Undo{Timeout: limit}
				defer undo.OnError(ctx, &err)
				undo.Add("a", done.step("a", func(ctx context.Context) error {
					assert.NoError(t, ctx.Err(), "the one before has used up the time of this one")
					assert.Equal(t, "r", exchange.From(ctx).RequestID)
					return nil
				}))
				undo.Add("hangs", done.step("hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
				leave()
				return ctx.Err()
			}()
			assert.Equal(t, undone{"hangs", "a"}, done)
			assert.Equal(t, want, time.Since(start))
		}
	})
}
