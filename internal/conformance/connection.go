package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connectionProbes are about what exchanges share.
var connectionProbes = []probe{
	{"gives each of many requests at once its own answer", Features{}, manyAtOnce},
	{"replaces a kept connection that the backend has closed", network, closedMeanwhile},
	{"does not take bytes behind an answer for the next one", Features{Network: true, Strict: true}, surplus},
}

const (
	clients  = 50
	requests = 20
)

func manyAtOnce(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // all, for net/http's server reads no more of it once it answers
		w.Header().Set("X-Id", r.Header.Get("X-Id"))
		_, _ = io.WriteString(w, r.Method+" "+string(body))
	}))
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for n := range requests {
				if !ownAnswer(t, rt, client, n) {
					return
				}
			}
		})
	}
	all.Wait()
}

// ownAnswer makes the nth request of a client and reports whether the answer is to it.
func ownAnswer(t *testing.T, rt http.RoundTripper, client, n int) bool {
	method := []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete}[n%5]
	id := fmt.Sprint(client, "-", n)
	var body io.Reader
	want := method + " "
	switch method {
	case http.MethodPost, http.MethodPut:
		text := strings.Repeat(id+" ", 1+n*100)
		body, want = strings.NewReader(text), want+text
	case http.MethodHead:
		want = ""
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://backend.test/"+id, body)
	if !assert.NoError(t, err) {
		return false
	}
	r.Header.Set("X-Id", id)
	res, err := rt.RoundTrip(r)
	if !assert.NoError(t, err) {
		return false
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if string(got) != want { // which are too long to print
		return assert.Fail(t, "another's answer", "%s: %d bytes instead of %d", id, len(got), len(want))
	}
	return assert.NoError(t, err) && assert.Equal(t, id, res.Header.Get("X-Id"))
}

// closedMeanwhile is incident 9: the client must see nothing of it, however the close
// and the next request cross.
func closedMeanwhile(t *testing.T, subject Subject) {
	rt := subject(t, switched("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", func(*net.TCPConn, *bufio.Reader) {}))
	for range 20 {
		assert.Equal(t, "ok", read(t, response(t, send(rt, request(t.Context(), t, http.MethodGet, nil))).Body))
	}
}

// surplus is how one client gets another's response.
func surplus(t *testing.T, subject Subject) {
	rt := subject(t, switched("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		func(_ *net.TCPConn, in *bufio.Reader) { _, _ = in.ReadByte() }))
	for range 5 {
		res := response(t, send(rt, request(t.Context(), t, http.MethodGet, nil)))
		require.Equal(t, "ok", read(t, res.Body))
	}
}
