package cache

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"net/http"
	"slices"
	"time"
)

// found is what the store has for a request.
type found struct {
	entry *entry // nil: nothing that fits
	key   string // of the entry, or of the one that would be it, as far as is known
	why   string // there is none, in the word of Cache-Status
}

// find looks up what is stored for the request: the entry under its primary key,
// or the variant that the index there leads to.
func (g *engine) find(r *http.Request, key string) found {
	ctx := r.Context()
	e, x := g.shelf.find(ctx, key)
	switch {
	case e != nil:
		return found{entry: e, key: key}
	case x == nil:
		return found{key: key, why: fwdURIMiss}
	}
	id, ok := variantOf(x.names, r)
	if !ok {
		return found{key: key, why: fwdVaryMiss}
	}
	f := found{key: x.variantKey(id), why: fwdVaryMiss}
	if slices.Contains(x.variants, id) {
		f.entry, _ = g.shelf.find(ctx, f.key)
	}
	return f
}

// store keeps e for requests like r, whose primary key is key. The client may just have
// left, with what it came for: so the context does not end.
func (g *engine) store(r *http.Request, key string, e *entry) {
	now, ctx := time.Now(), context.WithoutCancel(r.Context())
	defer g.hold(key)()
	names, ok := varyNames(e.header)
	ttl := e.keep(now)
	if !ok || ttl <= 0 || !g.purges.holds(e) || g.changed.mayBe(key, e.born) {
		return
	}
	defer g.stored.mark(key)
	if len(names) == 0 {
		e.key = key
		g.shelf.setEntry(ctx, e, ttl)
	} else if id, ok := variantOf(names, r); ok {
		g.storeVariant(ctx, key, names, id, e, ttl)
	}
	if g.changed.since(key, e.born) { // meanwhile, where nothing is held
		g.shelf.delete(ctx, key)
	}
}

// stands reports whether e, of a primary key, was neither purged nor changed since. Where
// nothing is held what was there before can have been stored after a change.
func (g *engine) stands(e *entry, key string) bool {
	return g.purges.holds(e) && (g.shelf.objects != nil || !g.changed.since(key, e.born))
}

// hold has what is stored under a primary key changed by one at a time, until the function
// that it returns is called. A store of the user's is not to be called under a lock, and is
// shared with others whom it would not hold.
func (g *engine) hold(key string) (release func()) {
	if g.shelf.objects == nil {
		return func() {}
	}
	lock := &g.held[maphash.String(g.seed, key)%uint64(len(g.held))]
	lock.Lock()
	return lock.Unlock
}

// storeVariant puts e beside the other variants. Where the store is shared, two that change
// one index at once may lose a variant, which is then a miss.
func (g *engine) storeVariant(ctx context.Context, key string, names []string, id string, e *entry, ttl time.Duration) {
	_, old := g.shelf.find(ctx, key)
	x := &index{key: key, generation: rand.Text(), names: names}
	if old != nil && slices.Equal(old.names, names) {
		x.generation, x.until, x.variants = old.generation, old.until, slices.Clone(old.variants)
	}
	for _, dropped := range x.add(id) {
		g.shelf.delete(ctx, dropped)
	}
	if until := time.Now().Add(ttl); until.After(x.until) {
		x.until = until
	}
	e.key = x.variantKey(id)
	g.shelf.setEntry(ctx, e, ttl)
	g.shelf.setIndex(ctx, x, time.Until(x.until))
}

// forget removes an entry that the origin no longer stands by.
func (g *engine) forget(e *entry) { g.shelf.delete(context.Background(), e.key) }

// invalidate removes what is stored under a primary key: a response, or the index without
// which no variant is found. What was asked for before is not stored any more.
func (g *engine) invalidate(ctx context.Context, key string) {
	defer g.hold(key)() // or what was fetched before could be stored in between
	g.changed.mark(key)
	g.flights.drop(key)
	g.busy.forget(key)
	g.shelf.delete(context.WithoutCancel(ctx), key)
}
