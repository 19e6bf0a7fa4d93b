package compose_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// backend answers by path and query with fixed JSON, after a delay.
type backend struct {
	answers map[string]string
	delay   map[string]time.Duration

	mu    sync.Mutex
	calls []string
}

// asked returns what was, so far: a part whose answer nobody waits for any more may
// still be asking.
func (b *backend) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.calls = append(b.calls, r.URL.RequestURI())
	b.mu.Unlock()
	select {
	case <-time.After(b.delay[r.URL.Path]):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body, ok := b.answers[r.URL.Path]
	if !ok {
		return response(404, `{}`), nil
	}
	return response(200, body), nil
}

func response(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answering(status int, body string) http.RoundTripper {
	return roundTrip(func(*http.Request) (*http.Response, error) { return response(status, body), nil })
}

// claims is a principal as another package would put it into the request.
type claims map[string]string

func (c claims) Claim(name string) (string, bool) { v, ok := c[name]; return v, ok }

func get(t *testing.T, h http.Handler, target string, who claims) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if who != nil {
		r = r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: who}))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRetryAfterOfARequiredPartIsPassedOn(t *testing.T) {
	busy := roundTrip(func(*http.Request) (*http.Response, error) {
		res := response(503, "")
		res.Header.Set("Retry-After", "7")
		return res, nil
	})
	w := get(t, compose.New(compose.Get("a", busy, "/")), "/", nil)
	assert.Equal(t, "7", w.Header().Get("Retry-After"))
}

func TestALatePartIsReplacedAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/fast": `1`, "/slow": `2`},
			delay:   map[string]time.Duration{"/slow": time.Hour},
		}
		a := compose.New(
			compose.Get("fast", b, "/fast"),
			compose.Get("slow", b, "/slow").Timeout(300*time.Millisecond).Default(`"none"`),
		)
		start := time.Now()
		w := get(t, a, "/", nil)
		assert.Equal(t, `{"fast":1,"slow":"none"}`, w.Body.String())
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
	})
}

func TestARequiredFailureCancelsTheOtherPartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{"/slow": time.Hour}}
		a := compose.New(compose.Get("slow", b, "/slow"), compose.Get("gone", b, "/gone"))
		start := time.Now()
		w := get(t, a, "/", nil)
		assert.Equal(t, 404, w.Code)
		assert.Zero(t, time.Since(start))
		synctest.Wait() // and synctest fails the test if a goroutine stays
	})
}

func TestTheRequestsDeadlineStillServesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{
			answers: map[string]string{"/fast": `1`, "/slow": `2`},
			delay:   map[string]time.Duration{"/slow": time.Hour},
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
		w := httptest.NewRecorder()
		compose.New(compose.Get("fast", b, "/fast"), compose.Get("slow", b, "/slow").Optional()).ServeHTTP(w, r)
		assert.Equal(t, `{"fast":1}`, w.Body.String())

		w = httptest.NewRecorder()
		compose.New(compose.Get("fast", b, "/fast"), compose.Get("slow", b, "/slow")).ServeHTTP(w, r)
		assert.Equal(t, 504, w.Code)
	})
}

func TestAPartThatNamesAFailedOneFailsToo(t *testing.T) {
	b := &backend{answers: map[string]string{"/offers": `[]`}}
	profile := compose.Get("profile", b, "/profile")
	offers := compose.Get("offers", b, "/offers?segment={profile.segment}")

	w := get(t, compose.New(profile.Optional(), offers.Default(`[]`)), "/", nil)
	assert.Equal(t, `{"offers":[]}`, w.Body.String())
	assert.NotContains(t, strings.Join(b.asked(), " "), "/offers", "what cannot be asked for is not asked for")

	w = get(t, compose.New(profile.Default(`{"segment":"new"}`), offers), "/", nil)
	assert.Equal(t, `{"profile":{"segment":"new"},"offers":[]}`, w.Body.String())
	assert.Contains(t, b.asked(), "/offers?segment=new")
}

func TestAMissingValueIsAFailureOfThePart(t *testing.T) {
	b := &backend{answers: map[string]string{"/p": `{"null":null,"empty":"","object":{},"id":9007199254740993,"yes":true}`, "/x": `1`}}
	profile := compose.Get("p", b, "/p")
	tests := map[string]int{
		"/x?v={sub}": 403, "/x?v={claim:c}": 403, "/x?v={query:q}": 400, "/x?v={header:X-H}": 400, "/x?v={id}": 500,
		"/x?v={p.null}": 502, "/x?v={p.empty}": 502, "/x?v={p.object}": 502, "/x?v={p.none}": 502,
		"/x?v={p.id}": 200, "/x?v={p.yes}": 200,
	}
	for template, want := range tests {
		w := get(t, compose.New(profile, compose.Get("x", b, template)), "/", nil)
		assert.Equal(t, want, w.Code, template)
	}
	assert.Contains(t, b.asked(), "/x?v=9007199254740993", "every digit of a 64-bit integer")
	assert.NotContains(t, strings.Join(b.asked(), " "), "nil")
}

func TestBuildReportsEveryFaultAtOnce(t *testing.T) {
	b := answering(200, `1`)
	_, err := compose.Build(compose.Config{Parts: []compose.Part{
		compose.Get("", b, "/"),
		compose.Get("twice", b, "/"),
		compose.Get("twice", b, "/"),
		compose.Get("nowhere", nil, "/"),
		compose.Get("unknown", b, "/{nobody.x}"),
		compose.Get("open", b, "/{id"),
		compose.Get("relative", b, "x"),
		compose.Get("default", b, "/").Default(`{`),
		compose.Get("timeout", b, "/").Timeout(-1),
		compose.Get("source", b, "/{cookie:x}"),
		compose.Get("dots", b, "/a/../b"),
	}})
	require.Error(t, err)
	for _, part := range []string{`""`, "twice", "nowhere", "unknown", "open", "relative", "default", "timeout", "source", "dots"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = compose.Build(compose.Config{Parts: []compose.Part{}})
	require.Error(t, err)
	assert.Panics(t, func() { compose.New() })
}

// misconfigured imitates a transport that knows at start-up what it would fail of later.
type misconfigured struct{ http.RoundTripper }

func (misconfigured) Check() error { return errors.New("no key") }

func TestBuildReportsAMisconfiguredTransport(t *testing.T) {
	_, err := compose.Build(compose.Config{Parts: []compose.Part{compose.Get("orders", misconfigured{answering(200, `1`)}, "/")}})
	require.ErrorContains(t, err, `compose: part "orders": the RoundTripper is misconfigured: no key`)
}

func TestBuildRefusesPartsThatWaitForEachOther(t *testing.T) {
	b := answering(200, `1`)
	_, err := compose.Build(compose.Config{Parts: []compose.Part{compose.Get("a", b, "/{c.x}"), compose.Get("b", b, "/{a.x}"), compose.Get("c", b, "/{b.x}")}})
	require.ErrorContains(t, err, "waits for itself")
	_, err = compose.Build(compose.Config{Parts: []compose.Part{compose.Get("self", b, "/{self.x}")}})
	require.ErrorContains(t, err, "waits for itself")
}

func TestPartsGetTheTraceAndNoCredentials(t *testing.T) {
	var got http.Header
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Clone()
		return response(200, `1`), nil
	})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Cookie", "session=secret")
	r.Header.Set("X-Request-Id", "id-1")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	compose.New(compose.Get("a", spy, "/")).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, http.Header{
		"Accept": {"application/json"}, "X-Request-Id": {"id-1"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}, got)
}

func TestAnAggregateOverARouteOfTheGatewayItselfSeesThePrincipal(t *testing.T) {
	gw := gateway.New()
	gw.Handle("GET /users/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q}`, r.PathValue("id"))
	}))
	gw.Handle("GET /home", compose.New(compose.Get("user", gateway.Local(gw), "/users/{sub}")))
	w := get(t, gw, "/home", claims{"sub": "u1"})
	assert.Equal(t, `{"user":{"id":"u1"}}`, w.Body.String())
}

func FuzzBuildNeverPanicsAndFillsOnlyWhatItParsed(f *testing.F) {
	for _, seed := range []string{"/", "/v1/{id}?q={a.b}", "/{sub}/{claim:x}", "/{", "/}", "/{{a}}", "/a?b={query:x}#c", "//h/{x}", "/%zz", "/{a.b.c}", "/x?{header:y}"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, template, value string) {
		asked := ""
		spy := roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.EscapedPath()
			return response(200, `{}`), nil
		})
		a, err := compose.Build(compose.Config{Parts: []compose.Part{compose.Get("a", answering(200, `{}`), "/"), compose.Get("fuzzed", answering(200, `{}`), template).Optional()}})
		if err == nil {
			get(t, a, "/", claims{"sub": value})
		}
		get(t, compose.New(compose.Get("a", spy, "/s/{sub}/e")), "/", claims{"sub": value})
		if asked != "" {
			assert.Equal(t, 3, strings.Count(asked, "/"), "a value made segments: %q", asked)
		}
	})
}
