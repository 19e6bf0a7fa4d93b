package compose

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/rawjson"
)

// step is a part made ready to run.
type step struct {
	Part
	url     template
	body    template
	fields  []fieldTemplate
	array   hole         // what the part has a call for each element of
	keyPath rawjson.Path // in the results of a batch
	at      rawjson.Path // the place in the answer
	member  []byte       // the name as that of a JSON member, with the colon
	after   []int        // indices of the parts it waits for
	before  []int        // of those that wait for it
	obeys   bool         // the RoundTripper is one that returns when its context ends
	kind    rawjson.Kind // what the answer must be, to be spread; 0: anything
	keep    *keeper      // of stale answers; nil: none
}

type fieldTemplate struct {
	name     string
	template template
}

// plan is the parts in the order of their declaration.
type plan struct {
	steps []step
	plain bool // the answer is an object of the parts under their names
}

func newPlan(parts []Part) (*plan, error) {
	b := &builder{index: make(map[string]int, len(parts))}
	if len(parts) == 0 {
		b.faults = append(b.faults, errors.New("compose: no parts"))
	}
	p := &plan{steps: make([]step, len(parts)), plain: true}
	for i, part := range parts {
		if _, ok := b.index[part.name]; ok {
			b.fault(part, errors.New("the name is given twice"))
		}
		b.index[part.name] = i
		p.steps[i] = b.step(part)
		p.plain = p.plain && part.place == "" && !part.hidden && part.spread == "" && part.joined == ""
	}
	for i := range p.steps {
		b.connect(p.steps, i)
	}
	b.places(p.steps)
	b.joins(p.steps)
	if len(b.index) == len(parts) { // otherwise a name does not say who waits for whom
		for _, cycle := range findCycles(p.steps) {
			b.fault(p.steps[cycle[0]].Part, fmt.Errorf("it waits for itself: %s", chain(p.steps, cycle)))
		}
	}
	return p, errors.Join(b.faults...)
}

// builder collects the faults of all parts.
type builder struct {
	index  map[string]int
	faults []error
}

func (b *builder) fault(p Part, err error) {
	if err != nil {
		b.faults = append(b.faults, fmt.Errorf("compose: part %q: %w", p.name, err))
	}
}

// step parses what p is made of.
func (b *builder) step(p Part) step {
	for _, err := range p.check() {
		b.fault(p, err)
	}
	s := step{Part: p, member: append(rawjson.AppendString(nil, p.name), ':'), at: rawjson.Path{p.name}}
	s.fallback = bytes.Trim(p.fallback, " \t\r\n") // as what came from a backend is
	_, s.obeys = p.from.(interface{ KnowsState() })
	var err error
	s.url, err = parseTarget(p.target)
	b.fault(p, err)
	if p.body != "" {
		s.body, err = parseBody(p.body)
		b.fault(p, err)
	}
	for _, h := range p.headers {
		t, err := parseField(h.template)
		b.fault(p, err)
		s.fields = append(s.fields, fieldTemplate{h.name, t})
	}
	if p.place != "" {
		s.at = rawjson.ParsePath(p.place)
		if slices.Contains(s.at, "") {
			b.fault(p, fmt.Errorf("the place %q has an empty step", p.place))
		}
	} else if p.spread != "" {
		s.at = nil
	}
	if p.many {
		s.array, err = parseArray(p.each)
		b.fault(p, err)
		b.fault(p, s.checkEach())
	}
	if p.staleFor > 0 {
		s.keep = newKeeper(p.staleFor)
	}
	return s
}

// parseArray parses the path of the array for Each, the name of a part first.
func parseArray(path string) (hole, error) {
	name, deeper, dot := strings.Cut(path, ".")
	h := hole{source: fromPart, name: name, path: rawjson.ParsePath(deeper), place: inJSON}
	if name == "" || dot && deeper == "" || slices.Contains(h.path, "") {
		return h, fmt.Errorf("the path %q has an empty step", path)
	}
	return h, nil
}

// templates are all that s has.
func (s *step) templates() []*template {
	all := []*template{&s.url, &s.body}
	for i := range s.fields {
		all = append(all, &s.fields[i].template)
	}
	return all
}

// checkEach returns what is wrong with the holes of a part that has Each.
func (s *step) checkEach() error {
	s.keyPath = rawjson.ParsePath(s.key)
	if s.batch == 0 {
		return nil
	}
	if slices.Contains(s.keyPath, "") {
		return fmt.Errorf("the key %q has an empty step", s.key)
	}
	n := 0
	for _, t := range s.templates() {
		for _, h := range t.holes {
			if h.source == fromEach {
				n++
			}
		}
	}
	if _, err := s.batchHole(); err != nil || n != 1 {
		return errors.New("a batch has one hole for the element, which is all of a query parameter's value")
	}
	return nil
}

// connect finds the parts that step i takes values from.
func (b *builder) connect(steps []step, i int) {
	s := &steps[i]
	wait := func(h *hole) {
		j, ok := b.index[h.name]
		if !ok {
			b.fault(s.Part, fmt.Errorf("there is no part %q", h.name))
			return
		}
		h.part = j
		if !slices.Contains(s.after, j) {
			s.after = append(s.after, j)
			steps[j].before = append(steps[j].before, i)
		}
	}
	for _, t := range s.templates() {
		for k := range t.holes {
			h := &t.holes[k]
			_, part := b.index[h.name]
			switch {
			case h.source == fromPart, part && h.source == fromPath && h.place == inJSON:
				h.source = fromPart // all of a part can be the value of a JSON text
				wait(h)
			case h.source == fromPath && part:
				b.fault(s.Part, fmt.Errorf("the hole {%s} would be a path value, and there is a part of that name: say which member of it", h.name))
			case h.source == fromEach && !s.many:
				b.fault(s.Part, errors.New("{each} is for a part with Each"))
			}
		}
	}
	if s.many {
		wait(&s.array)
	}
}

// places reports parts that want the same place in the answer, or one within another's.
func (b *builder) places(steps []step) {
	for i := range steps {
		for j := range i {
			a, c := &steps[i], &steps[j]
			if a.placed() && c.placed() && within(a.at, c.at) {
				b.fault(a.Part, fmt.Errorf("it has the place of part %q, %q", c.name, c.at))
			}
		}
	}
}

// placed reports whether s has a place that no other part may have.
func (s *step) placed() bool { return !s.hidden && s.joined == "" && s.spread == "" }

// within reports whether one of the paths is the beginning of the other.
func within(a, b rawjson.Path) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// joins reports parts whose results are to be joined to what is not in the answer itself, or
// where another's are: what there is by then is not what there was an answer for.
func (b *builder) joins(steps []step) {
	for i := range steps {
		s := &steps[i]
		if s.joined == "" {
			continue
		}
		if j, ok := b.index[s.array.name]; ok && (steps[j].hidden || steps[j].joined != "") {
			b.fault(s.Part, fmt.Errorf("it is joined to part %q, which has no place in the answer", steps[j].name))
		}
		for j := range steps {
			if other := &steps[j]; other.joined != "" && s.joinedWithin(other, j < i) {
				b.fault(s.Part, fmt.Errorf("it is joined to what part %q replaces", other.name))
			}
		}
	}
}

// joinedWithin reports whether the elements that s is joined to lie in what other is joined
// as; or whether both are joined as the same, which is a fault of the later one.
func (s *step) joinedWithin(other *step, later bool) bool {
	way, to := s.array.path, other.array.path
	if s.array.name != other.array.name || len(way) < len(to) || !slices.Equal(way[:len(to)], to) {
		return false
	}
	if len(way) == len(to) {
		return later && s.joined == other.joined
	}
	return len(way) > len(to)+1 && way[len(to)+1] == other.joined
}

// findCycles returns ways by which parts wait for themselves, each part being in one at most.
func findCycles(steps []step) (cycles [][]int) {
	seen := make([]bool, len(steps))
	for i := range steps {
		if seen[i] {
			continue
		}
		if way := wayBack(steps, i, i, make([]bool, len(steps))); way != nil {
			cycles = append(cycles, way)
			for _, j := range way {
				seen[j] = true
			}
		}
	}
	return cycles
}

// wayBack returns a way from part i to part to, by what each waits for; nil if there is none.
func wayBack(steps []step, i, to int, been []bool) []int {
	for _, j := range steps[i].after {
		if j == to {
			return []int{i}
		}
		if been[j] {
			continue
		}
		been[j] = true
		if way := wayBack(steps, j, to, been); way != nil {
			return append([]int{i}, way...)
		}
	}
	return nil
}

// chain names the parts of a cycle: "a" for "b" for "a".
func chain(steps []step, cycle []int) string {
	var b strings.Builder
	for _, i := range append(cycle, cycle[0]) {
		if b.Len() > 0 {
			b.WriteString(" for ")
		}
		fmt.Fprintf(&b, "%q", steps[i].name)
	}
	return b.String()
}
