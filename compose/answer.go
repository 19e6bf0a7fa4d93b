package compose

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewright/gateway/internal/rawjson"
)

var contentJSON = []string{"application/json"}

// answer writes the merger of the results, all of which are there.
func (x *run) answer(w http.ResponseWriter) error {
	x.note()
	buffer := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= maxPooled {
			buffers.Put(buffer)
		}
	}()
	text, err := x.merge((*buffer)[:0])
	if err != nil {
		return err
	}
	*buffer = text
	h := w.Header()
	h["Content-Type"] = contentJSON[:1:1]
	if name := x.agg.config.XML; name != "" {
		addVary(h, "Accept")
		if prefersXML(x.request.Header["Accept"]) {
			text = asXML(name, text)
			h["Content-Type"] = []string{"application/xml; charset=utf-8"}
		}
	}
	x.headers(h)
	h["Content-Length"] = itoa(len(text))
	if status := x.status(); status != http.StatusOK {
		w.WriteHeader(status)
	}
	_, _ = w.Write(text) // a client that has left is no failure of ours
	return nil
}

// partial reports whether a part has failed.
func (x *run) partial() bool {
	for i := range x.results {
		if x.results[i].err != nil {
			return true
		}
	}
	return false
}

// merge appends the answer to b.
func (x *run) merge(b []byte) ([]byte, error) {
	switch {
	case x.agg.config.Array:
		return x.mergeArray(b), nil
	case x.agg.plan.plain:
		return x.mergePlain(b), nil
	}
	root := &node{}
	for i := range x.agg.plan.steps {
		if err := x.place(root, i); err != nil {
			return nil, err
		}
	}
	if errs := x.errors(); errs != nil {
		root.put(rawjson.Path{x.agg.config.Errors}, &node{raw: errs})
	}
	return root.append(b), nil
}

// mergePlain splices the parts as they are.
func (x *run) mergePlain(b []byte) []byte {
	b = append(b, '{')
	for i := range x.results {
		if x.results[i].json == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, x.agg.plan.steps[i].member...), x.results[i].json...)
	}
	if errs := x.errors(); errs != nil {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(rawjson.AppendString(b, x.agg.config.Errors), ':'), errs...)
	}
	return append(b, '}')
}

func (x *run) mergeArray(b []byte) []byte {
	b = append(b, '[')
	add := func(v []byte) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	for i := range x.results {
		s, v := &x.agg.plan.steps[i], x.results[i].json
		if v == nil || s.hidden || s.joined != "" {
			continue
		}
		v = x.withJoined(i, v)
		if s.spread == "" {
			add(v)
			continue
		}
		for e := range rawjson.Elements(v) {
			add(e)
		}
	}
	return append(b, ']')
}

// place puts the result of part i where it belongs.
func (x *run) place(root *node, i int) error {
	s, v := &x.agg.plan.steps[i], x.results[i].json
	if v == nil || s.hidden || s.joined != "" {
		return nil
	}
	value := &node{raw: x.withJoined(i, v)}
	if s.spread == "" {
		if !root.put(s.at, value) {
			return x.misplaced(root, i, "there is no object to put it into")
		}
		return nil
	}
	into := root.reach(s.at)
	if into == nil {
		return x.misplaced(root, i, "there is no object to spread it into")
	}
	if s.spread == Refuse && into.collides(value.raw) {
		return x.misplaced(root, i, "it has a member that is there already")
	}
	into.spread(value.raw, s.spread)
	return nil
}

func (n *node) collides(object []byte) bool {
	for name := range rawjson.Members(object) {
		if n.get(rawjson.Text(name)) != nil {
			return true
		}
	}
	return false
}

// misplaced has part i failed, for a reason that only the merger can see, and puts its
// default there. It returns the problem if there must be something and is not.
func (x *run) misplaced(root *node, i int, why string) error {
	s, res := &x.agg.plan.steps[i], &x.results[i]
	res.err = s.failure(unfit(fmt.Errorf("merge: %s", why)))
	if s.fallback != nil && !bytes.Equal(res.json, s.fallback) {
		res.json = s.fallback
		return x.place(root, i)
	}
	res.json = nil
	if s.optional {
		return nil
	}
	return res.err.problem
}

// withJoined returns v, the result of part i, with the results in its elements that are to
// be joined to them.
func (x *run) withJoined(i int, v []byte) []byte {
	for j := range x.agg.plan.steps {
		s := &x.agg.plan.steps[j]
		if s.joined == "" || s.array.part != i || x.results[j].items == nil {
			continue
		}
		next := 0
		v = eachElement(nil, v, s.array.path, func(b, e []byte) []byte {
			item := x.results[j].items[next]
			next++
			if item == nil {
				item = []byte("null")
			}
			n := parseNode(e)
			if n.raw != nil { // no object: there is nowhere to put it
				return append(b, e...)
			}
			n.put(rawjson.Path{s.joined}, &node{raw: item})
			return n.append(b)
		})
	}
	return v
}

// eachElement appends v with the elements of the array at path changed by change.
func eachElement(b, v []byte, path rawjson.Path, change func(b, e []byte) []byte) []byte {
	if len(path) > 0 {
		if rawjson.KindOf(v) == rawjson.Array {
			return eachIndexed(b, v, path, change)
		}
		n := parseNode(v)
		if inner := n.get(path[0]); inner != nil {
			inner.raw = eachElement(nil, inner.raw, path[1:], change)
		}
		return n.append(b)
	}
	if rawjson.KindOf(v) != rawjson.Array {
		return append(b, v...)
	}
	b = append(b, '[')
	n := len(b)
	for e := range rawjson.Elements(v) {
		if len(b) > n {
			b = append(b, ',')
		}
		b = change(b, e)
	}
	return append(b, ']')
}

// eachIndexed is eachElement for a path that leads into the array v.
func eachIndexed(b, v []byte, path rawjson.Path, change func(b, e []byte) []byte) []byte {
	at, err := strconv.ParseUint(path[0], 10, 31) // as rawjson.Get reads it
	i := uint64(0)
	return eachElement(b, v, nil, func(b, e []byte) []byte {
		if err == nil && i == at {
			b = eachElement(b, e, path[1:], change)
		} else {
			b = append(b, e...)
		}
		i++
		return b
	})
}

// errors returns the failures as JSON; nil if there are none, or nobody wants to know.
func (x *run) errors() []byte {
	if x.agg.config.Errors == "" || !x.partial() {
		return nil
	}
	b := []byte{'['}
	for i := range x.results {
		err := x.results[i].err
		if err == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		text, _ := err.problem.MarshalJSON() // there is nothing in it that cannot be
		n := parseNode(text)
		n.put(rawjson.Path{"part"}, &node{raw: rawjson.AppendString(nil, err.part)})
		b = n.append(b)
	}
	return append(b, ']')
}

// headers writes what the answer says of itself.
func (x *run) headers(h http.Header) {
	h["Cache-Control"] = x.cacheControl()
	for i := range x.results {
		for _, name := range x.agg.config.Headers {
			x.passOn(h, http.CanonicalHeaderKey(name), x.results[i].header)
		}
	}
	for i := range x.agg.plan.steps {
		for _, t := range x.agg.plan.steps[i].templates() {
			for _, hole := range t.holes {
				if hole.source == fromHeader {
					addVary(h, http.CanonicalHeaderKey(hole.name))
				}
			}
		}
	}
	if x.agg.config.ServerTiming {
		h["Server-Timing"] = append(h["Server-Timing"], x.serverTiming())
	}
}

func (x *run) passOn(h http.Header, name string, from http.Header) {
	values := from[name]
	if len(values) == 0 {
		return
	}
	switch name {
	case "Set-Cookie", "Link", "Vary", "Via", "Warning":
		h[name] = append(h[name], values...)
	default:
		if _, ok := h[name]; !ok {
			h[name] = slices.Clip(values) // which may be a cache's
		}
	}
}

func addVary(h http.Header, name string) {
	for _, v := range h["Vary"] {
		if strings.EqualFold(v, name) {
			return
		}
	}
	h["Vary"] = append(h["Vary"], name)
}

// serverTiming is one metric for each part, in milliseconds.
func (x *run) serverTiming() string {
	var b strings.Builder
	for i := range x.results {
		if i > 0 {
			b.WriteString(", ")
		}
		name := strings.Map(func(c rune) rune {
			if validName(string(c)) {
				return c
			}
			return '_'
		}, x.agg.plan.steps[i].name)
		fmt.Fprintf(&b, "%s;dur=%.1f", name, float64(x.results[i].took.Microseconds())/1000)
	}
	return b.String()
}
