package balancer_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

func TestPathAndQueryReachTheEndpointByteForByte(t *testing.T) {
	var got string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	for _, prefix := range []string{"", "/", "/api", "/a%2Fb/"} {
		p := newPool(t, balancer.Config{Targets: []string{s.URL + prefix}})
		for _, uri := range []string{"/", "/a/x%2Fy", "/a/%25", "/a/b%3Fc=1?q=a%20b&u=/x", "/%7euser?a;b", "/a?%zz", "/a?"} {
			status, problem := exchange(t, p, request(t, "GET", uri, nil))
			require.Nil(t, problem)
			require.Equal(t, 200, status)
			assert.Equal(t, strings.TrimSuffix(prefix, "/")+uri, got)
		}
	}
}

func TestTheRequestIsNotChanged(t *testing.T) {
	r := request(t, "POST", "/x?y=z", strings.NewReader("body"))
	before, url := *r, *r.URL
	var sent *http.Request
	p := newPool(t, balancer.Config{
		Targets: []string{"https://host:8443/api"},
		Base:    tripper(func(r *http.Request) (*http.Response, error) { sent = r; return respond(200, ""), nil }),
	})
	_, problem := exchange(t, p, r)
	require.Nil(t, problem)
	assert.Equal(t, "https://host:8443/api/x?y=z", sent.URL.String())
	assert.Empty(t, sent.Host, "so that the URL's is sent")
	assert.Same(t, before.URL, r.URL)
	assert.Equal(t, url, *r.URL)
	assert.Equal(t, before.Body, r.Body)

	r.Host = "public.test"
	_, problem = exchange(t, p, r)
	require.Nil(t, problem)
	assert.Equal(t, "public.test", sent.Host)
}

func TestFaultsArePlaced(t *testing.T) {
	hangUp := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	unknown := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	defer unknown.Close()
	for name, c := range map[string]struct {
		target string
		fault  gateway.Fault
	}{
		"refused":              {closedPort(t), gateway.UpstreamDial},
		"unknown name":         {"http://does-not-exist.invalid", gateway.UpstreamDial},
		"no TLS there":         {strings.Replace(hangUp.URL, "http", "https", 1), gateway.UpstreamDial},
		"untrusted":            {unknown.URL, gateway.UpstreamDial},
		"hangs up on TLS":      {"https://" + hangUpAtOnce(t), gateway.UpstreamDial},
		"hangs up":             {hangUp.URL, gateway.UpstreamHeader},
		"TLS where none is up": {strings.Replace(unknown.URL, "https", "http", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, balancer.Config{Targets: []string{c.target}, Retry: balancer.Retry{Attempts: 1}})
			status, problem := get(t, p)
			if c.fault == "" { // Go's server answers 400 in plain text
				assert.Equal(t, http.StatusBadRequest, status)
				return
			}
			require.NotNil(t, problem)
			assert.Equal(t, c.fault, problem.Fault, problem.Error())
			assert.Equal(t, http.StatusBadGateway, problem.Status)
			assert.Empty(t, problem.Detail)
			assert.ErrorContains(t, problem.Err, c.target)
		})
	}
}

// hangUpAtOnce is the address of a server that closes what it accepts.
func hangUpAtOnce(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestTLSWorksWithABase(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	defer base.CloseIdleConnections()
	p := newPool(t, balancer.Config{Targets: []string{s.URL}, Base: base})
	status, problem := get(t, p)
	require.Nil(t, problem)
	assert.Equal(t, 404, status)
}

func TestAClientThatLeavesIsNobodysFault(t *testing.T) {
	entered := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-entered
		cancel(io.ErrClosedPipe)
	}()
	_, err := p.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx))
	problem := problemIn(t, err)
	assert.Equal(t, gateway.ClientCanceled, problem.Fault)
	assert.Equal(t, 499, problem.Status)
}

func TestTheRequestsDeadlineIsATimeout(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := p.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx))
	problem := problemIn(t, err)
	assert.Equal(t, gateway.UpstreamTimeout, problem.Fault)
	assert.Equal(t, http.StatusGatewayTimeout, problem.Status)
}

// One of three dies under load: clients see nothing of it.
func TestKillingOneOfThreeCostsNoRequest(t *testing.T) {
	for name, b := range map[string]balancer.Balancer{"RoundRobin": balancer.RoundRobin(), "PowerOfTwo": balancer.PowerOfTwo()} {
		t.Run(name, func(t *testing.T) {
			var targets []string
			var servers []*httptest.Server
			for range 3 {
				s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
				servers, targets = append(servers, s), append(targets, s.URL)
			}
			p := newPool(t, balancer.Config{Targets: targets, Balancer: b})
			var wg sync.WaitGroup
			var done, failed atomic.Int64
			for range 8 {
				wg.Go(func() {
					for range 250 {
						if done.Add(1) == 500 {
							servers[1].Listener.Close()
							servers[1].CloseClientConnections()
						}
						if status, problem := get(t, p); status != 200 {
							t.Log(status, problem)
							failed.Add(1)
						}
					}
				})
			}
			wg.Wait()
			assert.Zero(t, failed.Load())
			for _, e := range p.Endpoints() {
				assert.Zero(t, e.InFlight(), e)
			}
		})
	}
}

func TestAClosedPoolIsUnavailable(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	p := balancer.To(s.URL)
	_, problem := get(t, p)
	require.Nil(t, problem)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	body := &closeRecorder{Reader: strings.NewReader("x")}
	_, problem = exchange(t, p, request(t, "POST", "/", body))
	require.NotNil(t, problem)
	assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
	assert.Equal(t, gateway.UpstreamUnavailable, problem.Fault)
	assert.EqualValues(t, 1, body.closed.Load())
}

// What is under way when the pool is closed finishes, and leaves no connection
// behind: goleak would see its goroutines.
func TestClosingLetsRequestsFinish(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "late")
	})
	p := balancer.To(s.URL)
	res, err := p.RoundTrip(request(t, "GET", "/", nil))
	require.NoError(t, err)
	require.NoError(t, p.Close())
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "late", string(got))
	res.Body.Close()
}

func TestPoolsDoNotKnowEachOther(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = tripper(func(*http.Request) (*http.Response, error) { panic("the default transport was used") })
	defer func() { http.DefaultTransport = before }()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c := balancer.Config{Targets: []string{s.URL}, Breaker: balancer.Breaker{Failures: 1}}
	p, q := newPool(t, c), newPool(t, c)
	_, _ = get(t, p)
	assert.True(t, isOpen(p))
	assert.False(t, isOpen(q))
	require.NoError(t, p.Close())
	status, _ := get(t, q)
	assert.Equal(t, 500, status)
}

// A transport that keeps neither half of its promise must not end in a nil pointer.
func TestATransportThatReturnsNothingFails(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Base:    tripper(func(*http.Request) (*http.Response, error) { return nil, nil }),
	})
	_, problem := get(t, p)
	require.NotNil(t, problem)
	assert.Equal(t, gateway.UpstreamHeader, problem.Fault)
}

func TestAPanicOfTheTransportLeavesNothingInFlight(t *testing.T) {
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Base:    tripper(func(*http.Request) (*http.Response, error) { panic("bug") }),
	})
	assert.Panics(t, func() { _, _ = p.RoundTrip(request(t, "GET", "/", nil)) })
	assert.Zero(t, p.Endpoints()[0].InFlight())
}

func TestAProxyOverAPoolServes(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(newPool(t, balancer.Config{Targets: []string{closedPort(t), s.URL}})))
	for range 20 {
		w := httptest.NewRecorder()
		gw.ServeHTTP(w, httptest.NewRequest("POST", "/x", strings.NewReader("echo")))
		assert.Equal(t, "echo", w.Body.String())
	}
}

func TestAProxyNeverNamesTheUpstream(t *testing.T) {
	target := closedPort(t)
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(newPool(t, balancer.Config{Targets: []string{target}})))
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	assert.Equal(t, http.StatusBadGateway, w.Code)
	assert.Contains(t, w.Body.String(), "upstream_dial")
	assert.NotContains(t, w.Body.String(), strings.TrimPrefix(target, "http://"))
}
