package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// index is what stands under the primary key of a resource whose responses vary
// (RFC 9111 section 4.1): by which request fields, and which variants there are.
//
// The variants' keys contain the index's generation. So whoever deletes the index
// has deleted them all, even one that somebody else is storing in that moment.
// Two that change an index at once may lose a variant, which is then a miss.
type index struct {
	key        string
	generation string
	until      time.Time // when the last of the variants expires
	names      []string  // of the selecting fields, canonical and sorted
	variants   []string  // the one stored last is the last
}

const (
	maxVariants  = 16 // of one resource; the one stored first goes
	maxVaryNames = 16
)

func (x *index) variantKey(id string) string { return x.key + " " + x.generation + " " + id }

// add makes room for the variant and returns the keys of those that had to go.
func (x *index) add(id string) (dropped []string) {
	x.variants = slices.DeleteFunc(x.variants, func(v string) bool { return v == id })
	x.variants = append(x.variants, id)
	for len(x.variants) > maxVariants {
		dropped = append(dropped, x.variantKey(x.variants[0]))
		x.variants = x.variants[1:]
	}
	return dropped
}

// varyNames returns the names in Vary, canonical and sorted. It is not ok if the
// response varies by something else, or by more than we are ready to compare.
func varyNames(h http.Header) (names []string, ok bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			switch {
			case name == "":
			case name == "*", !field.IsToken(name):
				return nil, false
			default:
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxVaryNames
}

// variantOf returns what identifies r among the variants that differ in the fields
// named. It is a hash, since the fields may be secrets and keys show up in logs.
//
// It is not ok if the request no longer has what the origin varied by: the
// gateway's authentication takes credentials away, and without them all users
// would look the same.
func variantOf(names []string, r *http.Request) (id string, ok bool) {
	var b []byte
	for _, name := range names {
		if (name == "Authorization" || name == "Cookie") && isAuthenticated(r) {
			return "", false
		}
		b = append(append(b, name...), ':')
		if lines, there := r.Header[name]; there {
			b = strconv.AppendQuote(b, normalised(lines))
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), true
}

// normalised joins the lines of a field as RFC 9110 section 5.3 allows.
func normalised(lines []string) string {
	if len(lines) == 1 {
		return strings.TrimSpace(lines[0])
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.TrimSpace(line)
	}
	return strings.Join(trimmed, ", ")
}

// find looks up what is stored for the request: the entry under its primary key,
// or the variant that the index there leads to.
func (l *lookup) find() {
	ctx := l.req.Context()
	l.why = fwdURIMiss
	record := l.shelf.get(ctx, l.key)
	if record == nil {
		return
	}
	if l.found, _ = decodeEntry(record, l.key); l.found != nil {
		return
	}
	x, ok := decodeIndex(record, l.key)
	if !ok {
		return
	}
	l.why = fwdVaryMiss
	if id, ok := variantOf(x.names, l.req); ok && slices.Contains(x.variants, id) {
		key := x.variantKey(id)
		l.found, _ = decodeEntry(l.shelf.get(ctx, key), key)
	}
}

// store keeps e for requests like this one.
func (l *lookup) store(e *entry) {
	now := time.Now()
	names, ok := varyNames(e.header)
	ttl := e.keep(now)
	if !ok || ttl <= 0 {
		return
	}
	// The client may just have left, with what it came for.
	ctx := context.WithoutCancel(l.req.Context())
	if len(names) == 0 {
		e.key = l.key
		l.shelf.set(ctx, e.key, e.encode(), ttl)
		return
	}
	id, ok := variantOf(names, l.req)
	if !ok {
		return
	}
	x, ok := decodeIndex(l.shelf.get(ctx, l.key), l.key)
	if !ok || !slices.Equal(x.names, names) {
		x = &index{key: l.key, generation: rand.Text(), names: names}
	}
	for _, key := range x.add(id) {
		l.shelf.delete(ctx, key)
	}
	if until := now.Add(ttl); until.After(x.until) {
		x.until = until
	}
	e.key = x.variantKey(id)
	l.shelf.set(ctx, e.key, e.encode(), ttl)
	l.shelf.set(ctx, x.key, x.encode(), x.until.Sub(now))
}

// forget removes what was found, which the origin no longer stands by.
func (l *lookup) forget() {
	if l.found != nil {
		l.shelf.delete(context.WithoutCancel(l.req.Context()), l.found.key)
	}
}
