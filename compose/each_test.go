package compose_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shop answers for each product on its own, /p/7, and for several, /ps?id=7&id=9.
type shop struct {
	now, most atomic.Int32

	mu    sync.Mutex
	calls []string
}

func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.calls = append(s.calls, r.URL.RequestURI())
	s.mu.Unlock()
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	if ids := r.URL.Query()["id"]; ids != nil {
		slices.Reverse(ids) // no server promises an order
		var found []string
		for _, id := range ids {
			if !strings.HasPrefix(id, "none") {
				found = append(found, fmt.Sprintf(`{"id":%q,"n":%d}`, id, len(ids)))
			}
		}
		return response(200, "["+strings.Join(found, ",")+"]"), nil
	}
	id := strings.TrimPrefix(r.URL.Path, "/p/")
	if strings.HasPrefix(id, "none") {
		return response(404, `{}`), nil
	}
	n64, _ := strconv.Atoi(id)
	select {
	case <-time.After(time.Duration(100-n64) * time.Millisecond): // the first takes longest
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return response(200, fmt.Sprintf("{\"p\" : %q}", id)), nil
}

func (s *shop) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.calls))
}

// list is a hidden part with an array, or whatever else.
func list(json string) compose.Part { return compose.Get("list", answering(200, json), "/").Hide() }

func TestEachAnswersInTheOrderOfTheElementsAndAsksOnceForWhatIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		w := get(t, compose.New(list(`{"ids":["3","1",2,"3",1,{"no":1},"1"]}`), compose.Get("p", s, "/p/{each}").Each("list.ids").Optional()), "/", nil)
		assert.Equal(t, `{"p":[{"p" : "3"},{"p" : "1"},{"p" : "2"},{"p" : "3"},{"p" : "1"},null,{"p" : "1"}]}`, w.Body.String())
		assert.Equal(t, []string{"/p/1", "/p/2", "/p/3"}, s.asked())
	})
}

func TestEachAsksForEightAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		var ids []string
		for i := range 100 {
			ids = append(ids, strconv.Itoa(i))
		}
		w := get(t, compose.New(list("["+strings.Join(ids, ",")+"]"), compose.Get("p", s, "/p/{each}").Each("list")), "/", nil)
		assert.Equal(t, 200, w.Code)
		assert.EqualValues(t, 8, s.most.Load())
		assert.Len(t, s.asked(), 100)
	})
}

func TestElementsThatFail(t *testing.T) {
	const ids = `[1,"none1",2,null,{}]`
	tests := map[string]struct {
		part func(compose.Part) compose.Part
		want string
		code int
	}{
		"optional":                     {func(p compose.Part) compose.Part { return p.Optional() }, `[{"p" : "1"},null,{"p" : "2"},null,null]`, 200},
		"default":                      {func(p compose.Part) compose.Part { return p.Default(" {\"p\":0}") }, `[{"p" : "1"},{"p":0},{"p" : "2"},{"p":0},{"p":0}]`, 200},
		"both":                         {func(p compose.Part) compose.Part { return p.Default("0").Optional() }, `[{"p" : "1"},0,{"p" : "2"},0,0]`, 200},
		"a value may be missing":       {func(p compose.Part) compose.Part { return p.SkipMissing() }, ``, 404},
		"optional, and may be missing": {func(p compose.Part) compose.Part { return p.SkipMissing().Optional() }, `[{"p" : "1"},null,{"p" : "2"},null,null]`, 200},
		"default, or may be missing":   {func(p compose.Part) compose.Part { return p.SkipMissing().Default("0") }, `[{"p" : "1"},0,{"p" : "2"},null,null]`, 200},
		"required":                     {func(p compose.Part) compose.Part { return p }, ``, 502},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := get(t, compose.New(list(ids), test.part(compose.Get("p", &shop{}, "/p/{each}").Each("list"))), "/", nil)
				assert.Equal(t, test.code, w.Code)
				if test.code == 200 {
					assert.Equal(t, `{"p":`+test.want+`}`, w.Body.String())
				}
			})
		})
	}
}

func TestWhereAllElementsMustSucceedTheFirstFailureEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/slow": `1`}, delay: map[string]time.Duration{"/slow": time.Hour, "/gone": time.Second},
		}
		elements := `[{"p":"slow","n":0},{"p":"gone","n":0},{"p":"slow","n":0}`
		for i := range 100 {
			elements += fmt.Sprintf(`,{"p":"slow","n":%d}`, i+1)
		}
		part := compose.Get("p", b, "/{each.p}?n={each.n}").Each("list")
		start := time.Now()
		w := get(t, compose.New(list(elements+"]"), part), "/", nil)
		assert.Equal(t, 404, w.Code)
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		assert.Len(t, b.asked(), 8, "those that were under way")

		b.calls = nil
		w = get(t, compose.New(list(`[{"p":"slow","n":1},{"p":"slow"}]`), part), "/", nil)
		assert.Equal(t, 502, w.Code)
		assert.Empty(t, b.asked(), "that an element has no value is known before")
	})
}

func TestEachOverWhatIsNoArray(t *testing.T) {
	part := compose.Get("p", &shop{}, "/p/{each}").Each("list.ids")
	for _, doc := range []string{`{"ids":{}}`, `{"ids":null}`, `{"ids":"1"}`, `{}`, `[]`, `null`} {
		w := get(t, compose.New(list(doc), part), "/", nil)
		assert.Equal(t, 502, w.Code, doc)
		assert.Equal(t, `{}`, get(t, compose.New(list(doc), part.Optional()), "/", nil).Body.String(), doc)
	}
	assert.Equal(t, `{"p":[]}`, get(t, compose.New(list(`{"ids":[ ]}`), part), "/", nil).Body.String())
	assert.Equal(t, `{}`, get(t, compose.New(list(`{}`), part.SkipMissing()), "/", nil).Body.String())
}

func TestEachOverAPartThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := compose.Get("p", &shop{}, "/p/{each}").Each("list.ids")
		failed := compose.Get("list", answering(500, ``), "/").Hide()
		skipped := compose.Get("list", answering(200, `{"ids":[1]}`), "/?x={query:x}").Hide().SkipMissing()
		for _, from := range []compose.Part{failed.Optional(), skipped} {
			assert.Equal(t, 502, get(t, compose.New(from, part), "/", nil).Code)
			assert.Equal(t, `{}`, get(t, compose.New(from, part.Optional()), "/", nil).Body.String())
			assert.Equal(t, `{}`, get(t, compose.New(from, part.SkipMissing()), "/", nil).Body.String())
		}
		assert.Equal(t, 502, get(t, compose.New(failed, part), "/", nil).Code)
		assert.Equal(t, `{"p":[{"p" : "5"}]}`, get(t, compose.New(failed.Default(` {"ids":[5]}`), part), "/", nil).Body.String())
		assert.Equal(t, `{"p":[{"p" : "1"}]}`, get(t, compose.New(skipped, part), "/?x=1", nil).Body.String())
	})
}

func TestWhatAllElementsNeedSkipsThePartIfItIsMissing(t *testing.T) {
	s := &shop{}
	part := compose.Get("p", s, "/p/{each}?q={query:q}").Each("list").SkipMissing()
	assert.Equal(t, `{}`, get(t, compose.New(list(`[1,2]`), part), "/", nil).Body.String())
	assert.Empty(t, s.asked())
}

func TestEachHasLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		ids := "[" + strings.Repeat("1,", 1000) + "1]"
		part := compose.Get("p", s, "/p/{each}").Each("list")
		assert.Equal(t, 502, get(t, compose.New(list(ids), part), "/", nil).Code)
		assert.Empty(t, s.asked())
		assert.Equal(t, 200, get(t, compose.New(list(ids[:len(ids)-3]+"]"), part), "/", nil).Code)

		var calls atomic.Int32
		large := roundTrip(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			return response(200, `"`+strings.Repeat("x", 1<<20-2)+`"`), nil
		})
		part = compose.Get("p", large, "/p/{each}").Each("list").Optional()
		distinct := `[0`
		for i := range 200 {
			distinct += "," + strconv.Itoa(i+1)
		}
		assert.Equal(t, `{}`, get(t, compose.New(list(distinct+"]"), part), "/", nil).Body.String())
		assert.LessOrEqual(t, calls.Load(), int32(16+8), "no more is fetched than there is room for")

		calls.Store(0)
		assert.Equal(t, `{}`, get(t, compose.New(list("["+strings.Repeat("1,", 50)+"1]"), part), "/", nil).Body.String(), "one answer in 51 places")
		assert.EqualValues(t, 1, calls.Load())
	})
}

func TestABatchAsksForManyAndTellsThemApart(t *testing.T) {
	s := &shop{}
	part := compose.Get("p", s, "/ps?id={each.id}&x=1").Each("list").Batch(3, "id")
	w := get(t, compose.New(list(`[{"id":"a b&c"},{"id":7},{"id":"7"},{"id":8},{"id":9},{"id":"a b&c"},{"id":10}]`), part), "/", nil)
	assert.Equal(t, `{"p":[{"id":"a b&c","n":3},{"id":"7","n":3},{"id":"7","n":3},{"id":"8","n":3},{"id":"9","n":2},{"id":"a b&c","n":3},{"id":"10","n":2}]}`, w.Body.String())
	assert.Equal(t, []string{"/ps?id=9&x=1&id=10", "/ps?id=a+b%26c&x=1&id=7&id=8"}, s.asked())

	s = &shop{}
	part = compose.Get("p", s, "/ps?id={each}").Each("list").Batch(2, "id")
	assert.Equal(t, `{"p":[]}`, get(t, compose.New(list(`[]`), part), "/", nil).Body.String())
	assert.Empty(t, s.asked())
	assert.Equal(t, 404, get(t, compose.New(list(`[1,"none"]`), part), "/", nil).Code, "what the answer says nothing of")
	assert.Equal(t, `{"p":[{"id":"1","n":2},null]}`, get(t, compose.New(list(`[1,"none"]`), part.Optional()), "/", nil).Body.String())
	assert.Equal(t, `{"p":[{"id":"1","n":1},0]}`, get(t, compose.New(list(`[1,null]`), part.Default(`0`)), "/", nil).Body.String())
	assert.Equal(t, `{"p":[null,{"id":"1","n":1}]}`, get(t, compose.New(list(`[{},1]`), part.SkipMissing()), "/", nil).Body.String())
}

func TestWhatABackendMayAnswerToABatch(t *testing.T) {
	part := func(answer string) compose.Part {
		return compose.Get("p", answering(200, answer), "/?id={each}").Each("list").Batch(10, "k.id")
	}
	for answer, want := range map[string]string{
		`[{"k":{"id":1},"v":"one"},{"k":{"id":"2"},"v":"two"}]`:  `[{"k":{"id":1},"v":"one"},{"k":{"id":"2"},"v":"two"},null]`,
		`[{"k":{"id":1.0}},{"k":{"id":2}},{"k":{"id":2},"v":2}]`: `[null,{"k":{"id":2},"v":2},null]`, // a number is what is written; the last of two
		`[5,null,[],{"k":1},{"k":{}},{"id":1}]`:                  `[null,null,null]`,
		`[{"k":{"id":null}},{"k":{"id":[1]}}]`:                   `[null,null,null]`, // "null" is not null
		`[]`:                                                     `[null,null,null]`,
		`{"1":{}}`:                                               `[null,null,null]`,
		`<html>`:                                                 `[null,null,null]`,
	} {
		w := get(t, compose.New(list(`[1,"2","null"]`), part(answer).Optional()), "/", nil)
		assert.Equal(t, `{"p":`+want+`}`, w.Body.String(), answer)
	}
	assert.Equal(t, 502, get(t, compose.New(list(`[1]`), part(`{}`)), "/", nil).Code)
	w := get(t, compose.New(list(`[1]`), part(`{"items":[{"k":{"id":1}}]}`).Pick("items")), "/", nil)
	assert.Equal(t, `{"p":[{"k":{"id":1}}]}`, w.Body.String())
}

// A URL of a megabyte is what nobody takes, and to make it value by value takes long.
func TestABatchOfLongValuesIsSeveral(t *testing.T) {
	s := &shop{}
	var ids []string
	for i := range 500 {
		ids = append(ids, fmt.Sprintf(`"%s%d"`, strings.Repeat("x", 1000), i))
	}
	w := get(t, compose.New(list("["+strings.Join(ids, ",")+"]"), compose.Get("p", s, "/ps?id={each}").Each("list").Batch(1000, "id")), "/", nil)
	require.Equal(t, 200, w.Code)
	for _, target := range s.asked() {
		assert.Less(t, len(target), 8<<10)
	}
	assert.Equal(t, 100, len(s.asked())) //nolint:testifylint // what it would print is half a megabyte
}

func TestBuildRefusesBatchesThatCannotBe(t *testing.T) {
	from := &shop{}
	each := func(target string) compose.Part { return compose.Get("p", from, target).Each("list").Batch(2, "id") }
	for _, p := range []compose.Part{
		each("/ps"), each("/ps/{each}"), each("/ps?id=x{each}"), each("/ps?id={each}x"), each("/ps?{each}"), each("/ps?id={each}&y={each}"),
		each("/ps?id={each}").Header("X", "{each}"), compose.Get("p", from, "/?id={each}").Batch(2, "id"), compose.Get("p", from, "/?id={each}"),
		compose.Get("p", from, "/ps?id={each}").Each("list").Batch(1, "id"), compose.Get("p", from, "/ps?id={each}").Each("list").Batch(2, ""),
		compose.Get("p", from, "/ps?id={each}").Each("list").Batch(2, "a..b"), compose.Get("p", from, "/ps?id={each}").Each("nobody"),
		compose.Get("p", from, "/").Join("x"), compose.Get("p", from, "/ps").Each("list").Join(""), compose.Get("p", from, "/ps").Each("list").Join("x").At("y"),
		compose.Get("p", from, "/ps").Each("p"), compose.Get("p", from, "/ps").Each("list").Stale(time.Second),
	} {
		_, err := compose.Build(compose.Config{Parts: []compose.Part{list(`[]`), p}})
		assert.Error(t, err)
	}
}

func TestJoinPutsTheAnswersIntoTheElements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := compose.Get("orders", answering(200, `{"page":{"list":[{"pid":1,"old":1.0},{"pid":2,"product":"x"},5,{"none":1},null,{"pid":1}],"n":2}}`), "/")
		product := compose.Get("product", &shop{}, "/p/{each.pid}").Each("orders.page.list").Join("product").Optional()
		w := get(t, compose.New(product, orders), "/", nil)
		assert.Equal(t, `{"orders":{"page":{"list":[{"pid":1,"old":1.0,"product":{"p" : "1"}},{"pid":2,"product":{"p" : "2"}},5,`+
			`{"none":1,"product":null},null,{"pid":1,"product":{"p" : "1"}}],"n":2}}}`, w.Body.String())

		orders = compose.Get("orders", answering(200, ` [{"pid":1}]`), "/")
		again := compose.Get("again", &shop{}, "/p/{product.0.p}{each.pid}").Each("orders").Join("again")
		product = compose.Get("product", &shop{}, "/p/{each.pid}").Each("orders").Join("product")
		w = get(t, compose.New(again, orders.At("a.b"), product), "/", nil)
		assert.Equal(t, `{"a":{"b":[{"pid":1,"again":{"p" : "11"},"product":{"p" : "1"}}]}}`, w.Body.String())

		w = get(t, compose.New(orders, compose.Get("p", answering(500, ``), "/{each.pid}").Each("orders").Join("p").Optional()), "/", nil)
		assert.Equal(t, `{"orders":[{"pid":1,"p":null}]}`, w.Body.String())
		w = get(t, compose.New(compose.Get("orders", answering(500, ``), "/").Default(`[]`), product), "/", nil)
		assert.Equal(t, `{"orders":[]}`, w.Body.String())
		w = get(t, compose.New(compose.Get("orders", answering(500, ``), "/").Optional(), product.Optional(), compose.Get("x", answering(200, `1`), "/")), "/", nil)
		assert.Equal(t, `{"x":1}`, w.Body.String())
	})
}

func TestBuildRefusesJoinsToWhatIsNotThereAnyMore(t *testing.T) {
	l := compose.Get("l", answering(200, `{}`), "/")
	join := func(name, path, as string) compose.Part {
		return compose.Get(name, answering(200, `[{},{}]`), "/").Each(path).Join(as)
	}
	for _, parts := range [][]compose.Part{
		{l.Hide(), join("a", "l", "x")},
		{l, join("a", "l", "x"), join("b", "a", "x")},
		{l, join("a", "l.pages", "x"), join("b", "l.pages", "x")},
		{l, join("a", "l.pages", "items"), join("b", "l.pages.0.items", "x")},
		{l, join("b", "l.pages.0.items.list", "x"), join("a", "l.pages", "items")},
	} {
		_, err := compose.Build(compose.Config{Parts: parts})
		assert.ErrorContains(t, err, "is joined to")
	}
	_, err := compose.Build(compose.Config{Parts: []compose.Part{
		l, join("a", "l.pages", "x"), join("b", "l.pages", "y"), join("c", "l.pages.0.items", "x"), compose.Get("d", answering(200, `1`), "/").Each("l.pages.0.x"),
	}})
	assert.NoError(t, err)
}
