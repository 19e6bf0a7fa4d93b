package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var upgrading = Features{Network: true, Upgrade: true}

// upgradeProbes are incidents 10 and 14: a wrapper that hides what a connection can do
// breaks upgrades, and only those.
var upgradeProbes = []probe{
	{"makes the connection the body of a 101, early bytes included", upgrading, upgradeTalks},
	{"half closes an upgraded connection from here", upgrading, upgradeHalfClosed},
	{"lets the backend half close an upgraded connection", upgrading, upgradeHalfClosedThere},
	{"ends an upgraded connection when its body is closed", upgrading, upgradeClosed},
	{"gives the answer of a backend that does not upgrade", upgrading, upgradeDeclined},
}

// switched answers with head, which may go on behind the header, and has talk use the
// connection.
func switched(head string, talk func(c *net.TCPConn, in *bufio.Reader)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, head)
		talk(c.(*net.TCPConn), rw.Reader)
	})
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// echo answers every line, says bye when there are no more, and tells of its end.
func echo(ended chan<- struct{}) http.Handler {
	return switched(switching+"hello\n", func(c *net.TCPConn, in *bufio.Reader) {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			fmt.Fprintf(c, "echo %s\n", lines.Text())
		}
		_, _ = io.WriteString(c, "bye\n")
		ended <- struct{}{}
	})
}

// tunnel is what the body of a 101 has to be.
type tunnel interface {
	io.ReadWriteCloser
	CloseWrite() error
}

func upgrade(t *testing.T, rt http.RoundTripper) tunnel {
	t.Helper()
	r := request(t.Context(), t, http.MethodGet, nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	res := response(t, send(rt, r))
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.Equal(t, "websocket", res.Header.Get("Upgrade"))
	require.Implements(t, (*tunnel)(nil), res.Body)
	return res.Body.(tunnel)
}

func upgradeTalks(t *testing.T, subject Subject) {
	ended := make(chan struct{}, 1)
	c := upgrade(t, subject(t, echo(ended)))
	assert.Equal(t, "hello\n", part(t, c, 6), "what came with the 101")
	for range 3 {
		_, err := io.WriteString(c, "ping\n")
		require.NoError(t, err)
		assert.Equal(t, "echo ping\n", part(t, c, 10))
	}
	require.NoError(t, c.Close())
	receive(t, ended, "the end of the backend's connection")
}

func upgradeHalfClosed(t *testing.T, subject Subject) {
	ended := make(chan struct{}, 1)
	c := upgrade(t, subject(t, echo(ended)))
	_, err := io.WriteString(c, "last\n")
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	receive(t, ended, "the end of what is sent, at the backend")
	assert.Equal(t, "hello\necho last\nbye\n", read(t, c), "the other direction goes on")
}

func upgradeHalfClosedThere(t *testing.T, subject Subject) {
	got := make(chan string, 1)
	c := upgrade(t, subject(t, switched(switching+"all", func(c *net.TCPConn, in *bufio.Reader) {
		_ = c.CloseWrite()
		b, _ := io.ReadAll(in)
		got <- string(b)
	})))
	b, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "all", string(b))
	_, err = io.WriteString(c, "still here")
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	assert.Equal(t, "still here", receive(t, got, "what is sent after the backend's end"))
	require.NoError(t, c.Close())
}

func upgradeClosed(t *testing.T, subject Subject) {
	ended := make(chan struct{}, 1)
	c := upgrade(t, subject(t, echo(ended)))
	ends := make(chan error, 1)
	assert.Equal(t, "hello\n", part(t, c, 6))
	go func() {
		_, err := c.Read(make([]byte, 1))
		ends <- err
	}()
	require.NoError(t, c.Close())
	receive(t, ended, "the end of the backend's connection")
	require.Error(t, receive(t, ends, "the end of a Read under way"))
}

func upgradeDeclined(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = io.WriteString(w, "no")
	}))
	r := request(t.Context(), t, http.MethodGet, nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	res := response(t, send(rt, r))
	assert.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
	assert.Equal(t, "no", read(t, res.Body))
}
