package balancer_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// patience is how long a test with sockets waits for what must come at once.
const patience = 10 * time.Second

// dialing returns a config whose pool checks target by TCP, fast, and what comes of it.
func dialing(target string) (balancer.Config, <-chan balancer.Event) {
	events := make(chan balancer.Event, 100)
	return balancer.Config{
		Targets: []string{target}, Panic: -1,
		Health: balancer.Health{TCP: true, Every: 5 * time.Millisecond, Timeout: patience / 2, Fall: 1, Rise: 1},
		Events: func(e balancer.Event) {
			if e.Kind == balancer.Healthy || e.Kind == balancer.Unhealthy {
				events <- e
			}
		},
	}, events
}

func nextEvent(t *testing.T, events <-chan balancer.Event) balancer.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		require.Fail(t, "no event")
		return balancer.Event{}
	}
}

// visits tells how each connection to l ended: nil for a plain end.
func visits(t *testing.T, l net.Listener) <-chan error {
	t.Helper()
	ends := make(chan error, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, err = io.Copy(io.Discard, conn)
			conn.Close()
			ends <- err
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return ends
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	return l
}

func TestATCPCheckConnectsAndClosesAgain(t *testing.T) {
	for _, scheme := range []string{"http://", "h2c://"} {
		l := listen(t, "127.0.0.1:0")
		addr := l.Addr().String()
		ends := visits(t, l)
		c, events := dialing(scheme + addr)
		p := newPool(t, c)
		for range 3 {
			require.NoError(t, <-ends)
		}
		assert.True(t, p.Endpoints()[0].Ready())
		assert.Empty(t, events)

		l.Close()
		e := nextEvent(t, events)
		assert.Equal(t, balancer.Unhealthy, e.Kind)
		var op *net.OpError
		require.ErrorAs(t, e.Err, &op)
		assert.Equal(t, "dial", op.Op)
		assert.False(t, p.Endpoints()[0].Ready())

		visits(t, listen(t, addr))
		assert.Equal(t, balancer.Healthy, nextEvent(t, events).Kind)
		require.NoError(t, p.Close())
	}
}

func TestATCPCheckOfHTTPSMakesTheHandshake(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	hellos := make(chan struct{}, 10_000)
	s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		hellos <- struct{}{}
		if strings.Join(hello.SupportedProtos, " ") != "h2 http/1.1" {
			return nil, errors.New("a server that wants h2 and is offered nothing may refuse")
		}
		return nil, nil
	}}
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())

	c, events := dialing(s.URL)
	stranger := newPool(t, c)
	e := nextEvent(t, events)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, e.Err, &unknown)
	require.NoError(t, stranger.Close())

	c, events = dialing(s.URL)
	c.TLS = &tls.Config{RootCAs: roots}
	for len(hellos) > 0 {
		<-hellos
	}
	friend := newPool(t, c)
	for range 3 { // each begins when the one before has ended
		<-hellos
	}
	assert.Empty(t, events)
	assert.Nil(t, c.TLS.NextProtos, "the caller's is not touched")
	require.NoError(t, friend.Close())
}

// A server that takes connections and never says a word, as one does whose process is stopped:
// the kernel takes them in its name. To TLS that is dead.
func TestAHandshakeThatHangsEndsWithTheTimeout(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	c, events := dialing("https://" + l.Addr().String())
	c.Health.Timeout = 20 * time.Millisecond
	p := newPool(t, c)
	e := nextEvent(t, events)
	assert.Equal(t, balancer.Unhealthy, e.Kind)
	var timeout net.Error
	require.ErrorAs(t, e.Err, &timeout)
	assert.True(t, timeout.Timeout())
	require.NoError(t, p.Close())
}

func TestAHandshakeThatHangsDoesNotDelayClose(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	c, events := dialing("https://" + l.Addr().String())
	c.Health.Timeout = time.Hour
	p := newPool(t, c)
	conn, err := l.Accept() // it is under way
	require.NoError(t, err)
	defer conn.Close()
	began := time.Now()
	require.NoError(t, p.Close())
	assert.Less(t, time.Since(began), patience)
	assert.Empty(t, events, "a check that was cut off says nothing")
}
