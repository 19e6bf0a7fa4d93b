package compose_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func permutations(s []string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		var rec func(done, rest []string) bool
		rec = func(done, rest []string) bool {
			if len(rest) == 0 {
				return yield(done)
			}
			for i := range rest {
				next := slices.Delete(slices.Clone(rest), i, i+1)
				if !rec(append(slices.Clone(done), rest[i]), next) {
					return false
				}
			}
			return true
		}
		rec(nil, s)
	}
}

func TestTheAnswerIsTheSameInEveryOrderOfCompletion(t *testing.T) {
	paths := []string{"/1", "/2", "/3", "/4", "/5", "/6"}
	part := func(b *backend, n int) compose.Part { return compose.Get("p"+strconv.Itoa(n), b, "/"+strconv.Itoa(n)) }
	tests := map[string]struct {
		answers [6]string
		parts   func(b *backend) []compose.Part
		want    string
	}{
		"under their names": {
			[6]string{" {\"n\":1}\n", `[9007199254740993,1.0,1e400]`, `"x"`, `null`, `{}`, `0`},
			func(b *backend) []compose.Part {
				return []compose.Part{part(b, 6), part(b, 1), part(b, 2), part(b, 3), part(b, 4), part(b, 5)}
			},
			`{"p6":0,"p1":{"n":1},"p2":[9007199254740993,1.0,1e400],"p3":"x","p4":null,"p5":{}}`,
		},
		"every collision": {
			[6]string{
				`{"k":{"a":1},"l":[1],"one":1}`, `{"k":{"b":2},"l":[2],"two":1.0}`, `{"k":{"a":3,"c":{"x":1}},"l":[3]}`,
				`{"k":{"c":{"y":2}},"l":[4],"one":"last"}`, `{"k":5,"l":[5]}`, `{"six":6}`,
			},
			func(b *backend) []compose.Part {
				return []compose.Part{
					part(b, 1).Spread(compose.First), part(b, 2).Spread(compose.First), part(b, 3).Spread(compose.Deep),
					part(b, 4).Spread(compose.Deep), part(b, 5).Spread(compose.Append), part(b, 6).Spread(compose.Refuse),
				}
			},
			`{"k":5,"l":[4,5],"one":"last","two":1.0,"six":6}`,
		},
		"the last one, and one that is refused": {
			[6]string{`{"k":1,"a":1}`, `{"k":2}`, `{"k":3,"b":3}`, `{"b":4,"c":4}`, `{"b":5}`, `true`},
			func(b *backend) []compose.Part {
				return []compose.Part{
					part(b, 1).Spread(compose.Last), part(b, 2).Spread(compose.Last), part(b, 3).Spread(compose.Last),
					part(b, 4).Spread(compose.Refuse).Optional(), part(b, 5).Spread(compose.Last), part(b, 6),
				}
			},
			`{"k":3,"a":1,"b":5,"p6":true}`,
		},
		"nested places, and elements that get members": {
			[6]string{`{"list":[{"id":7},{"id":9},{"id":7}]}`, `{"price":1.50}`, `"stock"`, `{"deep":1}`, `{"deep":2,"more":3}`, `6`},
			func(b *backend) []compose.Part {
				return []compose.Part{
					part(b, 6).At("tree.six"),
					part(b, 1).At("tree.orders"),
					part(b, 2).Each("p1.list").Join("price"),
					compose.Get("p3", b, "/3?id={each.id}").Each("p1.list").Join("stock"),
					part(b, 4).At("tree.nested"),
					part(b, 5).At("tree.nested").Spread(compose.First),
				}
			},
			`{"tree":{"six":6,"orders":{"list":[{"id":7,"price":{"price":1.50},"stock":"stock"},` +
				`{"id":9,"price":{"price":1.50},"stock":"stock"},{"id":7,"price":{"price":1.50},"stock":"stock"}]},` +
				`"nested":{"deep":1,"more":3}}}`,
		},
		"dependent ones": {
			[6]string{`{"v":"a"}`, `{"v":"b"}`, `{"v":"c"}`, `4`, `5`, `[{},{}]`},
			func(b *backend) []compose.Part {
				return []compose.Part{
					compose.Get("p5", b, "/5?x={p3.v}&y={p2.v}"), part(b, 4).Each("p6"), part(b, 6).Hide(),
					compose.Get("p3", b, "/3?x={p1.v}"), compose.Get("p2", b, "/2?x={p1.v}"), part(b, 1),
				}
			},
			`{"p5":5,"p4":[4,4],"p3":{"v":"c"},"p2":{"v":"b"},"p1":{"v":"a"}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{}}
				for i, path := range paths {
					b.answers[path] = test.answers[i]
				}
				a := compose.Must(compose.Config{Parts: test.parts(b)})
				orders := 0
				for order := range permutations(paths) {
					for i, path := range order {
						b.delay[path] = time.Duration(i) * time.Second
					}
					w := get(t, a, "/", nil)
					require.Equal(t, test.want, w.Body.String(), "completion order %v", order)
					require.Equal(t, 200, w.Code)
					orders++
				}
				assert.Equal(t, 720, orders)
			})
		})
	}
}

func TestIndependentPartsTakeAsLongAsTheSlowestHoweverManyThereAre(t *testing.T) {
	for n := 1; n <= 50; n++ {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{}}
			var parts []compose.Part
			for i := range n {
				path := "/" + strconv.Itoa(i)
				b.answers[path] = strconv.Itoa(i)
				b.delay[path] = time.Duration(i*7919%n+1) * time.Second // the slowest is anywhere
				parts = append(parts, compose.Get("p"+strconv.Itoa(i), b, path))
			}
			start := time.Now()
			assert.Equal(t, 200, get(t, compose.New(parts...), "/", nil).Code)
			assert.Equal(t, slowest(b), time.Since(start), "%d parts", n)
			assert.Len(t, b.asked(), n)
		})
	}
}

func slowest(b *backend) (d time.Duration) {
	for _, delay := range b.delay {
		d = max(d, delay)
	}
	return d
}

func TestDependentPartsTakeAsLongAsTheCriticalPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/profile": `{"segment":"gold","ids":[1,2,3]}`, "/offers": `{"id":4}`, "/orders": `[]`, "/items": `0`, "/last": `0`},
			delay: map[string]time.Duration{
				"/profile": time.Second, "/offers": 2 * time.Second, "/orders": 2500 * time.Millisecond, "/items": time.Second, "/last": 100 * time.Millisecond,
			},
		}
		a := compose.New(
			compose.Get("last", b, "/last?x={offers.id}&y={items.0}"),
			compose.Get("offers", b, "/offers?segment={profile.segment}"),
			compose.Get("items", b, "/items?id={each}").Each("profile.ids"),
			compose.Get("profile", b, "/profile"),
			compose.Get("orders", b, "/orders"),
		)
		start := time.Now()
		w := get(t, a, "/", nil)
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, 3100*time.Millisecond, time.Since(start), "profile, then offers, then last; all else beside them")
		assert.Contains(t, b.asked(), "/offers?segment=gold")
		assert.Contains(t, b.asked(), "/last?x=4&y=0")
	})
}

func TestAPartThatCannotEndIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/first": `{"id":1}`, "/second": `2`},
			delay:   map[string]time.Duration{"/first": 2 * time.Second},
		}
		a := compose.Must(compose.Config{Timeout: time.Second, Parts: []compose.Part{
			compose.Get("first", b, "/first").Default(`{"id":0}`),
			compose.Get("second", b, "/second?id={first.id}").Optional(),
		}})
		start := time.Now()
		w := get(t, a, "/", nil)
		assert.Equal(t, `{"first":{"id":0}}`, w.Body.String())
		assert.Equal(t, []string{"/first"}, b.asked())
		assert.Less(t, time.Since(start), time.Second, "there is time to answer")
	})
}

func TestWhenTheAnswerIsDecidedTheOthersAreCancelledAndNothingIsBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/slow": `{"id":1}`, "/later": `1`, "/list": `[1,2,3,4,5,6,7,8,9,10,11,12]`, "/item": `1`},
			delay:   map[string]time.Duration{"/slow": time.Hour, "/item": time.Hour, "/gone": time.Second},
		}
		for _, order := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {1, 0, 4, 2, 3}} {
			parts := []compose.Part{
				compose.Get("slow", b, "/slow"), compose.Get("gone", b, "/gone"), compose.Get("later", b, "/later?id={slow.id}"),
				compose.Get("list", b, "/list"), compose.Get("item", b, "/item?id={each}").Each("list"),
			}
			b.calls = nil
			shuffled := make([]compose.Part, len(parts))
			for i, j := range order {
				shuffled[i] = parts[j]
			}
			start := time.Now()
			w := get(t, compose.New(shuffled...), "/", nil)
			assert.Equal(t, 404, w.Code)
			assert.Equal(t, time.Second, time.Since(start))
			synctest.Wait()
			assert.Len(t, b.asked(), 3+8, "no later, and of the items as many as are asked for at once: %v", b.asked())
		}
	})
}

// A transport that does not look at its request's context, as those made for tests and
// some of older libraries do not.
func TestABackendThatCannotBeCancelledDoesNotHoldTheAnswerOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Hour)
			return response(200, `1`), nil
		})
		b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{"/gone": time.Second}}
		start := time.Now()
		w := get(t, compose.New(compose.Get("deaf", deaf, "/"), compose.Get("gone", b, "/gone")), "/", nil)
		assert.Equal(t, 404, w.Code)
		assert.Equal(t, time.Second, time.Since(start))
		time.Sleep(time.Hour) // until the deaf one has ended: the bubble must not be left before
	})
}

func TestAClientThatLeavesEndsEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, ended atomic.Int32
		waiting := roundTrip(func(r *http.Request) (*http.Response, error) {
			begun.Add(1)
			<-r.Context().Done()
			ended.Add(1)
			return nil, r.Context().Err()
		})
		var parts []compose.Part
		for i := range 10 {
			parts = append(parts, compose.Get(fmt.Sprint(i), waiting, "/"))
		}
		r := httptest.NewRequest("GET", "/", nil)
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			compose.New(parts...).ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		}()
		synctest.Wait()
		assert.EqualValues(t, 10, begun.Load())
		leave()
		<-done
		synctest.Wait()
		assert.EqualValues(t, 10, ended.Load())
	})
}
