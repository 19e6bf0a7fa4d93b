package cache

import (
	"context"
	"crypto/rand"
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
	names, ok := varyNames(e.header)
	ttl := e.keep(now)
	if !ok || ttl <= 0 || !g.purges.holds(e) || g.changed.mayBe(key, e.born) {
		return
	}
	if len(names) == 0 {
		e.key = key
		g.shelf.setEntry(ctx, e, ttl)
		return
	}
	id, ok := variantOf(names, r)
	if !ok {
		return
	}
	g.storeVariant(ctx, key, names, id, e, ttl)
}

// storeVariant puts e beside the other variants. Two that change one index at once may
// lose a variant, which is then a miss.
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
	g.changed.mark(key)
	g.flights.drop(key)
	g.busy.forget(key)
	g.shelf.delete(context.WithoutCancel(ctx), key)
}
