package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"strconv"
	"sync/atomic"
	"time"
)

// Timed is a [Cache] that also tells how long a value has left. It is optional: what
// is in front of such a store can keep the value for exactly as long.
type Timed interface {
	Cache

	// GetTimed is Get with the time until the value expires.
	GetTimed(ctx context.Context, key string) (val []byte, left time.Duration, ok bool, err error)
}

// keepNear is how long the near tier keeps values unless it is told otherwise.
const keepNear = 10 * time.Second

// Tiered returns a Cache of two: near, which is small and quick, in front of far,
// which is large or shared. What is got from far is near from then on; Set and
// Delete are for both.
//
// Near keeps nothing for longer than keep: for so long may another process's change
// of far go unseen, unless [Tiers.Forget] tells of it. It keeps nothing for longer
// than far does either if far is [Timed]; else a value may outlive itself by keep.
// Zero means 10 seconds.
//
// When far fails, near goes on answering, and takes what is set. Get returns an error
// only if neither had the value and one failed; Set and Delete if one failed. After a
// Delete that returned an error far may have the value yet, but near has not.
//
// Near is asked first, and ought not to wait for anything. It gets keys of Tiers' own
// making, which nobody else goes by, nor another process later. Tiers themselves take
// 256 KiB.
//
// It panics without one of the two, and if keep is negative.
func Tiered(near, far Cache, keep time.Duration) *Tiers {
	if err := errors.Join(
		faultIf(near == nil, "cache: tiers without a near one"),
		faultIf(far == nil, "cache: tiers without a far one"),
		faultIf(keep < 0, "cache: tiers that keep for less than nothing"),
	); err != nil {
		panic(err)
	}
	if keep == 0 {
		keep = keepNear
	}
	return &Tiers{near: near, far: far, keep: keep, id: rand.Text(), seed: maphash.MakeSeed()}
}

func faultIf(is bool, text string) error {
	if is {
		return errors.New(text)
	}
	return nil
}

// Tiers is a [Cache] of two others. See [Tiered].
//
// A key of near is made of the key, of the number of changes that are known of it,
// and of the number of calls of Clear. So a change makes unreachable what was near,
// and also what a slow Get, begun before the change, is yet to put there.
type Tiers struct {
	near, far Cache
	keep      time.Duration

	id      string // near may outlive the process, which is not told of changes while it is away
	seed    maphash.Seed
	cleared atomic.Uint64
	changes [1 << 16]atomic.Uint32 // by hash: keys that share one forget each other
}

// moment is when something was known of a key.
type moment struct {
	cleared uint64
	changes uint32
}

// Get is part of [Cache].
func (t *Tiers) Get(ctx context.Context, key string) ([]byte, bool, error) {
	place := t.place(key, t.now(key))
	val, ok, nearErr := t.near.Get(ctx, place)
	if ok && nearErr == nil {
		return val, true, nil
	}
	val, left, ok, err := t.ask(ctx, key)
	if err != nil || !ok {
		return nil, false, errors.Join(nearErr, err)
	}
	_ = t.near.Set(ctx, place, val, min(left, t.keep)) // then the next one asks far again
	return val, true, nil
}

func (t *Tiers) ask(ctx context.Context, key string) ([]byte, time.Duration, bool, error) {
	if far, ok := t.far.(Timed); ok {
		return far.GetTimed(ctx, key)
	}
	val, ok, err := t.far.Get(ctx, key)
	return val, t.keep, ok, err
}

// Set is part of [Cache]. Of values that are set at the same time it is not known
// which far has in the end, so that near takes none of them.
func (t *Tiers) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	m := t.now(key)
	old := t.place(key, m)
	m.changes = t.changesOf(key).Add(1) // far may hang; what is old is not near meanwhile
	err := t.far.Set(ctx, key, val, ttl)
	alone := t.changesOf(key).CompareAndSwap(m.changes, m.changes+1)
	if !alone {
		t.Forget(key)
	}
	err = errors.Join(err, t.near.Delete(ctx, old)) // nobody sees it, but it takes room
	if !alone || ttl <= 0 {
		return err
	}
	m.changes++
	return errors.Join(err, t.near.Set(ctx, t.place(key, m), val, min(ttl, t.keep)))
}

// Delete is part of [Cache].
func (t *Tiers) Delete(ctx context.Context, key string) error {
	old := t.place(key, t.now(key))
	t.Forget(key) // far may hang
	err := t.far.Delete(ctx, key)
	t.Forget(key) // what was got from far meanwhile
	return errors.Join(err, t.near.Delete(ctx, old))
}

// Forget makes near forget key, because somebody else has changed it in far. It
// does not wait.
func (t *Tiers) Forget(key string) { t.changesOf(key).Add(1) }

// Clear makes near forget everything. It does not wait, whatever the number of
// values; the room that they take is free again when they expire, or when near
// needs it.
func (t *Tiers) Clear() { t.cleared.Add(1) }

func (t *Tiers) changesOf(key string) *atomic.Uint32 {
	return &t.changes[maphash.String(t.seed, key)%uint64(len(t.changes))]
}

func (t *Tiers) now(key string) moment {
	return moment{t.cleared.Load(), t.changesOf(key).Load()}
}

// place returns near's key for key as it was at m.
func (t *Tiers) place(key string, m moment) string {
	b := make([]byte, 0, 64+len(key))
	b = append(append(b, t.id...), '.')
	b = append(strconv.AppendUint(b, m.cleared, 36), '.')
	b = append(strconv.AppendUint(b, uint64(m.changes), 36), '.')
	return string(append(b, key...))
}
