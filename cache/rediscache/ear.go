package rediscache

import (
	"context"
	"errors"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatewright/gateway/cache"
)

const (
	// beat is how long the channel may be silent before Redis is asked whether it is
	// there, and how long it then has for an answer.
	beat = time.Second

	// deafTTL is how long the local tier keeps a value while nothing is heard of changes.
	deafTTL = time.Second

	retryFirst, retryMost = 50 * time.Millisecond, time.Second
)

// ear hears of what other stores have changed.
type ear struct {
	remote *remote
	near   *shortened
	tiers  *cache.Tiers
	hears  atomic.Bool

	stop context.CancelFunc
	done chan struct{}
}

func startEar(r *remote, near *shortened, tiers *cache.Tiers) *ear {
	ctx, stop := context.WithCancel(context.Background())
	e := &ear{remote: r, near: near, tiers: tiers, stop: stop, done: make(chan struct{})}
	go e.run(ctx)
	return e
}

func (e *ear) close() {
	e.stop()
	<-e.done
}

// run listens, and begins anew whenever that ends.
func (e *ear) run(ctx context.Context) {
	defer close(e.done)
	wait := retryFirst
	for ctx.Err() == nil {
		e.listen(ctx)
		wait = min(2*wait, retryMost)
		if e.hears.Load() {
			e.deaf()
			wait = retryFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// listen returns when the subscription fails, or ctx ends.
func (e *ear) listen(ctx context.Context) {
	// go-redis panics when an answer has another shape than it should. That is the
	// server's fault, and no reason for this process to end.
	defer func() { _ = recover() }()

	sub := e.subscribe(ctx)
	defer untilDone(ctx, sub)()
	asked := false
	for ctx.Err() == nil {
		msg, err := receive(ctx, sub)
		switch {
		case err == nil:
			asked = false
			e.take(msg)
		case asked || !e.hears.Load() || !isTimeout(err):
			return
		default:
			if ping(ctx, sub) != nil {
				return
			}
			asked = true
		}
	}
}

// subscribe begins to listen. That it has failed shows with the first call of receive.
func (e *ear) subscribe(ctx context.Context) *redis.PubSub {
	ctx, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	return e.remote.client.Subscribe(ctx, e.remote.channel)
}

// untilDone closes sub when ctx ends, in whatever call it is. The function that it
// returns closes sub at once.
func untilDone(ctx context.Context, sub *redis.PubSub) func() {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = sub.Close()
	})
	return func() {
		if stop() {
			_ = sub.Close()
		} else {
			<-closed
		}
	}
}

// receive waits for a beat. Its context has twice that, as what fails to read dials
// again before it returns, and has to come to an end with it.
func receive(ctx context.Context, sub *redis.PubSub) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*beat)
	defer cancel()
	return sub.ReceiveTimeout(ctx, beat)
}

func ping(ctx context.Context, sub *redis.PubSub) error {
	ctx, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	return sub.Ping(ctx)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (e *ear) take(msg any) {
	switch m := msg.(type) {
	case *redis.Subscription:
		e.hearing()
	case *redis.Message:
		if sender, name, ok := parseMessage(m.Payload); ok && sender != e.remote.sender {
			e.tiers.Forget(name)
		}
	}
}

// hearing begins with every confirmation of the subscription, as go-redis renews it
// by itself at times. What was missed before is not known, so that everything is
// forgotten; a value that is on its way from Redis is put where nobody looks.
func (e *ear) hearing() {
	e.tiers.Clear()
	e.near.most.Store(math.MaxInt64) // tiers have Config.LocalTTL
	e.hears.Store(true)
}

// deaf is the opposite: what is near now may change unheard.
func (e *ear) deaf() {
	e.hears.Store(false)
	e.near.most.Store(int64(deafTTL))
	e.tiers.Clear()
}
