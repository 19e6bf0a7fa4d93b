package compose_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wire is a connection's buffer: what is written is not on its way before it is flushed.
type wire struct {
	*httptest.ResponseRecorder
	sent  []string // a flush each, with the seconds at which it was
	began time.Time
	at    int
}

func newWire() *wire { return &wire{ResponseRecorder: httptest.NewRecorder(), began: time.Now()} }

func (w *wire) FlushError() error {
	all := w.Body.String()
	w.sent = append(w.sent, fmt.Sprintf("%.0f %s", time.Since(w.began).Seconds(), all[w.at:]))
	w.at = len(all)
	return nil
}

func asking(accept string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", accept)
	return r
}

func progressive(parts ...compose.Part) *compose.Aggregator {
	return compose.Must(compose.Config{Parts: parts, Progressive: true})
}

// slowly answers each path after as many seconds as are in its name, /2 say, with it.
func slowly() *backend {
	b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{}}
	for n := range 10 {
		path := fmt.Sprintf("/%d", n)
		b.answers[path], b.delay[path] = fmt.Sprintf(`{"n":%d}`, n), time.Duration(n)*time.Second
	}
	return b
}

func TestEachPartIsSentAsItEnds(t *testing.T) {
	tests := map[string][]string{
		"application/x-ndjson": {
			"0 ",
			"1 {\"part\":\"b\",\"value\":{\"n\":1}}\n",
			"3 {\"part\":\"c\",\"value\":{\"n\":2}}\n",
			"4 {\"part\":\"a\",\"value\":{\"n\":4}}\n",
			"4 {\"done\":true,\"status\":200}\n",
		},
		"text/event-stream": {
			"0 ",
			"1 event: part\ndata: {\"part\":\"b\",\"value\":{\"n\":1}}\n\n",
			"3 event: part\ndata: {\"part\":\"c\",\"value\":{\"n\":2}}\n\n",
			"4 event: part\ndata: {\"part\":\"a\",\"value\":{\"n\":4}}\n\n",
			"4 event: done\nid: done\ndata: {\"done\":true,\"status\":200}\n\n",
		},
	}
	for accept, want := range tests {
		synctest.Test(t, func(t *testing.T) {
			b := slowly()
			w := newWire()
			progressive(compose.Get("a", b, "/4"), compose.Get("b", b, "/1"), compose.Get("c", b, "/2?after={b.n}")).ServeHTTP(w, asking(accept))
			assert.Equal(t, want, w.sent)
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, http.Header{"Content-Type": {accept}, "Cache-Control": {"no-store"}, "Vary": {"Accept"}}, w.Result().Header)
		})
	}
}

func TestAStreamIsForClientsThatNameItAndWantItNoLessThanJSON(t *testing.T) {
	const lines, events, whole = "application/x-ndjson", "text/event-stream", "application/json"
	tests := map[string]string{
		"":                                       whole,
		"*/*":                                    whole,
		"application/*":                          whole,
		"text/*, application/*;q=0.1":            whole,
		"text/html":                              whole,
		"application/json, application/x-ndjson": whole,
		"application/x-ndjson;q=0":               whole,
		"application/x-ndjson;q=0.5, */*":        whole,
		"application/x-ndjson;q=2":               whole,
		"application/x-ndjson;q=0.1234":          whole,
		"application/x-ndjson;q=":                whole,
		"application/x-ndjson;q=-1":              whole,
		"application/x-ndjsonx":                  whole,
		"application/json;q=0.9, text/event-stream;q=0.89": whole,

		"application/x-ndjson":                                       lines,
		"Application/X-NDJSON ; charset=utf-8 ; Q=0.5":               lines,
		"application/x-ndjson, */*":                                  lines,
		"application/x-ndjson, text/event-stream":                    lines,
		"application/x-ndjson, application/json;q=0.999":             lines,
		"application/json;q=0, application/x-ndjson;q=0.001":         lines,
		"text/event-stream":                                          events,
		"text/event-stream;q=1.000, application/x-ndjson;q=0.9, */*": events,
		"*/*;q=0.1, text/event-stream;q=0.2":                         events,
	}
	b := answering(200, `1`)
	for accept, want := range tests {
		r := asking(accept)
		if accept == "" {
			r.Header.Del("Accept")
		}
		w := httptest.NewRecorder()
		progressive(compose.Get("a", b, "/")).ServeHTTP(w, r)
		assert.Equal(t, want, w.Header().Get("Content-Type"), "Accept: %s", accept)
		assert.Equal(t, []string{"Accept"}, w.Header()["Vary"], "of the whole, too")
	}
	two := asking("application/json;q=0.5")
	two.Header.Add("Accept", "application/x-ndjson")
	w := httptest.NewRecorder()
	progressive(compose.Get("a", b, "/")).ServeHTTP(w, two)
	assert.Equal(t, lines, w.Header().Get("Content-Type"), "Accept in two lines")

	xml := compose.Must(compose.Config{Progressive: true, XML: "answer", Parts: []compose.Part{compose.Get("a", b, "/")}})
	for accept, want := range map[string]string{
		"application/xml, application/x-ndjson;q=0.9": "application/xml; charset=utf-8",
		"application/xml;q=0.8, application/x-ndjson": lines,
	} {
		w = httptest.NewRecorder()
		xml.ServeHTTP(w, asking(accept))
		assert.Equal(t, want, w.Header().Get("Content-Type"), "Accept: %s", accept)
		assert.Equal(t, []string{"Accept"}, w.Header()["Vary"])
	}

	w = httptest.NewRecorder()
	compose.New(compose.Get("a", b, "/")).ServeHTTP(w, asking(lines))
	assert.Equal(t, whole, w.Header().Get("Content-Type"), "not configured")
	assert.Empty(t, w.Header()["Vary"])
}

// lines returns the answer to a client that wants lines.
func lines(t *testing.T, a *compose.Aggregator) []string {
	t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, asking("application/x-ndjson"))
	require.Equal(t, 200, w.Code)
	text, ended := strings.CutSuffix(w.Body.String(), "\n")
	require.True(t, ended)
	all := strings.Split(text, "\n")
	for _, line := range all {
		assert.True(t, json.Valid([]byte(line)), line)
	}
	return all
}

func TestALineSaysWhatBecameOfThePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		got := lines(t, compose.Must(compose.Config{
			Progressive: true, PartialStatus: 203, Errors: "errors",
			Parts: []compose.Part{
				compose.Get("optional", b, "/x").Optional(),
				compose.Get("skipped", b, "/2?x={optional.x}").SkipMissing(),
				compose.Get("default", b, "/x").Default("[1,\n2]").At("deep.place"),
				compose.Get("ok", b, "/3"),
			},
		}))
		require.Len(t, got, 5)
		text := strings.Join(got, "\n")
		assert.Regexp(t, `(?m)^\{"part":"optional","problem":\{"type":"[^"]*","title":"Not Found","status":404,"detail":"part \\"optional\\" failed"\}\}$`, text)
		assert.Regexp(t, `(?m)^\{"part":"default","value":\[1,2\],"problem":\{[^{}]*\}\}$`, text)
		assert.Contains(t, got, `{"part":"skipped"}`)
		assert.Equal(t, `{"part":"ok","value":{"n":3}}`, got[3])
		assert.Equal(t, `{"done":true,"status":203}`, got[4], "the status that the whole would have had")
	})
}

func TestTheEndsOfLinesInAValueDoNotEndALine(t *testing.T) {
	b := answering(200, "{\r\n  \"a\": [1,\n2],\r\"b\": \"x\\n\\r\\u2028\"\n}")
	assert.Equal(t, []string{
		`{"part":"a\nb","value":{  "a": [1,2],"b": "x\n\r\u2028"}}`,
		`{"done":true,"status":200}`,
	}, lines(t, progressive(compose.Get("a\nb", b, "/"))))
}

func TestARequiredPartThatFailsEndsTheStreamAtOnceWithItsProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		b.delay["/gone"] = 2 * time.Second
		state := &exchange.State{}
		w := newWire()
		r := asking("text/event-stream")
		progressive(compose.Get("slow", b, "/9"), compose.Get("fast", b, "/1"), compose.Get("bad", b, "/gone"), compose.Get("after", b, "/1?x={slow.n}")).
			ServeHTTP(w, r.WithContext(exchange.With(r.Context(), state)))
		require.Len(t, w.sent, 4)
		assert.Contains(t, w.sent[1], `1 event: part`)
		assert.Regexp(t, `^2 event: part\ndata: \{"part":"bad","problem":\{.*"status":404.*\}\}\n\n$`, w.sent[2])
		assert.Regexp(t, `^2 event: done\nid: done\ndata: \{"done":true,"status":404,"problem":\{.*"status":404.*\}\}\n\n$`, w.sent[3])
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, 404, gateway.ProblemOf(state.Err).Status, "the log says so")
		assert.NotContains(t, strings.Join(b.asked(), " "), "/1?x=")
		synctest.Wait() // and synctest fails the test if a goroutine stays
	})
}

func TestHiddenAndJoinedPartsAreNotSentByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		b.answers["/orders"] = `{"items":[{"id":3},{"id":1}]}`
		w := newWire()
		progressive(
			compose.Get("key", b, "/1").Hide(),
			compose.Get("orders", b, "/orders?key={key.n}"),
			compose.Get("product", b, "/{each.id}").Each("orders.items").Join("product"),
			compose.Get("other", b, "/2"),
			compose.Get("fails", b, "/x").Hide().Optional(),
		).ServeHTTP(w, asking("application/x-ndjson"))
		require.Len(t, w.sent, 5)
		assert.Regexp(t, `^0 \{"part":"fails","problem":\{.*\}\}\n$`, w.sent[1])
		assert.Equal(t, "2 {\"part\":\"other\",\"value\":{\"n\":2}}\n", w.sent[2])
		assert.Equal(t, "4 {\"part\":\"orders\",\"value\":{\"items\":[{\"id\":3,\"product\":{\"n\":3}},{\"id\":1,\"product\":{\"n\":1}}]}}\n", w.sent[3])
		assert.Equal(t, "4 {\"done\":true,\"status\":200}\n", w.sent[4])
	})
}

// slowReader is a client whose window is full: what is written to it stays for an hour.
type slowReader struct{ *httptest.ResponseRecorder }

func (w slowReader) Write(p []byte) (int, error) {
	time.Sleep(time.Hour)
	return w.ResponseRecorder.Write(p)
}

func TestASlowClientDoesNotHoldUpParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		w := slowReader{httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			progressive(compose.Get("a", b, "/0"), compose.Get("b", b, "/1"), compose.Get("c", b, "/2?x={b.n}"), compose.Get("d", b, "/3?x={c.n}")).
				ServeHTTP(w, asking("application/x-ndjson"))
		}()
		time.Sleep(4 * time.Second)
		assert.Contains(t, b.asked(), "/3?x=2", "the last part began while the first was still being written")
		<-ended
		assert.Equal(t, 5, strings.Count(w.Body.String(), "\n"))
	})
}

func TestAClientThatLeavesCancelsAllParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(2500*time.Millisecond, leave)
		state := &exchange.State{}
		start := time.Now()
		progressive(compose.Get("a", b, "/9"), compose.Get("b", b, "/2"), compose.Get("c", b, "/8?x={b.n}")).
			ServeHTTP(newWire(), asking("application/x-ndjson").WithContext(exchange.With(ctx, state)))
		assert.Equal(t, 2500*time.Millisecond, time.Since(start))
		assert.Equal(t, gateway.ClientCanceled, gateway.ProblemOf(state.Err).Fault)
		synctest.Wait() // and synctest fails the test if a goroutine stays
	})
}

// hungUp is a connection that the client has closed: writing or flushing says so, and nothing else.
type hungUp struct {
	*httptest.ResponseRecorder
	writing bool
}

var errPipe = errors.New("broken pipe")

func (w hungUp) Write(p []byte) (int, error) {
	if w.writing {
		return 0, errPipe
	}
	return w.ResponseRecorder.Write(p)
}

func (w hungUp) FlushError() error {
	if w.writing || w.Body.Len() == 0 {
		return nil
	}
	return errPipe
}

func TestAWriteThatFailsCancelsAllParts(t *testing.T) {
	for _, writing := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := slowly()
			start := time.Now()
			progressive(compose.Get("a", b, "/9").Optional(), compose.Get("b", b, "/2")).
				ServeHTTP(hungUp{httptest.NewRecorder(), writing}, asking("application/x-ndjson"))
			assert.Equal(t, 2*time.Second, time.Since(start), "at the first write")
			synctest.Wait()
		})
	}
}

func TestAStreamWorksWhereNothingCanBeFlushed(t *testing.T) {
	rec := httptest.NewRecorder()
	progressive(compose.Get("a", answering(200, `1`), "/")).
		ServeHTTP(struct{ http.ResponseWriter }{rec}, asking("application/x-ndjson"))
	assert.Equal(t, "{\"part\":\"a\",\"value\":1}\n{\"done\":true,\"status\":200}\n", rec.Body.String())
}

func TestABrowserThatReconnectsAfterTheEndIsToldToStop(t *testing.T) {
	b := &backend{answers: map[string]string{"/": `1`}}
	a := progressive(compose.Get("a", b, "/"))
	r := asking("text/event-stream")
	r.Header.Set("Last-Event-ID", "done")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	assert.Equal(t, 204, w.Code)
	assert.Empty(t, w.Body.String())
	assert.Empty(t, b.asked())

	r.Header.Set("Last-Event-ID", "") // it broke off: nothing had an id
	w = httptest.NewRecorder()
	a.ServeHTTP(w, r)
	assert.Equal(t, 200, w.Code)
}

func TestHEADOfAStreamAsksNoBackend(t *testing.T) {
	b := &backend{answers: map[string]string{"/": `1`}}
	r := asking("application/x-ndjson")
	r.Method = http.MethodHead
	w := httptest.NewRecorder()
	progressive(compose.Get("a", b, "/")).ServeHTTP(w, r)
	assert.Equal(t, "application/x-ndjson", w.Header().Get("Content-Type"))
	assert.Empty(t, w.Body.String())
	assert.Empty(t, b.asked())
}

func TestTheTimeoutOfTheWholeEndsAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := slowly()
		w := newWire()
		compose.Must(compose.Config{Progressive: true, Timeout: 5 * time.Second, Parts: []compose.Part{
			compose.Get("a", b, "/1"), compose.Get("b", b, "/9").Optional(),
		}}).ServeHTTP(w, asking("application/x-ndjson"))
		assert.Contains(t, w.Body.String(), `"status":504`)
		assert.True(t, strings.HasSuffix(w.Body.String(), "{\"done\":true,\"status\":200}\n"), w.Body.String())
	})
}

func TestAClientReadsTheFirstPartWhileTheSecondIsUnderWay(t *testing.T) {
	release := make(chan struct{})
	var cancelled atomic.Bool
	second := roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case <-release:
			return response(200, `2`), nil
		case <-r.Context().Done():
			cancelled.Store(true)
			return nil, r.Context().Err()
		}
	})
	gw := gateway.New()
	gw.Handle("/", progressive(compose.Get("second", second, "/"), compose.Get("first", answering(200, `1`), "/")))
	server := httptest.NewServer(gw)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := server.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body := bufio.NewScanner(res.Body)
	require.True(t, body.Scan())
	assert.Equal(t, `{"part":"first","value":1}`, body.Text())
	close(release)
	require.True(t, body.Scan())
	assert.Equal(t, `{"part":"second","value":2}`, body.Text())
	require.True(t, body.Scan())
	assert.Equal(t, `{"done":true,"status":200}`, body.Text())
	assert.False(t, body.Scan())
	assert.False(t, cancelled.Load())
}
