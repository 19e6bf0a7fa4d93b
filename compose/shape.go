package compose

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewright/gateway/internal/rawjson"
)

// change makes another JSON value of one, which it does not touch; its error says why it
// cannot. What is not changed is copied as it is written.
type change func(v []byte) ([]byte, error)

func (p Part) with(c change, paths ...string) Part {
	p.shape = append(slices.Clip(p.shape), c)
	for _, path := range paths {
		if slices.Contains(rawjson.ParsePath(path), "") || path == "" {
			p.faults = append(slices.Clip(p.faults), fmt.Errorf("the path %q has an empty step", path))
		}
	}
	return p
}

var errNothingThere = errors.New("there is nothing at")

// Pick returns the part with what its answer has at path in its place: member names and
// indices with dots between them. It fails if there is nothing. Changes of the answer are
// made in the order in which they are given.
func (p Part) Pick(path string) Part {
	way := rawjson.ParsePath(path)
	return p.with(func(v []byte) ([]byte, error) {
		if v = rawjson.Get(v, way); v == nil {
			return nil, fmt.Errorf("%w %q", errNothingThere, path)
		}
		return v, nil
	}, path)
}

// Wrap returns the part with an object around its answer, whose only member it is.
func (p Part) Wrap(name string) Part {
	return p.with(func(v []byte) ([]byte, error) {
		out := append(rawjson.AppendString([]byte{'{'}, name), ':')
		return append(append(out, v...), '}'), nil
	})
}

// Collect returns the part with an array around its answer, whose only element it is,
// unless it is an array.
func (p Part) Collect() Part {
	return p.with(func(v []byte) ([]byte, error) {
		if rawjson.KindOf(v) == rawjson.Array {
			return v, nil
		}
		return slices.Concat([]byte{'['}, v, []byte{']'}), nil
	})
}

// Allow returns the part with nothing in its answer but what is at the paths. Arrays on
// the way are gone through: of an array of objects, "id" leaves the id of each. Where a
// path goes on and the answer has neither object, array nor null, that is left out; it
// fails if that is all of the answer.
func (p Part) Allow(paths ...string) Part {
	tree := newTree(paths)
	return p.with(func(v []byte) ([]byte, error) {
		if ends(v) {
			return nil, errors.New("there is no object of which some may be left")
		}
		return tree.filter(nil, v, true), nil
	}, paths...)
}

// ends reports whether v is a value that no path leads through. Null is not: that there
// is nothing may be told.
func ends(v []byte) bool {
	switch rawjson.KindOf(v) {
	case rawjson.Object, rawjson.Array, rawjson.Null:
		return false
	}
	return true
}

// Deny returns the part without what its answer has at the paths, which go through arrays
// as in [Part.Allow].
func (p Part) Deny(paths ...string) Part {
	tree := newTree(paths)
	return p.with(func(v []byte) ([]byte, error) { return tree.filter(nil, v, false), nil }, paths...)
}

// Rename returns the part with the member at path under another name, in its old
// position; path goes through arrays. It replaces a member that has that name.
func (p Part) Rename(path, name string) Part {
	way := rawjson.ParsePath(path)
	p = p.with(func(v []byte) ([]byte, error) { return rename(nil, v, way, name), nil }, path)
	if name == "" {
		p.faults = append(slices.Clip(p.faults), errors.New("the new name is empty"))
	}
	return p
}

// Move returns the part with what is at from, if there is something, at to instead, where
// objects are made that are missing and what is there is replaced. Steps of from may be
// indices; neither goes through arrays.
func (p Part) Move(from, to string) Part {
	source, target := rawjson.ParsePath(from), rawjson.ParsePath(to)
	return p.with(func(v []byte) ([]byte, error) {
		moved := rawjson.Get(v, source)
		if moved == nil {
			return v, nil
		}
		root := parseNode(without(nil, v, source))
		if !root.put(target, &node{raw: moved}) {
			return nil, fmt.Errorf("%q leads through what is no object", to)
		}
		return root.append(nil), nil
	}, from, to)
}

// Flatten returns the part with the members of the object at path where the object was.
// A member that is there already stays.
func (p Part) Flatten(path string) Part {
	way := rawjson.ParsePath(path)
	return p.with(func(v []byte) ([]byte, error) { return flatten(nil, v, way), nil }, path)
}

// without appends v without what is at way.
func without(b, v []byte, way rawjson.Path) []byte { return (&reader{v: v}).without(b, way) }

func (r *reader) without(b []byte, way rawjson.Path) []byte {
	index, err := strconv.ParseUint(way[0], 10, 31)
	i := uint64(0)
	step := func(b, name []byte) ([]byte, bool) {
		found := err == nil && i == index
		if name != nil {
			found = rawjson.Is(name, way[0])
			b = append(append(b, name...), ':')
		}
		i++
		switch {
		case !found:
			return append(b, r.next()...), true
		case len(way) == 1:
			r.next()
			return b, false
		}
		return r.without(b, way[1:]), true
	}
	if kind := r.kind(); kind == rawjson.Object || kind == rawjson.Array {
		return r.each(b, step)
	}
	return append(b, r.next()...)
}

// tree is a set of paths. The nil tree has no path in it; a tree without branches is the
// end of one.
type tree map[string]tree

func newTree(paths []string) tree {
	root := tree{}
	for _, path := range paths {
		t := root
		for step := range strings.SplitSeq(path, ".") {
			next, ok := t[step]
			if ok && len(next) == 0 {
				t = nil // a shorter path has it all
				break
			}
			if !ok {
				next = tree{}
				t[step] = next
			}
			t = next
		}
		if t != nil {
			clear(t) // this one is the shorter
		}
	}
	return root
}

// reader reads v once, from the front. To find the end of each element before going into
// it takes a time that grows with the square of a hostile backend's 512 levels.
type reader struct {
	v []byte
	i int // where the next value begins
}

func (r *reader) kind() rawjson.Kind { return rawjson.KindOf(r.v[r.i:]) }

// next returns the value and goes on behind it.
func (r *reader) next() []byte {
	begin := r.i
	r.i = rawjson.End(r.v, begin)
	return r.v[begin:r.i:r.i]
}

// each goes through an array, or an object, and appends it as what write makes of each
// element or member, whose value is next. What it reports false for is left out.
func (r *reader) each(b []byte, write func(b, name []byte) ([]byte, bool)) []byte {
	end := byte(']')
	if r.kind() == rawjson.Object {
		end = '}'
	}
	b = append(b, r.v[r.i])
	empty := true
	for r.i = rawjson.Space(r.v, r.i+1); r.v[r.i] != end; {
		var name []byte
		if end == '}' {
			name = r.next()
			r.i = rawjson.Space(r.v, rawjson.Space(r.v, r.i)+1) // behind the colon
		}
		before := len(b)
		if !empty {
			b = append(b, ',')
		}
		var written bool
		if b, written = write(b, name); written {
			empty = false
		} else {
			b = b[:before]
		}
		if r.i = rawjson.Space(r.v, r.i); r.v[r.i] == ',' {
			r.i = rawjson.Space(r.v, r.i+1)
		}
	}
	r.i++
	return append(b, end)
}

// filter appends v with nothing but what is in t, or without it.
func (t tree) filter(b, v []byte, keep bool) []byte { return t.read(b, &reader{v: v}, keep) }

func (t tree) read(b []byte, r *reader, keep bool) []byte {
	switch r.kind() {
	case rawjson.Array:
		return r.each(b, func(b, _ []byte) ([]byte, bool) {
			if keep && ends(r.v[r.i:]) {
				r.next()
				return b, false
			}
			return t.read(b, r, keep), true
		})
	case rawjson.Object:
		return r.each(b, func(b, name []byte) ([]byte, bool) {
			deeper, listed := t[rawjson.Text(name)]
			whole := listed && len(deeper) == 0
			if keep && (!listed || !whole && ends(r.v[r.i:])) || !keep && whole {
				r.next()
				return b, false
			}
			b = append(append(b, name...), ':')
			if listed && !whole {
				return deeper.read(b, r, keep), true
			}
			return append(b, r.next()...), true
		})
	}
	return append(b, r.next()...)
}

// walk appends v with the object at the end of way, or each where arrays are on the way,
// changed by last, which gets its name.
func walk(b, v []byte, way rawjson.Path, last func(b, object []byte, name string) []byte) []byte {
	return (&reader{v: v}).walk(b, way, last)
}

func (r *reader) walk(b []byte, way rawjson.Path, last func(b, object []byte, name string) []byte) []byte {
	switch kind := r.kind(); {
	case kind == rawjson.Array:
		return r.each(b, func(b, _ []byte) ([]byte, bool) { return r.walk(b, way, last), true })
	case kind == rawjson.Object && len(way) == 1:
		return last(b, r.next(), way[0])
	case kind == rawjson.Object:
		return r.each(b, func(b, name []byte) ([]byte, bool) {
			b = append(append(b, name...), ':')
			if rawjson.Is(name, way[0]) {
				return r.walk(b, way[1:], last), true
			}
			return append(b, r.next()...), true
		})
	}
	return append(b, r.next()...)
}

func rename(b, v []byte, way rawjson.Path, to string) []byte {
	return walk(b, v, way, func(b, object []byte, from string) []byte {
		if from == to || rawjson.Member(object, from) == nil {
			return append(b, object...)
		}
		b = append(b, '{')
		n := len(b)
		for name, member := range rawjson.Members(object) {
			if rawjson.Is(name, to) {
				continue
			}
			if len(b) > n {
				b = append(b, ',')
			}
			if rawjson.Is(name, from) {
				b = rawjson.AppendString(b, to)
			} else {
				b = append(b, name...)
			}
			b = append(append(b, ':'), member...)
		}
		return append(b, '}')
	})
}

func flatten(b, v []byte, way rawjson.Path) []byte {
	return walk(b, v, way, func(b, object []byte, from string) []byte {
		inner := rawjson.Member(object, from)
		if inner == nil || rawjson.KindOf(inner) != rawjson.Object {
			return append(b, object...)
		}
		names := make(map[string]bool)
		for name := range rawjson.Members(object) {
			names[rawjson.Text(name)] = true
		}
		delete(names, from)
		b = append(b, '{')
		n := len(b)
		write := func(name, member []byte) {
			if len(b) > n {
				b = append(b, ',')
			}
			b = append(append(append(b, name...), ':'), member...)
		}
		for name, member := range rawjson.Members(object) {
			if !rawjson.Is(name, from) {
				write(name, member)
				continue
			}
			for name, member := range rawjson.Members(inner) {
				if !names[rawjson.Text(name)] {
					write(name, member)
				}
			}
		}
		return append(b, '}')
	})
}
