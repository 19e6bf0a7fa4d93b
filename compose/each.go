package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/rawjson"
)

// Limits of a part that has Each.
const (
	maxElements = 1000
	maxCalls    = 8        // at a time
	maxItems    = 16 << 20 // bytes of all answers
	maxBatch    = 4 << 10  // bytes of what is asked for in one call, as many servers take no URL of 8 KiB
)

var errItems = fmt.Errorf("the answers are larger than %d bytes", maxItems)

// fetchEach asks for every element of an array.
func (x *run) fetchEach(ctx context.Context, s *step, res *result) error {
	elements, err := x.elements(s)
	if err != nil {
		return err
	}
	groups := x.groups(s, elements)
	if err := x.fetchGroups(ctx, s, groups); err != nil {
		return err
	}
	res.items = make([][]byte, len(elements))
	total := 0
	for _, g := range groups {
		for _, i := range g.elements {
			item, err := g.item(i)
			switch {
			case err == nil || s.leavesOut(err):
			case s.fatal(err):
				return err
			default:
				item = s.fallback
				if res.err == nil {
					res.err = s.failure(err)
				}
			}
			res.items[i] = item
			if total += len(item); total > maxItems {
				return unfit(errItems)
			}
		}
	}
	res.json = joinItems(res.items)
	return nil
}

// leavesOut reports whether err is a value that an element does not have, and need not.
func (s *step) leavesOut(err error) bool {
	var m missing
	return s.absent && errors.As(err, &m) && m.from == fromEach
}

// fatal reports whether err, of one element, has all of s failed.
func (s *step) fatal(err error) bool {
	return !s.leavesOut(err) && (s.absent && errors.As(err, new(missing)) || !s.optional && s.fallback == nil)
}

// joinItems returns the items as an array, with null for what is not there.
func joinItems(items [][]byte) []byte {
	out := []byte{'['}
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		if item == nil {
			item = []byte("null")
		}
		out = append(out, item...)
	}
	return append(out, ']')
}

// elements returns those of the array that s is for.
func (x *run) elements(s *step) ([][]byte, error) {
	_, raw, err := s.array.value(&scope{r: x.request, results: x.results})
	if err != nil {
		return nil, err
	}
	if rawjson.KindOf(raw) != rawjson.Array {
		return nil, unfit(fmt.Errorf("{%s} is no array", &s.array))
	}
	var elements [][]byte
	for e := range rawjson.Elements(raw) {
		if len(elements) == maxElements {
			return nil, unfit(fmt.Errorf("{%s} has more than %d elements", &s.array, maxElements))
		}
		elements = append(elements, e)
	}
	return elements, nil
}

// itemGroup is the elements that one call is for.
type itemGroup struct {
	scope    scope
	step     *step // the part, or as a batch of it
	elements []int
	keys     map[int]string // of a batch: what tells the results apart
	more     []byte         // of a batch: what is asked for besides the first, as parameters
	room     int            // of a batch: for how many more
	answer   answer
	results  map[string][]byte // of a batch, by key
	err      error
}

// groups returns the calls for the elements: what comes out the same is one.
func (x *run) groups(s *step, elements [][]byte) []*itemGroup {
	if s.batch > 0 {
		return x.batches(s, elements)
	}
	var groups []*itemGroup
	same := make(map[string]*itemGroup)
	for i, e := range elements {
		sc := scope{r: x.request, results: x.results, element: e}
		key, err := s.fill(&sc)
		g := same[key]
		if err != nil || g == nil {
			g = &itemGroup{scope: sc, step: s, err: err}
			groups = append(groups, g)
			if err == nil {
				same[key] = g
			}
		}
		g.elements = append(g.elements, i)
	}
	return groups
}

// fill returns all that the templates of s make of sc.
func (s *step) fill(sc *scope) (string, error) {
	var b []byte
	for _, t := range s.templates() {
		if len(t.literals) == 0 {
			continue
		}
		var err error
		if b, err = t.append(b, sc); err != nil {
			return "", err
		}
		b = append(b, 0)
	}
	return string(b), nil
}

// batchHole returns the parameter of the template that is repeated for each element.
func (s *step) batchHole() (parameter string, err error) {
	for i, h := range s.url.holes {
		if h.source != fromEach || h.place != inQuery {
			continue
		}
		before, after := s.url.literals[i], s.url.literals[i+1]
		at := strings.LastIndexAny(before, "?&")
		if at >= 0 && strings.HasSuffix(before, "=") && (after == "" || after[0] == '&') {
			return before[at+1:], nil
		}
	}
	return "", errors.New("there is no such hole")
}

// batches returns the calls for the elements, each for as many as the batch has room for.
func (x *run) batches(s *step, elements [][]byte) []*itemGroup {
	parameter, _ := s.batchHole() // newPlan has seen that there is one
	h := &s.url.holes[slices.IndexFunc(s.url.holes, func(h hole) bool { return h.source == fromEach })]
	var groups []*itemGroup
	var open *itemGroup
	place := make(map[string]*itemGroup) // of every value
	for i, e := range elements {
		sc := scope{r: x.request, results: x.results, element: e}
		text, _, err := h.value(&sc)
		if err != nil {
			groups = append(groups, &itemGroup{step: s, elements: []int{i}, err: err})
			continue
		}
		g := place[text]
		switch {
		case g != nil:
		case open == nil || open.room == 0 || len(open.more)+len(text) > maxBatch:
			open = &itemGroup{scope: sc, step: s, keys: make(map[int]string), room: s.batch - 1}
			groups = append(groups, open)
			g = open
		default:
			g = open
			g.more = append(g.more, "&"+parameter+url.QueryEscape(text)...)
			g.room--
		}
		place[text] = g
		g.elements = append(g.elements, i)
		g.keys[i] = text
	}
	for _, g := range groups {
		if len(g.more) > 0 {
			g.step = s.longer(string(g.more))
		}
	}
	return groups
}

// longer returns s with more at the end of its query.
func (s *step) longer(more string) *step {
	c := *s
	last := len(c.url.literals) - 1
	c.url.literals = append(c.url.literals[:last:last], c.url.literals[last]+more)
	return &c
}

// fetchGroups makes the calls, some at a time, until they have all ended or one of them has
// decided that the part has failed: the others are then cancelled.
func (x *run) fetchGroups(ctx context.Context, s *step, groups []*itemGroup) error {
	for _, g := range groups {
		if g.err != nil && s.fatal(g.err) {
			return g.err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	var size atomic.Int64
	turns := make(chan struct{}, maxCalls)
	for _, g := range groups {
		if g.err != nil {
			continue
		}
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if g.err = x.fetchGroup(ctx, s, g); g.err != nil && s.fatal(g.err) {
				stop(verdict{g.err})
			}
			if size.Add(int64(len(g.answer.json))) > maxItems {
				stop(verdict{unfit(errItems)})
			}
		})
	}
	wg.Wait()
	if v := (verdict{}); errors.As(context.Cause(ctx), &v) {
		return v.error
	}
	return nil
}

// verdict is why the calls for elements that are still under way were cancelled.
type verdict struct{ error }

func (x *run) fetchGroup(ctx context.Context, s *step, g *itemGroup) error {
	a, err := x.call(ctx, g.step, &g.scope)
	if err != nil {
		return err
	}
	// Of 1,000 answers each must take no more than it needs, and not the buffer it came in.
	g.answer.json = bytes.Clone(a.json)
	(&result{buffer: a.buffer}).free()
	if g.keys != nil {
		g.results, err = byKey(g.answer.json, s.keyPath)
	}
	return err
}

// byKey returns the elements of an answer by what they have at path, a number as it is
// written: 7 is what was asked for as "7". Of several it is the last.
func byKey(array []byte, path rawjson.Path) (map[string][]byte, error) {
	if rawjson.KindOf(array) != rawjson.Array {
		return nil, unfit(errors.New("the answer to a batch is no array"))
	}
	results := make(map[string][]byte)
	for e := range rawjson.Elements(array) {
		key := rawjson.Get(e, path)
		if key == nil {
			continue
		}
		switch rawjson.KindOf(key) {
		case rawjson.String:
			results[rawjson.Text(key)] = e
		case rawjson.Number, rawjson.Bool:
			results[string(key)] = e
		}
	}
	return results, nil
}

// item returns the answer for element i.
func (g *itemGroup) item(i int) ([]byte, error) {
	switch {
	case g.err != nil:
		return nil, g.err
	case g.keys == nil:
		return g.answer.json, nil
	}
	if item := g.results[g.keys[i]]; item != nil {
		return item, nil
	}
	return nil, &gateway.Problem{Status: http.StatusNotFound, Fault: gateway.UpstreamStatus, Err: errNoAnswer}
}
