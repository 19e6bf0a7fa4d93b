package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
)

// moody answers with what was asked for while it is well.
type moody struct {
	ill    atomic.Int32 // the status that it answers with; 0: it is well
	header http.Header
	large  int // bytes of each answer
}

func (m *moody) RoundTrip(r *http.Request) (*http.Response, error) {
	if status := m.ill.Load(); status != 0 {
		return response(int(status), `{}`), nil
	}
	res := response(200, fmt.Sprintf(`"%s %s%s"`, r.URL.RequestURI(), r.Header.Get("X-User"), strings.Repeat(".", m.large)))
	if m.header != nil {
		res.Header = m.header
	}
	return res, nil
}

func TestAStaleAnswerIsNotOlderThanItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{}
		a := compose.New(compose.Get("a", m, "/").Stale(time.Minute))
		m.ill.Store(500)
		assert.Equal(t, 502, get(t, a, "/", nil).Code, "there was no good answer yet")
		m.ill.Store(0)
		get(t, a, "/", nil)
		m.ill.Store(500)
		time.Sleep(30 * time.Second)
		assert.Equal(t, `{"a":"/ "}`, get(t, a, "/", nil).Body.String())
		time.Sleep(30 * time.Second)
		assert.Equal(t, 200, get(t, a, "/", nil).Code, "that it was used does not make it younger or older")
		time.Sleep(time.Nanosecond)
		assert.Equal(t, 502, get(t, a, "/", nil).Code)
		m.ill.Store(0)
		get(t, a, "/", nil)
		m.ill.Store(503)
		assert.Equal(t, 200, get(t, a, "/", nil).Code)
	})
}

func TestWhatIsGoneOrForbiddenIsNotServedFromBefore(t *testing.T) {
	for _, status := range []int32{403, 404, 410} {
		m := &moody{}
		a := compose.New(compose.Get("a", m, "/").Stale(time.Hour))
		get(t, a, "/", nil)
		m.ill.Store(status)
		assert.EqualValues(t, status, get(t, a, "/", nil).Code)
		m.ill.Store(500)
		assert.Equal(t, 502, get(t, a, "/", nil).Code, "nor when the backend fails afterwards")
	}
}

func TestStaleAnswersAreOfWhatIsAsked(t *testing.T) {
	m := &moody{}
	a := compose.New(compose.Get("a", m, "/u/{sub}?q={query:q}").Header("X-User", "{claim:email}").Stale(time.Hour))
	ada, bob := claims{"sub": "ada", "email": "a@x"}, claims{"sub": "bob", "email": "b@x"}
	adaNow := claims{"sub": "ada", "email": "ada@y"}
	get(t, a, "/?q=1", ada)
	m.ill.Store(500)
	assert.Equal(t, `{"a":"/u/ada?q=1 a@x"}`, get(t, a, "/?q=1", ada).Body.String())
	assert.Equal(t, 502, get(t, a, "/?q=1", bob).Code)
	assert.Equal(t, 502, get(t, a, "/?q=2", ada).Code)
	assert.Equal(t, 502, get(t, a, "/?q=1", adaNow).Code)
}

func TestStaleAnswersAreOfTheTypeThatIsAskedFor(t *testing.T) {
	m := &moody{}
	a := compose.New(compose.Get("a", m, "/").Header("Accept", "{query:type}").Stale(time.Hour))
	get(t, a, "/?type=application/json", nil)
	m.ill.Store(500)
	assert.Equal(t, 200, get(t, a, "/?type=application/json", nil).Code)
	assert.Equal(t, 502, get(t, a, "/?type=application/vnd.v2%2Bjson", nil).Code)
}

// A route in process, or a transport that adds credentials, sees the principal though the
// request is the same for all.
func TestStaleAnswersAreOfWhoAsks(t *testing.T) {
	var ill atomic.Bool
	directives := ""
	me := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ill.Load() {
			w.WriteHeader(500)
			return
		}
		w.Header()["Cache-Control"] = []string{directives}
		who := "nobody"
		if p := exchange.From(r.Context()).Principal; p != nil {
			who, _ = p.Claim("sub")
		}
		fmt.Fprintf(w, "%q", who)
	}))
	tests := map[string]struct{ ada, bob, narrow, nameless int }{
		"":                    {200, 502, 502, 502},
		"private, max-age=60": {200, 502, 502, 502},
		"max-age=60":          {200, 502, 502, 502},
		"public, max-age=60":  {200, 200, 200, 200},
		"no-store":            {502, 502, 502, 502},
		"public, No-Store":    {502, 502, 502, 502},
	}
	for d, test := range tests {
		directives = d
		ill.Store(false)
		a := compose.New(compose.Get("me", me, "/me").Stale(time.Hour))
		ada := claims{"sub": "ada", "scope": "read write"}
		get(t, a, "/", ada)
		get(t, a, "/", claims{"email": "x"})
		ill.Store(true)
		w := get(t, a, "/", ada)
		assert.Equal(t, test.ada, w.Code, d)
		if test.bob == 502 && test.ada == 200 {
			assert.Equal(t, `{"me":"ada"}`, w.Body.String())
		}
		assert.Equal(t, test.bob, get(t, a, "/", claims{"sub": "bob", "scope": "read write"}).Code, d)
		assert.Equal(t, test.narrow, get(t, a, "/", claims{"sub": "ada", "scope": "read"}).Code, d)
		assert.Equal(t, test.nameless, get(t, a, "/", claims{"email": "x"}).Code, "%s: two who are not named cannot be told apart", d)
	}
}

func TestStaleAnswersAreBoundedInNumber(t *testing.T) {
	m := &moody{}
	a := compose.New(compose.Get("a", m, "/?q={query:q}").Stale(time.Hour))
	for i := range 1001 {
		get(t, a, fmt.Sprintf("/?q=%d", i), nil)
	}
	m.ill.Store(500)
	assert.Equal(t, 502, get(t, a, "/?q=0", nil).Code)
	assert.Equal(t, 200, get(t, a, "/?q=1", nil).Code)
	assert.Equal(t, 200, get(t, a, "/?q=1000", nil).Code)
}

func TestStaleAnswersAreBoundedInBytes(t *testing.T) {
	m := &moody{large: 1<<20 - 100}
	a := compose.New(compose.Get("a", m, "/?q={query:q}").Stale(time.Hour))
	before := heap()
	for i := range 100 {
		get(t, a, fmt.Sprintf("/?q=%d", i), nil)
	}
	assert.Less(t, heap()-before, int64(24<<20))
	m.ill.Store(500)
	assert.Equal(t, 502, get(t, a, "/?q=83", nil).Code)
	assert.Equal(t, 200, get(t, a, "/?q=84", nil).Code, "the last 16")
	m.ill.Store(0)
	for range 100 {
		get(t, a, "/?q=99", nil) // the same again takes the place of the same
	}
	m.ill.Store(500)
	assert.Equal(t, 200, get(t, a, "/?q=90", nil).Code)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The state of a request belongs to the goroutine that serves it, and a part that is
// cancelled looks for a stale answer when the whole has failed already.
func TestPartsThatOutliveTheAnswerDoNotTouchWhatBelongsToIt(t *testing.T) {
	gone := compose.Get("gone", answering(404, ``), "/")
	var parts []compose.Part
	for i := range 6 {
		parts = append(parts, compose.Get(fmt.Sprint("p", i), roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), "/").Stale(time.Hour))
	}
	a := compose.New(append(parts, gone)...)
	for range 200 {
		x, r := exchange.Join(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		a.ServeHTTP(x, r)
		assert.Error(t, x.Err)
		x.Err = nil // as middleware around may write
	}
}
