package rediscache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// format is the first byte of every value. Thereby an empty value differs from none,
// for which GETRANGE returns the same, and what others have written from ours.
const format = 1

var (
	errTooLarge = errors.New("the value is larger than allowed")
	errForeign  = errors.New("the value is not one of this package's")
)

// remote is the store in Redis. Its keys are names.
type remote struct {
	client          redis.UniversalClient
	prefix, channel string
	max             int
	quiet           bool
	sender          string // who is not to listen to what this one says
}

// Get is part of [cache.Cache].
func (r *remote) Get(ctx context.Context, name string) ([]byte, bool, error) {
	return r.value(r.get(ctx, r.client, name))
}

// get asks for a value with no more bytes than show that it is too large: who else
// writes to Redis must not be able to fill this process.
func (r *remote) get(ctx context.Context, c redis.Cmdable, name string) *redis.StringCmd {
	return c.GetRange(ctx, r.prefix+name, 0, int64(r.max)+1)
}

func (r *remote) value(cmd *redis.StringCmd) ([]byte, bool, error) {
	b, err := cmd.Bytes()
	switch {
	case err != nil:
	case len(b) == 0:
		return nil, false, nil
	case b[0] != format:
		err = errForeign
	case len(b)-1 > r.max:
		err = errTooLarge
	default:
		return b[1:], true, nil
	}
	return nil, false, fmt.Errorf("rediscache: get: %w", err)
}

// GetTimed is part of [cache.Timed]. If the value changes between the two questions,
// a message will tell.
func (r *remote) GetTimed(ctx context.Context, name string) ([]byte, time.Duration, bool, error) {
	var val *redis.StringCmd
	var left *redis.DurationCmd
	_, failed := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		val, left = r.get(ctx, p, name), p.PTTL(ctx, r.prefix+name)
		return nil
	})
	b, ok, err := r.value(val)
	if !ok && err == nil && failed != nil {
		return nil, 0, false, fmt.Errorf("rediscache: get: %w", failed)
	}
	switch d, unknown := left.Result(); {
	case unknown != nil, d == -2: // it has just expired
		return b, 0, ok, err
	case d == -1: // somebody has made it stay
		return b, math.MaxInt64, ok, err
	default:
		return b, d, ok, err
	}
}

// Set is part of [cache.Cache].
func (r *remote) Set(ctx context.Context, name string, val []byte, ttl time.Duration) error {
	if ttl < time.Millisecond {
		return r.Delete(ctx, name)
	}
	b := append(append(make([]byte, 0, 1+len(val)), format), val...)
	if err := r.client.Set(ctx, r.prefix+name, b, ttl).Err(); err != nil {
		return fmt.Errorf("rediscache: set: %w", err)
	}
	return r.tell(ctx, name)
}

// Delete is part of [cache.Cache].
func (r *remote) Delete(ctx context.Context, name string) error {
	if err := r.client.Unlink(ctx, r.prefix+name).Err(); err != nil {
		return fmt.Errorf("rediscache: delete: %w", err)
	}
	return r.tell(ctx, name)
}

// tell lets the other stores know that name has changed. It comes after the change: who
// hears it and asks at once is to get the new value. In a cluster, where the two may
// reach different nodes, only waiting for the first makes that sure.
func (r *remote) tell(ctx context.Context, name string) error {
	if r.quiet {
		return nil
	}
	if err := r.client.Publish(ctx, r.channel, message(r.sender, name)).Err(); err != nil {
		return fmt.Errorf("rediscache: telling of a change: %w", err)
	}
	return nil
}
