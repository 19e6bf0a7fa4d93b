package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gatewright/gateway/internal/http1"
)

// answerOnce is a connection whose other end sends fixed bytes and closes.
func answerOnce(answer []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		return &fixedConn{Reader: bytes.NewReader(answer)}, nil
	}
}

type fixedConn struct {
	net.Conn // nil: what is not below is not called
	io.Reader
}

func (c *fixedConn) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c *fixedConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *fixedConn) Close() error                { return nil }

// Where net/http and we both accept a response, we read the same from it. Where we
// accept one that net/http refuses, something is wrong; the other way round is what
// being strict means.
func FuzzResponsesReadAsNetHTTPDoesOrAreRefused(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200\r\nA: b\r\na: c\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &http1.Transport{Dial: answerOnce(answer)}
		defer tr.CloseIdleConnections()
		ours, err := tr.RoundTrip(r)
		if err != nil {
			return
		}
		ourBody, ourErr := io.ReadAll(ours.Body)
		ours.Body.Close()

		theirs, err := readFinal(bufio.NewReader(bytes.NewReader(answer)), r)
		if err != nil {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
		theirBody, theirErr := io.ReadAll(theirs.Body)
		if ours.StatusCode != theirs.StatusCode || ours.ContentLength != theirs.ContentLength && ours.StatusCode != 204 {
			t.Errorf("status %d and length %d, net/http has %d and %d", ours.StatusCode, ours.ContentLength, theirs.StatusCode, theirs.ContentLength)
		}
		if ourErr == nil && theirErr == nil && !bytes.Equal(ourBody, theirBody) {
			t.Errorf("body %q, net/http has %q", ourBody, theirBody)
		}
		if ourErr == nil && theirErr != nil {
			t.Errorf("whole body %q, net/http says %v", ourBody, theirErr)
		}
		for name, values := range theirs.Header {
			if name == "Connection" || name == "Trailer" { // which net/http takes apart
				continue
			}
			if len(ours.Header[name]) != len(values) {
				t.Errorf("%s: %q, net/http has %q", name, ours.Header[name], values)
			}
		}
	})
}

func readFinal(in *bufio.Reader, r *http.Request) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(in, r)
		if err != nil || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
}
