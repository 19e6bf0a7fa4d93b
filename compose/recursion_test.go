package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
)

// counting counts what a gateway is asked in process.
func counting(h http.Handler, n *atomic.Int32) http.RoundTripper {
	return gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		h.ServeHTTP(w, r)
	}))
}

func TestAnAggregateOverRoutesOfTheGatewayThatAreAggregates(t *testing.T) {
	gw := gateway.New()
	self := gateway.Local(gw)
	gw.Handle("GET /users/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"n":9007199254740993}`, r.PathValue("id"))
	}))
	gw.Handle("GET /pairs/{left}/{right}", compose.New(compose.Get("a", self, "/users/{left}"), compose.Get("b", self, "/users/{right}")))
	gw.Handle("GET /home", compose.New(compose.Get("pair", self, "/pairs/{sub}/x%2Fy"), compose.Get("again", self, "/users/{pair.a.id}")))
	w := get(t, gw, "/home", claims{"sub": "u1"})
	assert.Equal(t, `{"pair":{"a":{"id":"u1","n":9007199254740993},"b":{"id":"x/y","n":9007199254740993}},"again":{"id":"u1","n":9007199254740993}}`, w.Body.String())
}

func TestAnAggregateThatIsPartOfItselfEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		gw := gateway.New()
		self := counting(gw, &calls)
		gw.Handle("GET /required", compose.New(compose.Get("a", self, "/required")))
		gw.Handle("GET /optional", compose.New(compose.Get("a", self, "/optional").Optional()))
		gw.Handle("GET /ping", compose.New(compose.Get("pong", self, "/pong").Default(`0`)))
		gw.Handle("GET /pong", compose.New(compose.Get("ping", self, "/ping").Default(`1`)))
		gw.Handle("GET /each", compose.New(compose.Get("list", answering(200, `[1]`), "/").Hide(), compose.Get("e", self, "/each?x={each}").Each("list").Optional()))

		w := get(t, gw, "/required", nil)
		assert.Equal(t, 502, w.Code)
		assert.EqualValues(t, 8, calls.Swap(0))
		w = get(t, gw, "/optional", nil)
		assert.Equal(t, `{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}`, w.Body.String())
		assert.EqualValues(t, 8, calls.Swap(0))
		w = get(t, gw, "/ping", nil)
		assert.Equal(t, `{"pong":{"ping":{"pong":{"ping":{"pong":{"ping":{"pong":{"ping":1}}}}}}}}`, w.Body.String())
		assert.EqualValues(t, 8, calls.Swap(0))
		assert.Equal(t, 200, get(t, gw, "/each", nil).Code)
		assert.EqualValues(t, 8, calls.Swap(0))
		synctest.Wait()
	})
}

func TestTheInnermostAggregateSays508(t *testing.T) {
	var codes []int
	var a *compose.Aggregator
	self := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, r)
		codes = append(codes, rec.Code)
		w.WriteHeader(rec.Code)
		_, _ = rec.Body.WriteTo(w)
	}))
	a = compose.New(compose.Get("a", self, "/"))
	get(t, a, "/", nil)
	assert.Equal(t, []int{508, 502, 502, 502, 502, 502, 502, 502}, codes)
}
