package compose_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// routes answer with what handlers answer with, and worse.
func routes() *gateway.Gateway {
	gw := gateway.New()
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request)) {
		gw.Handle(pattern, http.HandlerFunc(f))
	}
	handle("GET /json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, " {\"n\":9007199254740993,\"x\":1.0,\"q\":%q}\n", r.URL.RawQuery)
	})
	handle("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = io.Copy(w, r.Body)
	})
	handle("/panic", func(http.ResponseWriter, *http.Request) { panic("boom: db-7") })
	handle("/abort", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("begun", 2000))
		panic(http.ErrAbortHandler)
	})
	handle("/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
		fmt.Fprint(w, "x")
	})
	handle("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil { // until somebody leaves
			fmt.Fprint(w, "data: tick\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
		}
	})
	handle("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	handle("/cookie", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "session="+r.URL.RawQuery+"; HttpOnly")
		w.Header().Add("Link", "<a>")
		w.Header().Add("Link", "<b>")
		w.Header().Set("Connection", "close")
	})
	handle("/bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0, 1}) })
	handle("/text", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "é \"quoted\"\x01") })
	handle("/liar", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"a":1,"a":2}],"responses":[`)
	})
	handle("/packed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, `{}`)
	})
	return gw
}

type batchAnswers struct {
	Responses []struct {
		ID       string
		Status   int
		Headers  map[string]string
		Body     json.RawMessage
		Encoding string
	}
}

func batchOf(requests ...string) string { return `{"requests":[` + strings.Join(requests, ",") + `]}` }

func decoded(t *testing.T, w *httptest.ResponseRecorder) batchAnswers {
	t.Helper()
	require.Equal(t, 200, w.Code, w.Body)
	var a batchAnswers
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
	return a
}

func TestEverySubRequestHasItsOwnAnswer(t *testing.T) {
	h := compose.Batch(compose.BatchConfig{Routes: routes()})
	for _, c := range []struct{ request, want string }{
		{`"path":"/json?a=b%26c"`, `"status":200,"headers":{"Content-Type":"application/json"},"body":{"n":9007199254740993,"x":1.0,"q":"a=b%26c"}`},
		{`"method":"HEAD","path":"/json"`, `"status":200,"headers":{"Content-Type":"application/json"}`},
		{`"method":"PUT","path":"/echo","body":{"b":1e400, "a":[]}`, `"status":200,"headers":{"Content-Type":"application/json"},"body":{"b":1e400, "a":[]}`},
		{`"method":"PUT","path":"/echo","body":null`, `"status":200,"headers":{"Content-Type":"application/json"},"body":null`},
		{`"method":"PUT","path":"/echo","headers":{"content-type":"application/merge-patch+json"},"body":1`, `"status":200,"headers":{"Content-Type":"application/merge-patch+json"},"body":1`},
		{`"method":"PUT","path":"/echo","body":"tea\n","encoding":"text"`, `"status":200,"headers":{"Content-Type":"text/plain; charset=utf-8"},"encoding":"text","body":"tea\n"`},
		{`"method":"PUT","path":"/echo","body":"/wAB","encoding":"base64"`, `"status":200,"headers":{"Content-Type":"application/octet-stream"},"encoding":"base64","body":"/wAB"`},
		{`"path":"/empty"`, `"status":204,"headers":{}`},
		{`"path":"/bytes"`, `"status":200,"headers":{"Content-Type":"application/octet-stream"},"encoding":"base64","body":"/wAB"`},
		{`"path":"/text"`, `"status":200,"headers":{"Content-Type":"application/octet-stream"},"encoding":"text","body":"é \"quoted\"\u0001"`},
		{`"path":"/liar"`, `"status":200,"headers":{"Content-Type":"application/json"},"encoding":"text","body":"{\"a\":1,\"a\":2}],\"responses\":["`},
		{`"path":"/packed"`, `"status":200,"headers":{"Content-Encoding":"gzip","Content-Type":"application/json"},"encoding":"base64","body":"e30="`},
	} {
		w := post(h, "application/json", batchOf(`{"id":"a",`+c.request+`}`))
		assert.Equal(t, `{"responses":[{"id":"a",`+c.want+`}]}`, w.Body.String(), c.request)
		assert.Equal(t, fmt.Sprint(w.Body.Len()), w.Header().Get("Content-Length"))
	}
	w := post(h, "application/json", `{"requests":[]}`)
	assert.Equal(t, `{"responses":[]}`, w.Body.String())
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
}

func TestOneThatFailsIsItsOwnFailureOnly(t *testing.T) {
	h := compose.Batch(compose.BatchConfig{Routes: routes()})
	state := &exchange.State{}
	r := httptest.NewRequest("POST", "/batch", strings.NewReader(batchOf(
		`{"id":"panic","path":"/panic"}`, `{"id":"abort","path":"/abort"}`, `{"id":"large","path":"/large"}`,
		`{"id":"missing","path":"/none"}`, `{"id":"method","method":"DELETE","path":"/json"}`,
		`{"id":"dots","path":"/a/%2e%2e/json"}`, `{"id":"ok","path":"/json"}`)))
	r.Header.Set("Content-Type", "application/json")
	w := serve(h, r.WithContext(exchange.With(r.Context(), state)))
	var got []string
	for _, a := range decoded(t, w).Responses {
		got = append(got, fmt.Sprint(a.ID, " ", a.Status))
	}
	assert.Equal(t, []string{"panic 500", "abort 500", "large 502", "missing 404", "method 405", "dots 400", "ok 200"}, got)
	assert.NotContains(t, w.Body.String(), "db-7")
	require.Len(t, state.Notes, 3, "what the routes have answered is for their own log")
	assert.Contains(t, state.Notes[0].Value.String(), `request "panic": 500 Internal Server Error: gateway_internal: handler panicked: boom: db-7`)
}

func TestABatchThatIsNoneIsRefusedAsAWhole(t *testing.T) {
	var served atomic.Int32
	h := compose.Batch(compose.BatchConfig{
		Routes:      http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }),
		MaxRequests: 2, MaxBody: 20 << 10, Headers: []string{"X-Tenant"},
	})
	for request, detail := range map[string]string{
		`{"path":"/"}`:         "id",
		`{"id":"","path":"/"}`: "id",
		`{"id":"` + strings.Repeat("a", 129) + `","path":"/"}`:              "id",
		`{"id":"a","path":"/"},{"id":"a","path":"/"}`:                       "another",
		`{"id":"a","path":"/"},{"id":"b","path":"/"},{"id":"c","path":"/"}`: "more than 2",
		`{"id":"a"}`:                                                                        "path",
		`{"id":"a","path":""}`:                                                              "path",
		`{"id":"a","path":"x"}`:                                                             "path",
		`{"id":"a","path":"*"}`:                                                             "path",
		`{"id":"a","path":"http://elsewhere/"}`:                                             "path",
		`{"id":"a","path":"//elsewhere/"}`:                                                  "path",
		`{"id":"a","path":"/a b"}`:                                                          "path",
		`{"id":"a","path":"/a\r\nX: y"}`:                                                    "path",
		`{"id":"a","path":"/é"}`:                                                            "path",
		`{"id":"a","path":"/a#b"}`:                                                          "path",
		`{"id":"a","path":"/%zz"}`:                                                          "path",
		`{"id":"a","path":"/` + strings.Repeat("a", 8<<10) + `"}`:                           "path",
		`{"id":"a","method":"CONNECT","path":"/"}`:                                          "CONNECT",
		`{"id":"a","method":"TRACE","path":"/"}`:                                            "TRACE",
		`{"id":"a","method":"GET /x","path":"/"}`:                                           "method",
		`{"id":"a","path":"/","headers":{"Authorization":"Bearer x"}}`:                      "Authorization",
		`{"id":"a","path":"/","headers":{"Cookie":"a=b"}}`:                                  "Cookie",
		`{"id":"a","path":"/","headers":{"Host":"elsewhere"}}`:                              "Host",
		`{"id":"a","path":"/","headers":{"X-Forwarded-For":"1.2.3.4"}}`:                     "X-Forwarded-For",
		`{"id":"a","path":"/","headers":{"Upgrade":"websocket"}}`:                           "Upgrade",
		`{"id":"a","path":"/","headers":{"Connection":"Upgrade"}}`:                          "Connection",
		`{"id":"a","path":"/","headers":{"Content-Length":"7"}}`:                            "Content-Length",
		`{"id":"a","path":"/","headers":{"Accept":"a\r\nX-Admin: 1"}}`:                      "Accept",
		`{"id":"a","path":"/","headers":{"accept":"a","Accept":"b"}}`:                       "twice",
		`{"id":"a","path":"/","headers":{"X-Tenant":"` + strings.Repeat("a", 9<<10) + `"}}`: "larger",
		`{"id":"a","path":"/","header":{"If-Match":"\"1\""}}`:                               "not known",
		`{"id":"a","path":"/","body":{},"encoding":"text"}`:                                 "string",
		`{"id":"a","path":"/","body":"a","encoding":"zip"}`:                                 "neither",
		`{"id":"a","path":"/","body":"#","encoding":"base64"}`:                              "base64",
		`{"id":7,"path":"/"}`:                                                               "requests.id",
	} {
		w := post(h, "application/json", batchOf(request))
		assert.Equal(t, 400, w.Code, request)
		var p gateway.Problem
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		assert.Contains(t, p.Detail, detail, request)
		assert.Less(t, len(p.Detail), 400, request)
	}
	assert.Equal(t, 415, post(h, "text/plain", batchOf()).Code, "a form of another site could send it")
	assert.Equal(t, 413, post(h, "application/json", batchOf(strings.Repeat(" ", 20<<10))).Code)
	w := get(t, h, "/", nil)
	assert.Equal(t, 405, w.Code)
	assert.Equal(t, "POST", w.Header().Get("Allow"))
	assert.Zero(t, served.Load())
}

func TestABatchInABatchIsRefusedHoweverItIsReached(t *testing.T) {
	gw := gateway.New()
	gw.Handle("/batch", compose.Batch(compose.BatchConfig{Routes: gw}))
	gw.Handle("GET /home", compose.New(compose.Post("again", gateway.Local(gw), "/batch", `{"requests":[]}`)))
	inner, _ := json.Marshal(json.RawMessage(batchOf(`{"id":"b","path":"/x"}`)))
	r := httptest.NewRequest("POST", "/batch", strings.NewReader(batchOf(`{"id":"a","method":"POST","path":"/batch","body":`+string(inner)+`}`, `{"id":"home","path":"/home"}`)))
	r.Header.Set("Content-Type", "application/json")
	got := decoded(t, serve(gw, r)).Responses
	assert.Equal(t, 508, got[0].Status)
	assert.Equal(t, 502, got[1].Status, "a part that was refused")
}

func TestASubRequestIsTheCallersOwnAndNothingOfTheBatchsMessage(t *testing.T) {
	var mu sync.Mutex
	got := map[string]*http.Request{}
	body := map[string]string{}
	h := compose.Batch(compose.BatchConfig{Headers: []string{"x-tenant"}, Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path], body[r.URL.Path] = r, string(text)
	})})
	r := httptest.NewRequest("POST", "https://api.shop.test/batch", strings.NewReader(batchOf(
		`{"id":"a","path":"/a"}`,
		`{"id":"b","method":"PATCH","path":"/b","headers":{"X-Tenant":"t2","If-Match":"\"1\"","Idempotency-Key":"k1","Accept-Language":"de"},"body":[1]}`)))
	inherited := http.Header{
		"Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Forwarded-For": {"198.51.100.7"}, "X-Request-Id": {"r-1"},
		"Origin": {"https://shop.test"}, "Sec-Fetch-Site": {"same-site"}, "Accept-Language": {"en"}, "X-Tenant": {"t1"},
	}
	r.Header = inherited.Clone()
	for name, v := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "identity", "Content-Length": "7", "Accept": "application/xml",
		"Accept-Encoding": "gzip", "If-None-Match": `"x"`, "Range": "bytes=0-1", "Expect": "100-continue", "Connection": "keep-alive",
		"Idempotency-Key": "of the batch", "Te": "trailers", "Content-Digest": "sha-256=:x:",
	} {
		r.Header.Set(name, v)
	}
	r.RemoteAddr, r.TLS = "203.0.113.9:4711", &tls.ConnectionState{ServerName: "api.shop.test"}
	who := claims{"sub": "ada"}
	ctx := exchange.With(r.Context(), &exchange.State{Principal: who, Client: netip.MustParseAddr("198.51.100.7"), Trusted: true})
	require.Equal(t, 200, serve(h, r.WithContext(ctx)).Code)

	assert.Equal(t, inherited, got["/a"].Header)
	assert.Empty(t, body["/a"])
	want := inherited.Clone()
	for name, v := range map[string]string{"X-Tenant": "t2", "If-Match": `"1"`, "Idempotency-Key": "k1", "Accept-Language": "de", "Content-Type": "application/json"} {
		want.Set(name, v)
	}
	assert.Equal(t, want, got["/b"].Header)
	assert.Equal(t, "[1]", body["/b"])
	assert.Equal(t, int64(3), got["/b"].ContentLength)
	for _, sub := range got {
		assert.Equal(t, "203.0.113.9:4711", sub.RemoteAddr)
		assert.Equal(t, r.TLS, sub.TLS)
		assert.Equal(t, "api.shop.test", sub.Host)
		ip, _ := exchange.ClientIP(sub)
		assert.Equal(t, "198.51.100.7", ip.String())
		assert.Equal(t, "ada", subject(sub))
	}
}

func TestCookiesAreTheBrowsersAndNotItsScripts(t *testing.T) {
	w := post(compose.Batch(compose.BatchConfig{Routes: routes()}), "application/json",
		batchOf(`{"id":"a","path":"/cookie?1"}`, `{"id":"b","path":"/cookie?2"}`))
	assert.Equal(t, []string{"session=1; HttpOnly", "session=2; HttpOnly"}, w.Header()["Set-Cookie"])
	assert.Equal(t, `{"responses":[{"id":"a","status":200,"headers":{"Link":"<a>, <b>"}},{"id":"b","status":200,"headers":{"Link":"<a>, <b>"}}]}`, w.Body.String())
}

func TestAnswersAreInTheOrderAskedWhicheverIsFirst(t *testing.T) {
	for order := range permutations([]string{"a", "b", "c", "d"}) {
		synctest.Test(t, func(t *testing.T) {
			h := compose.Batch(compose.BatchConfig{Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for i, id := range order {
					if r.URL.Path == "/"+id {
						time.Sleep(time.Duration(i) * time.Second)
					}
				}
			})})
			start := time.Now()
			w := post(h, "application/json", batchOf(`{"id":"a","path":"/a"}`, `{"id":"b","path":"/b"}`, `{"id":"c","path":"/c"}`, `{"id":"d","path":"/d"}`))
			var ids string
			for _, a := range decoded(t, w).Responses {
				ids += a.ID
			}
			assert.Equal(t, "abcd", ids)
			assert.Equal(t, 3*time.Second, time.Since(start))
		})
	}
}

func TestNoMoreAtOnceThanTheBound(t *testing.T) {
	for atOnce, want := range map[int]int32{0: 8, 3: 3, 1: 1} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			var order []string
			h := compose.Batch(compose.BatchConfig{AtOnce: atOnce, Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				if atOnce == 1 {
					order = append(order, r.URL.Path)
				}
				time.Sleep(time.Second)
			})})
			var requests, paths []string
			for i := range 20 {
				requests = append(requests, fmt.Sprintf(`{"id":"%d","path":"/%d"}`, i, i))
				paths = append(paths, fmt.Sprintf("/%d", i))
			}
			decoded(t, post(h, "application/json", batchOf(requests...)))
			assert.Equal(t, want, most.Load())
			if atOnce == 1 {
				assert.Equal(t, paths, order)
			}
		})
	}
}

func TestAStreamWithoutAnEndEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			config compose.BatchConfig
			took   time.Duration
		}{
			{compose.BatchConfig{}, 30 * time.Second},
			{compose.BatchConfig{Timeout: 5 * time.Second}, 5 * time.Second},
			{compose.BatchConfig{Each: 2 * time.Second}, 2 * time.Second},
		} {
			c.config.Routes = routes()
			start := time.Now()
			got := decoded(t, post(compose.Batch(c.config), "application/json", batchOf(`{"id":"a","path":"/events"}`, `{"id":"b","path":"/json"}`))).Responses
			assert.Equal(t, 504, got[0].Status)
			assert.Equal(t, 200, got[1].Status)
			assert.Equal(t, c.took, time.Since(start))
		}
	})
}

func TestWhatThereIsNoTimeForIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int32
		h := compose.Batch(compose.BatchConfig{AtOnce: 1, Timeout: 3 * time.Second, Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			served.Add(1)
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
		})})
		got := decoded(t, post(h, "application/json", batchOf(`{"id":"a","path":"/"}`, `{"id":"b","path":"/"}`, `{"id":"c","path":"/"}`))).Responses
		assert.Equal(t, []int{200, 504, 504}, []int{got[0].Status, got[1].Status, got[2].Status})
		synctest.Wait()
		assert.Equal(t, int32(2), served.Load())
	})
}

func TestAClientThatLeavesTakesItsSubRequestsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		h := compose.Batch(compose.BatchConfig{AtOnce: 2, Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended.Add(1)
		})})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		r := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(batchOf(`{"id":"a","path":"/"}`, `{"id":"b","path":"/"}`, `{"id":"c","path":"/"}`)))
		r.Header.Set("Content-Type", "application/json")
		start := time.Now()
		w := serve(h, r)
		assert.Equal(t, 499, w.Code, "as the log has it")
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait() // and synctest fails the test if a goroutine stays
		assert.Equal(t, int32(2), ended.Load())
	})
}

func TestAnswersHaveRoomOneByOneAndTogether(t *testing.T) {
	text := strings.Repeat("x", 1000)
	h := compose.Batch(compose.BatchConfig{MaxAnswer: 1000, MaxTotal: 2400, AtOnce: 1, Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, text)
		if r.URL.Path == "/more" {
			fmt.Fprint(w, "x")
		}
	})})
	got := decoded(t, post(h, "application/json", batchOf(
		`{"id":"more","path":"/more"}`, `{"id":"a","path":"/"}`, `{"id":"b","path":"/"}`, `{"id":"c","path":"/"}`))).Responses
	var status []int
	for _, a := range got {
		status = append(status, a.Status)
	}
	assert.Equal(t, []int{502, 200, 502, 502}, status, "the problem of the first takes room as well")
}

func TestABatchThatCannotBeIsRefusedWhenItIsMade(t *testing.T) {
	ok := http.NotFoundHandler()
	for _, c := range []compose.BatchConfig{
		{}, {Routes: ok, MaxRequests: -1}, {Routes: ok, AtOnce: -1}, {Routes: ok, MaxBody: -1}, {Routes: ok, MaxAnswer: -1},
		{Routes: ok, MaxTotal: -1}, {Routes: ok, Timeout: -1}, {Routes: ok, Each: -1}, {Routes: ok, Headers: []string{"a b"}},
		{Routes: ok, Headers: []string{"x-forwarded-for"}}, {Routes: ok, Headers: []string{"Connection"}}, {Routes: ok, Headers: []string{"host"}},
		{Routes: ok, Headers: []string{"Content-Length"}}, {Routes: ok, Headers: []string{"Forwarded"}}, {Routes: ok, Headers: []string{"sec-fetch-site"}},
	} {
		assert.Panics(t, func() { compose.Batch(c) }, "%+v", c)
	}
}

func FuzzABatchIsRefusedOrAnsweredInJSON(f *testing.F) {
	for _, s := range []string{
		batchOf(`{"id":"a","path":"/json?x=%22"}`, `{"id":"b","method":"PUT","path":"/echo","body":{"a":[1e400]}}`),
		batchOf(`{"id":"\ud83d\ude00","path":"/text","headers":{"Accept":"*/*"}}`), batchOf(`{"id":"a","path":"/echo","body":"/w==","encoding":"base64"}`),
		batchOf(`{"id":"a","path":"/a/..;/json"}`), `{"requests":null}`, `[]`, `{"requests":[{}]}`, batchOf(`{"id":"a","path":"/cookie","headers":{"X":"\r\n"}}`),
	} {
		f.Add([]byte(s))
	}
	h := compose.Batch(compose.BatchConfig{Routes: routes(), Timeout: 20 * time.Millisecond}) // its streams have no end
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(h, "application/json", string(body))
		if w.Code != 200 && w.Code != 400 {
			t.Fatalf("%q: %d", body, w.Code)
		}
		if _, err := rawjson.Check(w.Body.Bytes()); err != nil {
			t.Fatalf("%q: %v", w.Body, err)
		}
	})
}
