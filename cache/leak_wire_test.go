package cache_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is an origin that answers each request with the same bytes and hangs up, as a broken
// or a malicious one does.
func wire(t *testing.T, answer string) http.RoundTripper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, answer)
			}
			_ = c.Close()
		}
	}()
	base := &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		base.CloseIdleConnections()
		_ = l.Close()
		<-ended
	})
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		out := r.Clone(r.Context())
		out.URL = &url.URL{Scheme: "http", Host: l.Addr().String(), Path: r.URL.Path}
		return base.RoundTrip(out)
	})
}

func TestLeakBytesThatTwoReadersWouldReadDifferently(t *testing.T) {
	const fresh = "Cache-Control: max-age=60\r\n"
	for name, c := range map[string]struct {
		answer string
		stored bool
	}{
		"right":                      {"HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: 3\r\n\r\nabc", true},
		"right, chunked":             {"HTTP/1.1 200 OK\r\n" + fresh + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true},
		"after an early hint":        {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n" + fresh + "Content-Length: 3\r\n\r\nabc", true},
		"two lengths":                {"HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", false},
		"a negative length":          {"HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: -3\r\n\r\nabc", false},
		"a length with a sign":       {"HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: +3\r\n\r\nabc", false},
		"cut":                        {"HTTP/1.1 200 OK\r\n" + fresh + "Content-Length: 30\r\n\r\nabc", false},
		"cut, chunked":               {"HTTP/1.1 200 OK\r\n" + fresh + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false},
		"cut in a chunk":             {"HTTP/1.1 200 OK\r\n" + fresh + "Transfer-Encoding: chunked\r\n\r\n9\r\nabc", false},
		"no length":                  {"HTTP/1.1 200 OK\r\n" + fresh + "\r\nabc", false},
		"HTTP/1.0, no length":        {"HTTP/1.0 200 OK\r\n" + fresh + "\r\nabc", false},
		"a cookie as trailer":        {"HTTP/1.1 200 OK\r\n" + fresh + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSet-Cookie: s=1\r\n\r\n", false},
		"no-store as trailer":        {"HTTP/1.1 200 OK\r\n" + fresh + "Trailer: Cache-Control\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nCache-Control: no-store\r\n\r\n", false},
		"no-store in a folded line":  {"HTTP/1.1 200 OK\r\nCache-Control: max-age=60,\r\n no-store\r\nContent-Length: 3\r\n\r\nabc", false},
		"Vary with a space":          {"HTTP/1.1 200 OK\r\n" + fresh + "Vary : *\r\nContent-Length: 3\r\n\r\nabc", false},
		"Set-Cookie with a space":    {"HTTP/1.1 200 OK\r\n" + fresh + "Set-Cookie : s=1\r\nContent-Length: 3\r\n\r\nabc", false},
		"private with a space":       {"HTTP/1.1 200 OK\r\n" + fresh + "Cache-Control\t: private\r\nContent-Length: 3\r\n\r\nabc", false},
		"Set-Cookie in capitals":     {"HTTP/1.1 200 OK\r\n" + fresh + "SET-COOKIE: s=1\r\nContent-Length: 3\r\n\r\nabc", false},
		"a protocol nobody wanted":   {"HTTP/1.1 101 Switching Protocols\r\n" + fresh + "Upgrade: x\r\nConnection: upgrade\r\n\r\nabc", false},
		"not modified, unasked":      {"HTTP/1.1 304 Not Modified\r\n" + fresh + "Etag: \"1\"\r\n\r\n", false},
		"a part, unasked":            {"HTTP/1.1 206 Partial Content\r\n" + fresh + "Content-Range: bytes 0-2/3\r\nContent-Length: 3\r\n\r\nabc", false},
		"a status of one's own":      {"HTTP/1.1 299 Mine\r\n" + fresh + "Content-Length: 3\r\n\r\nabc", true},
		"a status that is none":      {"HTTP/1.1 000 Nothing\r\n" + fresh + "Content-Length: 3\r\n\r\nabc", false},
		"a status beyond":            {"HTTP/1.1 999 Beyond\r\nContent-Length: 3\r\n\r\nabc", false},
		"length of what has no body": {"HTTP/1.1 204 No Content\r\n" + fresh + "Content-Length: 3\r\n\r\nabc", true},
	} {
		t.Run(name, func(t *testing.T) {
			rt := over(wire(t, c.answer))
			first, _ := tryGet(rt)
			second, status := tryGet(rt)
			require.Equal(t, c.stored, strings.Contains(status, "hit"), status)
			if c.stored {
				require.Equal(t, first, second)
			}
		})
	}
}

// tryGet returns the body and the Cache-Status of an answer that may be broken.
func tryGet(rt http.RoundTripper) (body, status string) {
	res, err := rt.RoundTrip(request("GET", "/"))
	if err != nil {
		return "", ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b), strings.Join(res.Header["Cache-Status"], ",")
}

func TestLeakBytesAfterAnAnswerAnswerNobody(t *testing.T) {
	// What comes after the body is for the next request on the connection, for who reuses it.
	const evil = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil"
	rt := over(wire(t, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\nabc"+evil))
	for range 5 {
		body, status := tryGet(rt)
		require.NotEqual(t, "evil", body)
		require.NotContains(t, status, "hit")
	}
}
