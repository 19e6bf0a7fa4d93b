package conformance

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tunnelScenes are incident 10.
var tunnelScenes = []scene{
	{"joins upgraded connections, with early bytes and half-close", Features{}, tunnelTalks},
	{"lets the backend half close an upgraded connection", Features{}, tunnelHalfClosedThere},
	{"ends the backend's upgraded connection with the client's", Features{}, tunnelClientLeaves},
	{"ends the client's upgraded connection with the backend's", Features{}, tunnelBackendLeaves},
	{"never tunnels h2c", Features{}, neverH2C},
	{"closes the backend's connection when its upgrade is not the one asked for", Features{}, invalidUpgrade},
}

const webSocket = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"

func tunnelTalks(t *testing.T, proxy Proxy) {
	c, in := dial(t, front(t, proxy(t, echo(make(chan struct{}, 1)))), webSocket+"early\n") // golang/go#80875
	res := parsed(t, in, "GET")
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	assert.Equal(t, "websocket", res.Header.Get("Upgrade"))
	_, err := io.WriteString(c, "late\n")
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite()) // golang/go#35892
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	assert.Equal(t, "hello\necho early\necho late\nbye\n", string(all))
}

func tunnelHalfClosedThere(t *testing.T, proxy Proxy) {
	got := make(chan string, 1)
	c, in := dial(t, front(t, proxy(t, switched(switching+"all", func(c *net.TCPConn, in *bufio.Reader) {
		_ = c.CloseWrite()
		b, _ := io.ReadAll(in)
		got <- string(b)
	}))), webSocket)
	require.Equal(t, http.StatusSwitchingProtocols, parsed(t, in, "GET").StatusCode)
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	assert.Equal(t, "all", string(all))
	_, err = io.WriteString(c, "still here")
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	assert.Equal(t, "still here", receive(t, got, "what is sent after the backend's end"))
}

// tunnelClientLeaves has a client that does not end its half but breaks off
// (golang/go#35559).
func tunnelClientLeaves(t *testing.T, proxy Proxy) {
	ended := make(chan struct{}, 1)
	c, in := dial(t, front(t, proxy(t, echo(ended))), webSocket)
	require.Equal(t, http.StatusSwitchingProtocols, parsed(t, in, "GET").StatusCode)
	assert.Equal(t, "hello\n", part(t, in, 6))
	left := time.Now()
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	receive(t, ended, "the end of the backend's connection")
	assert.Less(t, time.Since(left), soon)
}

func tunnelBackendLeaves(t *testing.T, proxy Proxy) {
	_, in := dial(t, front(t, proxy(t, switched(switching, func(c *net.TCPConn, _ *bufio.Reader) { _ = c.SetLinger(0) }))), webSocket)
	left := time.Now()
	require.Equal(t, http.StatusSwitchingProtocols, parsed(t, in, "GET").StatusCode)
	_, err := io.ReadAll(in)
	if err != nil {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	assert.Less(t, time.Since(left), soon)
}

// neverH2C is golang/go#80416: what is in such a tunnel passes every check.
func neverH2C(t *testing.T, proxy Proxy) {
	got := make(chan http.Header, 1)
	s := front(t, proxy(t, headers(got)))
	for _, list := range []string{"Upgrade, HTTP2-Settings", "upgrade"} {
		for _, token := range []string{"h2c", "H2C", "h2c, websocket", "websocket, h2c"} {
			_, in := dial(t, s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: "+list+"\r\nUpgrade: "+token+"\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n")
			require.Equal(t, http.StatusOK, parsed(t, in, "GET").StatusCode)
			h := receive(t, got, "the request at the backend")
			assert.NotContains(t, h, "Upgrade", "%s; %s", list, token)
			if strings.Contains(list, "Settings") {
				assert.NotContains(t, h, "Http2-Settings", "%s; %s", list, token)
			}
		}
	}
}

// invalidUpgrade counts connections: 50 tries left 51 of them open in net/http's proxy.
func invalidUpgrade(t *testing.T, proxy Proxy) {
	var open atomic.Int64
	ended := make(chan struct{}, 20)
	s := front(t, proxy(t, switched("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		func(_ *net.TCPConn, in *bufio.Reader) {
			open.Add(1)
			_, _ = io.Copy(io.Discard, in)
			open.Add(-1)
			ended <- struct{}{}
		})))
	for range cap(ended) {
		_, in := dial(t, s, webSocket)
		assert.Equal(t, http.StatusBadGateway, parsed(t, in, "GET").StatusCode)
		receive(t, ended, "the end of the backend's connection")
	}
	assert.Zero(t, open.Load())
}
