package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answering returns a listener of which every connection is answered once with
// those bytes, whatever it asks, and closed.
func answering(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte(answer))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func exchanged(t *testing.T, answer string) error {
	t.Helper()
	s := scenario{path: "/", body: 10, header: "Cache-Status: gateway; hit"}
	l, err := dial(answering(t, answer), 1, s, nil)
	require.NoError(t, err)
	defer l.close()
	require.NoError(t, l[0].conn.SetDeadline(time.Now().Add(patience)))
	return l[0].exchange()
}

func TestEveryAnswerIsChecked(t *testing.T) {
	const hit = "Cache-Status: gateway; hit; ttl=9\r\n"
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\n" + hit + "Content-Length: 10\r\n\r\n0123456789":                                    "",
		"HTTP/1.1 200 OK\r\n" + hit + "content-length:10\r\n\r\n0123456789":                                     "",
		"HTTP/1.1 200 OK\r\n" + hit + "Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n": "",
		"HTTP/1.1 502 Bad Gateway\r\n" + hit + "Content-Length: 10\r\n\r\n0123456789":                           "502",
		"HTTP/1.1 200 OK\r\n" + hit + "Content-Length: 9\r\n\r\n012345678":                                      "9 bytes instead of 10",
		"HTTP/1.1 200 OK\r\n" + hit + "Content-Length: 10\r\n\r\n0123":                                          "EOF",
		"HTTP/1.1 200 OK\r\n" + hit + "Content-Length: ten\r\n\r\n":                                             "invalid syntax",
		"HTTP/1.1 200 OK\r\n" + hit + "Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n":                         "EOF",
		"HTTP/1.1 200 OK\r\n" + hit + "Transfer-Encoding: chunked\r\n\r\n4\r\n01234\r\n":                        "a chunk ends in",
		"HTTP/1.1 200 OK\r\nCache-Status: gateway; fwd=uri-miss\r\nContent-Length: 10\r\n\r\n0123456789":        "without",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 5000) + "\r\nContent-Length: 10\r\n\r\n0123456789":       "buffer full",
		"": "EOF",
	} {
		err := exchanged(t, answer)
		if want == "" {
			assert.NoError(t, err, "%q", answer)
		} else {
			assert.ErrorContains(t, err, want, "%q", answer)
		}
	}
}

func TestALoadWithAnErrorIsVoid(t *testing.T) {
	s := scenario{path: "/", body: 10}
	l, err := dial(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"), 3, s, nil)
	require.NoError(t, err)
	defer l.close()
	_, err = l.run(time.Minute) // each gets one answer, and ends with the connection
	assert.ErrorContains(t, err, "3 of 3 clients failed")
}

func TestUsersShareTheConnections(t *testing.T) {
	l, err := dial(answering(t, ""), 2, scenario{path: "/p"}, []string{"a", "b", "c"})
	require.NoError(t, err)
	defer l.close()
	require.Len(t, l[0].requests, 2)
	assert.Len(t, l[1].requests, 1)
	assert.Contains(t, string(l[0].requests[1]), "GET /p HTTP/1.1\r\n")
	assert.Contains(t, string(l[0].requests[1]), "\r\nAuthorization: Bearer c\r\n\r\n")
}
