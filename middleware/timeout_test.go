package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTimeoutEndsTheContextAndAnswersForAHandlerThatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.Timeout(time.Second)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		start := time.Now()
		w := serve(h, request("GET", "/"))
		assert.Equal(t, 504, w.Code)
		assert.Equal(t, time.Second, time.Since(start))
	})
	w := serve(middleware.Timeout(time.Hour)(status(204)), request("GET", "/"))
	assert.Equal(t, 204, w.Code)
	assert.Panics(t, func() { middleware.Timeout(0) })
}

// pipes is a listener whose connections are in memory, so that their deadlines run
// in virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// over serves one connection by h, and gives its other end to f.
func over(t *testing.T, h http.Handler, f func(net.Conn, *bufio.Reader)) {
	t.Helper()
	l := make(pipes, 1)
	server := &http.Server{Handler: h}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	client, conn := net.Pipe()
	l <- conn
	f(client, bufio.NewReader(client))
	client.Close()
	close(l)
	<-ended
	require.NoError(t, server.Shutdown(context.Background()))
}

func TestTimeoutCutsOffABodyThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.Timeout(time.Second)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			gateway.Fail(w, r, err)
		}))
		over(t, h, func(client net.Conn, answer *bufio.Reader) {
			start := time.Now()
			_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
			require.NoError(t, err)
			res, err := http.ReadResponse(answer, nil)
			require.NoError(t, err, "the handler must not hang in Read")
			assert.GreaterOrEqual(t, res.StatusCode, 500)
			assert.Less(t, time.Since(start), 2*time.Second)
			res.Body.Close()
		})
	})
}

func TestTimeoutCutsOffAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		h := middleware.Timeout(time.Second)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					ended <- err
					return
				}
			}
		}))
		over(t, h, func(client net.Conn, _ *bufio.Reader) {
			start := time.Now()
			_, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			require.Error(t, <-ended)
			assert.Less(t, time.Since(start), 2*time.Second)
		})
	})
}

func TestTimeoutLeavesTheNextRequestOfTheConnectionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.Timeout(time.Second)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		over(t, h, func(client net.Conn, answer *bufio.Reader) {
			for range 3 {
				_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
				require.NoError(t, err)
				res, err := http.ReadResponse(answer, nil)
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				assert.Equal(t, "hello", string(body))
				time.Sleep(time.Minute) // the deadlines of the last request have long passed
			}
		})
	})
}
