package compose

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// Undo takes back, if a piece of work fails, what it has done at several backends:
//
//	func (c *checkout) place(r *http.Request, o Order) (_ Receipt, err error) {
//		var undo compose.Undo
//		defer undo.OnError(r.Context(), &err)
//		…
//
// The zero Undo has nothing to take back. It may be used concurrently.
type Undo struct {
	Timeout time.Duration // of each step; zero: 10 seconds

	mu    sync.Mutex
	steps []undoStep
}

type undoStep struct {
	name string
	back func(context.Context) error
}

const defaultUndoTimeout = 10 * time.Second

// Add has back called should the work fail. Add it before what it takes back is begun: a
// call that fails, or is cancelled because another one did, may have had its effect all the
// same, or have it yet. So back must do no harm if there is nothing to take back, which is
// best had with ids that this side chooses. The name is for the log.
func (u *Undo) Add(name string, back func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{name, back})
}

// OnError is to be deferred, once, by the function that does the work, whose error is at
// err. If that is not nil, or the function panics, it calls what was added, the last first
// and one after another, and returns when all have. They do not end because the client has
// left: their context has the values of ctx, but only the limit of Timeout. One that fails
// does not keep the others from being called, and the error stays what it is; the access
// log says compose.undo_failed.
func (u *Undo) OnError(ctx context.Context, err *error) {
	v := recover()
	if v != nil || *err != nil {
		u.run(context.WithoutCancel(ctx))
	}
	if v != nil {
		panic(v) // the stack that made it is still there to be seen
	}
}

func (u *Undo) run(ctx context.Context) {
	for {
		step, ok := u.pop()
		if !ok {
			return
		}
		err := contained(func() error {
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(u.Timeout, defaultUndoTimeout))
			defer cancel()
			return step.back(ctx)
		})
		if s := exchange.From(ctx); err != nil && s != nil {
			s.Notes = append(s.Notes, slog.String("compose.undo_failed", step.name+": "+err.Error()))
		}
	}
}

func (u *Undo) pop() (step undoStep, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := len(u.steps) - 1
	if last < 0 {
		return step, false
	}
	step = u.steps[last]
	u.steps = u.steps[:last]
	return step, true
}
