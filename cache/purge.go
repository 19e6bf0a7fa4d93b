package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What is purged is not sought and deleted, which would take the longer the more there
// is: it is written down when, and an entry that is older is not one any more.

const (
	maxPurges   = 4096 // of URLs and of groups each; beyond, all that is older than the oldest is purged
	maxPrefixes = 64   // likewise: each costs every look-up a comparison
)

// marks is when what was purged last. It is not changed.
type marks struct {
	all      time.Time
	uris     map[string]time.Time
	groups   map[string]time.Time
	prefixes map[string]time.Time
}

// purges is what is known of them, of this process and, where the store is shared, of
// others that have the same Name.
type purges struct {
	shared bool                  // others may have the same Name
	known  atomic.Pointer[marks] // nil: nothing was ever purged
	mu     sync.Mutex            // held to change it
	look   atomic.Pointer[look]  // nil: there was none yet
}

// holds reports whether e is not purged.
func (p *purges) holds(e *entry) bool {
	m := p.known.Load()
	return m == nil || m.holds(e)
}

// holds: what was never purged has the zero time, after which everything was born.
func (m *marks) holds(e *entry) bool {
	if !e.born.After(m.all) {
		return false
	}
	if at, ok := m.uris[e.uri]; ok && !e.born.After(at) {
		return false
	}
	for _, g := range e.groups {
		_, name, _ := strings.Cut(g, "\x00") // which is of the origin, and is purged of all
		if !e.born.After(m.groups[g]) || !e.born.After(m.groups[name]) {
			return false
		}
	}
	for prefix, at := range m.prefixes {
		if !e.born.After(at) && e.isBelow(prefix) {
			return false
		}
	}
	return true
}

// change applies f to a copy of what is known, and returns it.
func (p *purges) change(f func(*marks)) *marks {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &marks{uris: map[string]time.Time{}, groups: map[string]time.Time{}, prefixes: map[string]time.Time{}}
	if old := p.known.Load(); old != nil {
		next = &marks{old.all, maps.Clone(old.uris), maps.Clone(old.groups), maps.Clone(old.prefixes)}
	}
	f(next)
	next.bound(next.uris, maxPurges)
	next.bound(next.groups, maxPurges)
	next.bound(next.prefixes, maxPrefixes)
	p.known.Store(next)
	return next
}

// bound forgets the oldest of a table that is full, after which everything older than
// those has to be purged: rather too much than too little.
func (m *marks) bound(table map[string]time.Time, most int) {
	if len(table) <= most {
		return
	}
	times := slices.SortedFunc(maps.Values(table), time.Time.Compare)
	limit := times[len(times)-most/2]
	maps.DeleteFunc(table, func(_ string, at time.Time) bool { return at.Before(limit) })
	if limit.After(m.all) {
		m.all = limit
	}
}

// merge adds what others have purged.
func (m *marks) merge(other *marks) {
	if other.all.After(m.all) {
		m.all = other.all
	}
	for _, pair := range [][2]map[string]time.Time{{m.uris, other.uris}, {m.groups, other.groups}, {m.prefixes, other.prefixes}} {
		for name, at := range pair[1] {
			if at.After(pair[0][name]) {
				pair[0][name] = at
			}
		}
	}
}

// Purge removes what is stored for a URL: a path with its query, as in "/offers?page=2",
// for whatever host, with all its variants. A response that is under way is not stored
// either, nor is it joined. Others over the same Store that have the same Name follow within
// a second, by their clocks, and so does who comes after a restart; without a Name there are
// none. The error is that of a URL that is none, or of a Store that could not be told, which
// is told again within a second of the next request.
func (t *Transport) Purge(ctx context.Context, uri string) error {
	u, err := parsePath(uri)
	if err != nil {
		return err
	}
	g := t.engine()
	key := string(g.keyer.appendURI(nil, u))
	return g.purge(ctx, func(m *marks) { m.uris[key] = time.Now() })
}

func parsePath(uri string) (*url.URL, error) {
	u, err := url.ParseRequestURI(uri)
	if err != nil || !strings.HasPrefix(uri, "/") {
		return nil, fmt.Errorf("cache: purge: %w", errors.New("not a path with its query"))
	}
	return u, nil
}

// PurgePrefix is [Transport.Purge] for all URLs whose path, with the query, begins so.
func (t *Transport) PurgePrefix(ctx context.Context, prefix string) error {
	u, err := parsePath(prefix)
	if err != nil {
		return err
	}
	prefix = string(new(keyer).appendURI(nil, u))
	return t.engine().purge(ctx, func(m *marks) { m.prefixes[prefix] = time.Now() })
}

// PurgeGroup is [Transport.Purge] for all responses that Cache-Groups has put into the
// group (RFC 9875). However many they are, it takes the same time.
func (t *Transport) PurgeGroup(ctx context.Context, group string) error {
	return t.engine().purge(ctx, func(m *marks) { m.groups[group] = time.Now() })
}

// PurgeAll is [Transport.Purge] for everything that is stored under the Name.
func (t *Transport) PurgeAll(ctx context.Context) error {
	return t.engine().purge(ctx, func(m *marks) {
		*m = marks{time.Now(), map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}}
	})
}

func (g *engine) purge(ctx context.Context, f func(*marks)) error {
	m := g.purges.change(f)
	g.flights.clear()
	if !g.purges.shared {
		return nil
	}
	if theirs := g.readMarks(ctx); m.lacks(theirs) {
		m = g.purges.change(func(m *marks) { m.merge(theirs) })
	}
	return g.writeMarks(ctx, m)
}

func (g *engine) marksKey() string { return "purged " + g.keyer.name }

// marksTTL is how long the store remembers purges. Nothing lives longer that has not been
// asked for again.
const marksTTL = 400 * 24 * time.Hour

func (g *engine) writeMarks(ctx context.Context, m *marks) error {
	ctx, cancel := context.WithTimeout(ctx, g.shelf.limit)
	defer cancel()
	if err := g.shelf.store.Set(ctx, g.marksKey(), m.encode(g.marksKey()), marksTTL); err != nil {
		return fmt.Errorf("cache: purge: %w", err)
	}
	return nil
}

func (g *engine) readMarks(ctx context.Context) *marks {
	m, ok := decodeMarks(g.shelf.get(ctx, g.marksKey()), g.marksKey())
	if !ok {
		return nil
	}
	return m
}

// marksEvery is how often what others have purged is looked for.
const marksEvery = time.Second

// look is when it was last looked for what others have purged.
type look struct {
	at   time.Time
	done chan struct{}
	over atomic.Bool // done is closed
}

// follow has what others have purged looked for, if nobody has for a second, and returns
// what is to be waited for before an entry is trusted; nil: nothing. Who has no name has no
// others.
func (g *engine) follow(ctx context.Context) (known chan struct{}) {
	p := &g.purges
	if !p.shared {
		return nil
	}
	last, now := p.look.Load(), time.Now()
	if last == nil || now.Sub(last.at) >= marksEvery {
		next := &look{at: now, done: make(chan struct{})}
		if p.look.CompareAndSwap(last, next) {
			go g.exchange(context.WithoutCancel(ctx), next)
			return next.done
		}
		last = p.look.Load()
	}
	if last.over.Load() {
		return nil
	}
	return last.done
}

// exchange learns what others have purged, and tells them what is not written down: two
// that purge at once overwrite each other's, and a store may lose it.
func (g *engine) exchange(ctx context.Context, l *look) {
	defer func() { _ = recover() }() // a store that panics does so where a request is, too
	if g.learn(ctx, l) {
		_ = g.writeMarks(ctx, g.purges.known.Load()) // or in a second
	}
}

// learn reports whether others are to be told something.
func (g *engine) learn(ctx context.Context, l *look) bool {
	defer close(l.done)
	defer l.over.Store(true)
	theirs := g.readMarks(ctx)
	if g.purges.known.Load().lacks(theirs) {
		g.purges.change(func(m *marks) { m.merge(theirs) })
	}
	return theirs.lacks(g.purges.known.Load())
}

// lacks reports whether something is purged by other that is not by m.
func (m *marks) lacks(other *marks) bool {
	switch {
	case other == nil:
		return false
	case m == nil:
		return true
	case other.all.After(m.all):
		return true
	}
	for _, pair := range [][2]map[string]time.Time{{m.uris, other.uris}, {m.groups, other.groups}, {m.prefixes, other.prefixes}} {
		for name, at := range pair[1] {
			if at.After(m.all) && at.After(pair[0][name]) {
				return true
			}
		}
	}
	return false
}

// encode returns m as a record.
func (m *marks) encode(key string) []byte {
	b := appendString([]byte("GWC2\x00\x00\x00\x00P"), key)
	b = binary.AppendVarint(b, m.all.UnixNano())
	for _, table := range []map[string]time.Time{m.uris, m.groups, m.prefixes} {
		b = binary.AppendUvarint(b, uint64(len(table)))
		for name, at := range table {
			b = binary.AppendVarint(appendString(b, name), at.UnixNano())
		}
	}
	return seal(b)
}

// decodeMarks reads the record of what was purged.
func decodeMarks(b []byte, key string) (*marks, bool) {
	r := unseal(b, kindMarks)
	if r.string() != key {
		return nil, false
	}
	m := &marks{all: time.Unix(0, r.varint())}
	for _, table := range []*map[string]time.Time{&m.uris, &m.groups, &m.prefixes} {
		*table = make(map[string]time.Time)
		for range r.count() {
			name := r.string()
			(*table)[name] = time.Unix(0, r.varint())
		}
	}
	return m, !r.bad && len(r.rest) == 0
}
