package compose

import (
	"github.com/gatewright/gateway/internal/rawjson"
)

// node is a value of an answer in the making: JSON as it came, or an object that takes
// members.
type node struct {
	raw     []byte // nil: an object, of the members
	members []member
	index   map[string]int // of the members, once one is looked for among many
}

type member struct {
	name  string
	raw   []byte // the name as it came, with its quotes; nil: it did not come
	value node
}

// parseNode returns v as a node that takes members, if it is an object: one level of it is
// taken to pieces, the rest when it has to be.
func parseNode(v []byte) *node {
	if rawjson.KindOf(v) != rawjson.Object {
		return &node{raw: v}
	}
	n := &node{}
	for name, value := range rawjson.Members(v) {
		n.add(rawjson.Text(name), name, node{raw: value})
	}
	return n
}

// fewMembers are looked for one by one.
const fewMembers = 32

// add adds a member of a name that n does not have, which came as raw if it is not nil.
func (n *node) add(name string, raw []byte, v node) *node {
	n.members = append(n.members, member{name, raw, v})
	if n.index != nil {
		n.index[name] = len(n.members) - 1
	}
	return &n.members[len(n.members)-1].value
}

// open makes of an object that came as JSON one that takes members, and reports whether
// there is an object.
func (n *node) open() bool {
	if n.raw == nil {
		return true
	}
	if rawjson.KindOf(n.raw) != rawjson.Object {
		return false
	}
	*n = *parseNode(n.raw)
	return true
}

// get returns the member of that name, until another is added; nil if there is none.
func (n *node) get(name string) *node {
	if n.index == nil && len(n.members) > fewMembers {
		n.index = make(map[string]int, 2*len(n.members))
		for i := range n.members {
			n.index[n.members[i].name] = i
		}
	}
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return &n.members[i].value
		}
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].value
		}
	}
	return nil
}

// put puts v at the end of path, with objects made on the way, and replaces what is there.
// It reports whether there were only objects on the way.
func (n *node) put(path rawjson.Path, v *node) bool {
	n = n.reach(path[:len(path)-1])
	if n == nil {
		return false
	}
	name := path[len(path)-1]
	if had := n.get(name); had != nil {
		*had = *v
	} else {
		n.add(name, nil, *v)
	}
	return true
}

// reach returns the object at the end of path, made if it is missing; nil if something
// else is in the way.
func (n *node) reach(path rawjson.Path) *node {
	if !n.open() {
		return nil
	}
	for _, step := range path {
		next := n.get(step)
		if next == nil {
			next = n.add(step, nil, node{})
		}
		if !next.open() {
			return nil
		}
		n = next
	}
	return n
}

// maxDeep is how many levels of objects become one where they are spread by Deep. Each is
// read again for every level above it.
const maxDeep = 32

// spread puts the members of object into n.
func (n *node) spread(object []byte, on Collision) { n.merge(object, on, maxDeep) }

func (n *node) merge(object []byte, on Collision, levels int) {
	empty := len(n.members) == 0
	for name, value := range rawjson.Members(object) {
		text := rawjson.Text(name)
		var had *node
		if !empty { // object's own names are all different
			had = n.get(text)
		}
		switch {
		case had == nil:
			n.add(text, name, node{raw: value})
		case on == First:
		case on == Deep && levels > 1 && rawjson.KindOf(value) == rawjson.Object && had.open():
			had.merge(value, on, levels-1)
		case on == Append && rawjson.KindOf(value) == rawjson.Array && had.raw != nil && rawjson.KindOf(had.raw) == rawjson.Array:
			had.raw = concat(had.raw, value)
		default:
			*had = node{raw: value}
		}
	}
}

// concat returns the elements of both arrays as one.
func concat(a, b []byte) []byte {
	out := []byte{'['}
	for _, array := range [][]byte{a, b} {
		for e := range rawjson.Elements(array) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, e...)
		}
	}
	return append(out, ']')
}

func (n *node) append(b []byte) []byte {
	if n.raw != nil {
		return append(b, n.raw...)
	}
	b = append(b, '{')
	for i := range n.members {
		m := &n.members[i]
		if i > 0 {
			b = append(b, ',')
		}
		if m.raw != nil {
			b = append(b, m.raw...)
		} else {
			b = rawjson.AppendString(b, m.name)
		}
		b = m.value.append(append(b, ':'))
	}
	return append(b, '}')
}
