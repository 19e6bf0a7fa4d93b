package compose

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Both runs a and b at once and returns what both return. The first error ends the context
// of the other, and is the one returned; when Both returns, both have. A panic of either
// is an error.
//
//	stock, price, err := compose.Both(ctx,
//		func(ctx context.Context) (Stock, error) { return compose.Fetch[Stock](ctx, stocks, "/v1/stock/{sku}", sku) },
//		func(ctx context.Context) (Price, error) { return compose.Fetch[Price](ctx, prices, "/v1/prices/{sku}", sku) },
//	)
func Both[A, B any](ctx context.Context, a func(context.Context) (A, error), b func(context.Context) (B, error)) (A, B, error) {
	var first A
	var second B
	err := All(ctx,
		func(ctx context.Context) (err error) { first, err = a(ctx); return err },
		func(ctx context.Context) (err error) { second, err = b(ctx); return err },
	)
	return first, second, err
}

// All is [Both] for any number of tasks, which keep their results themselves.
func All(ctx context.Context, tasks ...func(context.Context) error) error {
	return together(ctx, len(tasks), len(tasks), func(ctx context.Context, i int) error { return tasks[i](ctx) })
}

// Each is [Both] for one function and many keys, 8 of them at a time. The results are in
// the order of the keys.
func Each[K, T any](ctx context.Context, keys []K, f func(context.Context, K) (T, error)) ([]T, error) {
	results := make([]T, len(keys))
	err := together(ctx, len(keys), maxCalls, func(ctx context.Context, i int) (err error) {
		results[i], err = f(ctx, keys[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

var errGone = errors.New("compose: a task has left its goroutine")

// together calls f for each i below n, atOnce at a time, and waits for all. The first error
// ends the context of the others, keeps the rest from beginning, and is returned. None runs
// on this goroutine, which a task that calls runtime.Goexit would take with it.
func together(ctx context.Context, n, atOnce int, f func(ctx context.Context, i int) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var once sync.Once
	var first error
	var next, done atomic.Int64
	notes := newNotes(ctx, n)
	worker := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			err := inner.Err() // what cannot end is not begun
			if err == nil {
				err = contained(func() error { return f(notes.context(inner, i), i) })
			}
			if err != nil {
				once.Do(func() { first = err; cancel() })
			}
			done.Add(1)
		}
	}
	var wg sync.WaitGroup
	for range min(n, atOnce) {
		wg.Go(worker)
	}
	wg.Wait()
	notes.gather()
	if first == nil && int(done.Load()) < n { // by runtime.Goexit, as of testing.T.FailNow
		return errGone
	}
	return first
}

// contained returns a panic of f as its error: on a goroutine of ours it would end the
// process, http.ErrAbortHandler too.
func contained(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &gateway.Problem{Fault: gateway.GatewayInternal, Err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
	}()
	return f()
}

// notes gives every task a state of its own to write to: that of the request has no lock.
type notes struct {
	to  *exchange.State // nil: there is none
	own []exchange.State
}

func newNotes(ctx context.Context, n int) *notes {
	s := exchange.From(ctx)
	if s == nil {
		return &notes{}
	}
	return &notes{to: s, own: slices.Repeat([]exchange.State{settled(s)}, n)}
}

func (n *notes) context(ctx context.Context, i int) context.Context {
	if n.to == nil {
		return ctx
	}
	return exchange.With(ctx, &n.own[i])
}

// gather adds what the tasks have noted to the request's, in their order.
func (n *notes) gather() {
	for i := range n.own {
		n.to.Notes = append(n.to.Notes, n.own[i].Notes...)
	}
}
