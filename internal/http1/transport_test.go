package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatewright/gateway/internal/http1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTransport(t *testing.T) *http1.Transport {
	t.Helper()
	tr := &http1.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return r
}

func roundTrip(t *testing.T, tr http.RoundTripper, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := tr.RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(body)
}

// script is a server that answers each connection with fixed bytes once it has read a
// request's header, and then closes it or waits.
func script(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	var n atomic.Int64
	done, end := context.WithCancel(context.Background())
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer := answers[min(int(n.Add(1))-1, len(answers)-1)]
			conns.Go(func() {
				defer context.AfterFunc(done, func() { c.Close() })()
				defer c.Close()
				in := bufio.NewReader(c)
				for part := range strings.SplitSeq(answer, "<next>") {
					for {
						line, err := in.ReadString('\n')
						if err != nil {
							return
						}
						if line == "\r\n" {
							break
						}
					}
					_, _ = io.WriteString(c, strings.TrimSuffix(part, "<close>"))
				}
				if !strings.HasSuffix(answer, "<close>") {
					_, _ = io.Copy(io.Discard, in)
				}
			})
		}
	})
	t.Cleanup(func() {
		end()
		l.Close()
		conns.Wait()
	})
	return "http://" + l.Addr().String()
}

func TestMessagesPassBothWays(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.ContentLength, " ", r.TransferEncoding, " ", r.Header["X-A"], " ", r.Trailer))
		_, _ = w.Write(body)
	})
	tr := newTransport(t)
	r := request(t, "GET", s.URL+"/a%2Fb?q=%20", nil)
	r.Header["X-A"] = []string{"1", "2"}
	res, _ := roundTrip(t, tr, r)
	assert.Equal(t, "GET /a%2Fb?q=%20 "+r.URL.Host+" 0 [] [1 2] map[]", res.Header.Get("X-Seen"))
	assert.Equal(t, "200 OK", res.Status)
	assert.EqualValues(t, 0, res.ContentLength)

	res, body := roundTrip(t, tr, request(t, "POST", s.URL, strings.NewReader("hello")))
	assert.Equal(t, "hello", body)
	assert.Contains(t, res.Header.Get("X-Seen"), " 5 [] ")

	r = request(t, "PUT", s.URL, io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000))))
	r.Host = "other.test"
	r.Trailer = http.Header{"X-Sum": {"7"}, "Content-Length": {"1"}}
	res, body = roundTrip(t, tr, r)
	assert.Len(t, body, 100_000)
	assert.Equal(t, "PUT / other.test -1 [chunked] [] map[X-Sum:[7]]", res.Header.Get("X-Seen"))
}

func TestAwkwardPathsAreSentAsTheyAre(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RequestURI) })
	tr := newTransport(t)
	for _, target := range []string{"/a|b", "/a%7Cb", `/"<>^{}`, "/é", "/%zz?", "/?", "/?a;b|c", "//a//b", "/a/../b"} {
		base, err := url.Parse(s.URL)
		require.NoError(t, err)
		if u, err := url.ParseRequestURI(target); err == nil {
			u.Scheme, u.Host = base.Scheme, base.Host
			r := request(t, "GET", s.URL, nil)
			r.URL = u
			_, got := roundTrip(t, tr, r)
			assert.Equal(t, target, got)
		}
	}
}

func TestAConnectionIsUsedAgainAfterEveryKindOfBody(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/chunked":
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "chunked")
		case "/none":
			w.WriteHeader(204)
		default:
			_, _ = io.WriteString(w, "counted")
		}
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	tr := newTransport(t)
	for _, r := range []*http.Request{
		request(t, "GET", s.URL, nil), request(t, "GET", s.URL+"/chunked", nil), request(t, "GET", s.URL+"/none", nil), request(t, "HEAD", s.URL, nil),
		request(t, "POST", s.URL, strings.NewReader("x")), request(t, "POST", s.URL+"/chunked", io.MultiReader(strings.NewReader("x"))), request(t, "GET", s.URL, nil),
	} {
		roundTrip(t, tr, r)
	}
	assert.EqualValues(t, 1, conns.Load())
}

func TestMalformedResponsesAreRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":                "hello\r\n\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":               "HTTP/1.2 200 OK\r\n\r\n",
		"lower case":             "http/1.1 200 OK\r\n\r\n",
		"two digits":             "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":            "HTTP/1.1 2000 OK\r\n\r\n",
		"below 100":              "HTTP/1.1 099 OK\r\n\r\n",
		"two lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
		"the same length twice":  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"lengths in a list":      "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
		"negative length":        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
		"signed length":          "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
		"hex length":             "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx",
		"empty length":           "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"huge length":            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
		"length and coding":      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"coding list":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"coding twice":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding in 1.0":          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bare LF":                "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"bare LF in the fields":  "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
		"bare CR":                "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
		"NUL":                    "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
		"space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
		"no colon":               "HTTP/1.1 200 OK\r\nA\r\n\r\n",
		"no name":                "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"folded line":            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"space first":            "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
		"too many fields":        "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1001) + "\r\n",
		"too large":              "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 300<<10) + "\r\n\r\n",
		"too many interim ones":  strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"unasked 101":            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"a leading line":         "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t)
			_, err := tr.RoundTrip(request(t, "GET", script(t, answer), nil))
			var proto *http1.ProtocolError
			require.ErrorAs(t, err, &proto)
		})
	}
}

func TestBodiesThatAreNotWholeOrNotChunksAreErrors(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"short":              "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort<close>",
		"no last chunk":      chunked + "5\r\nhello\r\n<close>",
		"half a chunk":       chunked + "5\r\nhe<close>",
		"no end of trailers": chunked + "0\r\nA: b\r\n<close>",
		"no size":            chunked + "\r\nhello\r\n",
		"signed size":        chunked + "+5\r\nhello\r\n0\r\n\r\n",
		"0x size":            chunked + "0x5\r\nhello\r\n0\r\n\r\n",
		"huge size":          chunked + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"space before size":  chunked + " 5\r\nhello\r\n0\r\n\r\n",
		"bare LF":            chunked + "5\nhello\r\n0\r\n\r\n",
		"bare LF behind":     chunked + "5\r\nhello\n0\r\n\r\n",
		"longer than said":   chunked + "5\r\nhello!\r\n0\r\n\r\n",
		"long extension":     chunked + "5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n",
		"many extensions":    chunked + strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\nx\r\n", 20) + "0\r\n\r\n",
		"control in it":      chunked + "5;\x00\r\nhello\r\n0\r\n\r\n",
		"bad trailer":        chunked + "0\r\nA b\r\n\r\n",
		"smuggled trailer":   chunked + "0\r\nA: b\nC: d\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t)
			res, err := tr.RoundTrip(request(t, "GET", script(t, answer), nil))
			require.NoError(t, err)
			_, err = io.ReadAll(res.Body)
			require.Error(t, err)
			var proto *http1.ProtocolError
			assert.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &proto), "%v", err)
			require.NoError(t, res.Body.Close())
		})
	}
}

func TestChunksExtensionsAndTrailersAreRead(t *testing.T) {
	url := script(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum, Content-Length\r\n\r\n"+
		"5;a=b\r\nhello\r\nA  ;c\r\n, world!!!\r\n000\r\nX-Sum: 7\r\nX-Late: 8\r\nContent-Length: 3\r\n\r\n")
	tr := newTransport(t)
	res, err := tr.RoundTrip(request(t, "GET", url, nil))
	require.NoError(t, err)
	assert.Equal(t, http.Header{"X-Sum": nil}, res.Trailer)
	assert.EqualValues(t, -1, res.ContentLength)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello, world!!!", string(body))
	assert.Equal(t, http.Header{"X-Sum": {"7"}, "X-Late": {"8"}}, res.Trailer)
	require.NoError(t, res.Body.Close())
}

func TestABodyUntilTheConnectionClosesSaysSo(t *testing.T) {
	tr := newTransport(t)
	res, body := roundTrip(t, tr, request(t, "GET", script(t, "HTTP/1.1 200 OK\r\n\r\nuntil the end<close>"), nil))
	assert.Equal(t, "until the end", body)
	assert.True(t, res.Close, "what stores responses has to know that a half would look whole")
}

func TestInterimResponsesArePassedOn(t *testing.T) {
	tr := newTransport(t)
	var got []string
	r := request(t, "GET", script(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got = append(got, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}))
	res, _ := roundTrip(t, tr, r)
	assert.Equal(t, 200, res.StatusCode)
	assert.Equal(t, []string{"103</a>", "102"}, got)
}

func TestAStaleConnectionIsReplacedWithoutTheCallerNoticing(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	t.Run("closed while it was idle, whatever the method", func(t *testing.T) {
		closed := make(chan struct{}, 1)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		s.Config.IdleTimeout = time.Nanosecond // it closes right after answering
		s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
			if st == http.StateClosed {
				closed <- struct{}{}
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		tr := newTransport(t)
		for range 150 {
			_, body := roundTrip(t, tr, request(t, "POST", s.URL, strings.NewReader("ok")))
			assert.Equal(t, "ok", body)
			<-closed
		}
	})
	t.Run("closed on the second request", func(t *testing.T) {
		url := script(t, ok+"<next><close>")
		tr := newTransport(t)
		for range 5 {
			_, body := roundTrip(t, tr, request(t, "GET", url, nil))
			assert.Equal(t, "ok", body)
		}
	})
	t.Run("but not for what may have been done", func(t *testing.T) {
		url := script(t, ok+"<next><close>")
		tr := newTransport(t)
		roundTrip(t, tr, request(t, "POST", url, nil))
		_, err := tr.RoundTrip(request(t, "POST", url, nil))
		require.Error(t, err)
	})
	t.Run("with bytes that nobody asked for", func(t *testing.T) {
		url := script(t, ok+"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
		tr := newTransport(t)
		for range 3 {
			_, body := roundTrip(t, tr, request(t, "GET", url, nil))
			assert.Equal(t, "ok", body, "another's answer must not be taken for ours")
		}
	})
}

func TestARefusedConnectionIsAnErrorOfDialing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	closed := false
	r := request(t, "POST", "http://"+l.Addr().String(), nil)
	r.Body = bodyFunc{strings.NewReader("x"), func() { closed = true }}
	_, err = newTransport(t).RoundTrip(r)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "dial", op.Op)
	assert.True(t, closed, "the body is closed on every path")
}

type bodyFunc struct {
	io.Reader
	close func()
}

func (b bodyFunc) Close() error { b.close(); return nil }

func TestBadRequestsAreRefusedAndNotSent(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for name, change := range map[string]func(*http.Request){
		"method":      func(r *http.Request) { r.Method = "GET /x" },
		"CONNECT":     func(r *http.Request) { r.Method = "CONNECT" },
		"field name":  func(r *http.Request) { r.Header["A b"] = []string{"c"} },
		"field value": func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"host":        func(r *http.Request) { r.Host = "a\r\nB: c" },
		"query":       func(r *http.Request) { r.URL.RawQuery = "a b" },
		"scheme":      func(r *http.Request) { r.URL.Scheme = "ftp" },
		"no host":     func(r *http.Request) { r.URL.Host = "" },
		"nil URL":     func(r *http.Request) { r.URL = nil },
		"nil header":  func(r *http.Request) { r.Header = nil },
	} {
		r := request(t, "GET", s.URL, nil)
		change(r)
		_, err := newTransport(t).RoundTrip(r)
		require.Error(t, err, name)
	}
}

func TestAnEarlyAnswerIsSeenAndStopsTheUpload(t *testing.T) {
	stopped := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(413)
		_ = http.NewResponseController(w).Flush()
		<-stopped
	})
	pr, pw := io.Pipe()
	go func() {
		defer close(stopped)
		for {
			if _, err := pw.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	}()
	res, err := newTransport(t).RoundTrip(request(t, "POST", s.URL, pr))
	require.NoError(t, err)
	assert.Equal(t, 413, res.StatusCode)
	<-stopped
	require.NoError(t, res.Body.Close())
}

func TestABodyThatBreaksIsItsReadersFault(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		assert.Error(t, err, "half a body must not look whole")
	})
	mine := errors.New("mine")
	for _, length := range []int64{-1, 10} {
		r := request(t, "POST", s.URL, io.MultiReader(strings.NewReader("half"), errReader{mine}))
		r.ContentLength = length
		_, err := newTransport(t).RoundTrip(r)
		require.ErrorIs(t, err, mine)
	}
	for _, length := range []int64{2, 10} {
		r := request(t, "POST", s.URL, io.MultiReader(strings.NewReader("four")))
		r.ContentLength = length
		_, err := newTransport(t).RoundTrip(r)
		require.ErrorContains(t, err, "ContentLength")
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestExpectContinueWaitsForTheServersWord(t *testing.T) {
	read := false
	r := request(t, "POST", script(t, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"), nil)
	r.Body, r.ContentLength = bodyFunc{readFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }), func() {}}, 5
	r.Header.Set("Expect", "100-continue")
	res, _ := roundTrip(t, newTransport(t), r)
	assert.Equal(t, 417, res.StatusCode)
	assert.False(t, read)

	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	r = request(t, "POST", s.URL, strings.NewReader("hello"))
	r.Header.Set("Expect", "100-continue")
	_, body := roundTrip(t, newTransport(t), r)
	assert.Equal(t, "hello", body)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestTheContextEndsAnExchangeAtOnceWhereverItIs(t *testing.T) {
	entered, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		entered <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	tr := newTransport(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	go func() {
		<-entered
		cancel(why)
	}()
	_, err := tr.RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
	require.ErrorIs(t, err, why)
	<-gone

	ctx, stop := context.WithCancel(context.Background())
	res, err := tr.RoundTrip(request(t, "GET", s.URL+"/body", nil).WithContext(ctx))
	require.NoError(t, err)
	go func() {
		<-entered
		stop()
	}()
	_, err = io.ReadAll(res.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, res.Body.Close())
	<-gone

	_, err = tr.RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
}

func TestAClosedBodyEndsTheExchangeAndAReadOnAnotherGoroutine(t *testing.T) {
	gone := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	res, err := newTransport(t).RoundTrip(request(t, "GET", s.URL, nil))
	require.NoError(t, err)
	read := make(chan error, 1)
	go func() {
		_, err := res.Body.Read(make([]byte, 1))
		read <- err
	}()
	time.AfterFunc(10*time.Millisecond, func() { res.Body.Close() })
	require.ErrorIs(t, <-read, http.ErrBodyReadAfterClose)
	<-gone
	_, err = res.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

func TestNoMoreConnectionsThanAllowed(t *testing.T) {
	var now, most atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if r.URL.Path == "/break" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
	})
	tr := newTransport(t)
	tr.MaxConns = 3
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			path := ""
			if i%10 == 0 {
				path = "/break"
			}
			res, err := tr.RoundTrip(request(t, "POST", s.URL+path, nil))
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, most.Load(), int64(3))

	// Who leaves the queue takes nothing with him.
	hold, err := tr.RoundTrip(request(t, "GET", script(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), nil))
	require.NoError(t, err)
	require.NoError(t, hold.Body.Close())
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	_, err = tr.RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, body := roundTrip(t, tr, request(t, "GET", s.URL, nil))
	assert.Equal(t, "ok", body)
}

func TestTheHeaderHasATimeLimitAndTheBodyHasNot(t *testing.T) {
	tr := newTransport(t)
	tr.HeaderTimeout = 20 * time.Millisecond
	_, err := tr.RoundTrip(request(t, "GET", script(t, ""), nil))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	_, err = tr.RoundTrip(request(t, "POST", script(t, ""), strings.NewReader("x")))
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())

	next := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "late")
	})
	res, err := tr.RoundTrip(request(t, "POST", s.URL, strings.NewReader("x")))
	require.NoError(t, err)
	time.AfterFunc(60*time.Millisecond, func() { close(next) })
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "late", string(body))
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	tr := newTransport(t)
	tr.IdleTimeout = 20 * time.Millisecond
	roundTrip(t, tr, request(t, "GET", s.URL, nil))
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the connection stays open")
	}
	old := newTransport(t)
	old.Lifetime = time.Nanosecond
	roundTrip(t, old, request(t, "GET", s.URL, nil))
	<-closed
}

func TestTLSIsVerifiedAndUsedAgain(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, r.TLS.NegotiatedProtocol) }))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	_, err := newTransport(t).RoundTrip(request(t, "GET", s.URL, nil))
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, err, &unknown)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "dial", op.Op)

	tr := newTransport(t)
	tr.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
	conns.Store(0)
	for range 3 {
		_, body := roundTrip(t, tr, request(t, "GET", s.URL, nil))
		assert.Equal(t, "HTTP/1.1http/1.1", body)
	}
	assert.EqualValues(t, 1, conns.Load())
}

func TestUpgradedConnectionsAreTheBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly ")
		all, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(all))
	}()
	r := request(t, "GET", "http://"+l.Addr().String(), nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	res, err := newTransport(t).RoundTrip(r)
	require.NoError(t, err)
	conn, ok := res.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	require.True(t, ok)
	_, err = io.WriteString(conn, "hello")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Equal(t, "early HELLO", string(all))
	require.NoError(t, conn.Close())
	require.NoError(t, conn.Close())
	l.Close()
	<-done
}

func TestLargeBodiesPassBothWaysAtOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	const size = 8 << 20
	r := request(t, "POST", s.URL, io.LimitReader(zeros{}, size))
	res, err := newTransport(t).RoundTrip(r)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	assert.EqualValues(t, size, n)
	require.NoError(t, res.Body.Close())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A server that sends a second answer to one request, a moment later, must not have it
// taken for the answer to the next request: over TLS the socket alone does not tell.
func TestAnAnswerThatNobodyAskedForIsNobodysOverTLSToo(t *testing.T) {
	late, closed := make(chan struct{}), make(chan struct{}, 3)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() {
			c.Close()
			if r.URL.Path == "/second" {
				closed <- struct{}{}
			}
		}()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if r.URL.Path == "/first" {
			<-late
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			late <- struct{}{}
			_, _ = io.Copy(io.Discard, c)
		}
	}))
	s.StartTLS()
	defer s.Close()
	tr := newTransport(t)
	tr.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
	_, body := roundTrip(t, tr, request(t, "GET", s.URL+"/first", nil))
	assert.Equal(t, "ok", body)
	late <- struct{}{}
	<-late
	_, body = roundTrip(t, tr, request(t, "GET", s.URL+"/second", nil))
	assert.Equal(t, "ok", body)
	// That the connection was closed is seen as well: a POST could not be repeated.
	<-closed
	_, body = roundTrip(t, tr, request(t, "POST", s.URL+"/third", nil))
	assert.Equal(t, "ok", body)
}

func TestATimeLimitThatHasPassedWhileIdleEndsNothing(t *testing.T) {
	var dials atomic.Int64
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	tr := newTransport(t)
	tr.HeaderTimeout = 10 * time.Millisecond
	tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	for range 4 {
		roundTrip(t, tr, request(t, "GET", s.URL, nil))
		<-time.After(20 * time.Millisecond) // the deadline is the socket's, and so real
	}
	assert.EqualValues(t, 1, dials.Load())
}

func TestWaitersSurviveThatTheHostIsForgotten(t *testing.T) {
	tr := newTransport(t)
	tr.MaxConns = 1
	tr.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Microsecond)
				r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", nil)
				_, err := tr.RoundTrip(r)
				assert.Error(t, err)
				cancel()
			}
		})
	}
	wg.Wait()
}
