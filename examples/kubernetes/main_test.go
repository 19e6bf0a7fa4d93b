package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway/balancer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func watching(t *testing.T, s *apiServer) *EndpointSlices {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	e, err := connect(server.URL+"/", "")
	require.NoError(t, err)
	t.Cleanup(e.Client.CloseIdleConnections)
	t.Cleanup(s.cutWatches)
	e.Namespace, e.Service, e.Port, e.pause = "shop", "orders", "http", time.Millisecond
	return e
}

func resolve(t *testing.T, e *EndpointSlices) []balancer.Target {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel) // the watch goes on after this
	targets, holds, err := e.Resolve(ctx)
	require.NoError(t, err)
	assert.Zero(t, holds)
	return targets
}

func addresses(targets []balancer.Target) (all []string) {
	for _, t := range targets {
		all = append(all, strings.TrimPrefix(t.URL, "http://"))
	}
	return all
}

func TestReadyEndpointsAreTargetsWithTheirZones(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.2", "b", "yes", "yes", "no"), pod("10.0.0.1", "a", ""), pod("10.0.0.3", "a", "no", "no"))
	assert.Equal(t, []balancer.Target{
		{URL: "http://10.0.0.1:8080", Zone: "a", Host: "orders.shop.svc"}, // what is not known of readiness is true
		{URL: "http://10.0.0.2:8080", Zone: "b", Host: "orders.shop.svc"},
	}, resolve(t, watching(t, s)))
}

func TestEndpointsThatTerminateAreUsedWhileNoneIsReady(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", "", "no", "yes", "yes"), pod("10.0.0.2", "", "no", "no", "yes"))
	e := watching(t, s)
	assert.Equal(t, []string{"10.0.0.1:8080"}, addresses(resolve(t, e)))
	s.put("s1", pod("10.0.0.3", "", "yes", "yes", "no"))
	assert.Equal(t, []string{"10.0.0.3:8080"}, addresses(resolve(t, e)))
}

func TestPortsAreChosenByNameInEachSlice(t *testing.T) {
	s := newAPIServer(t)
	web, dns := object{"name": "http", "port": 80}, object{"name": "http", "protocol": "UDP", "port": 53}
	s.putSlice("s0", "IPv4", []object{dns, {"name": "admin", "protocol": "TCP", "port": 9}, web}, pod("10.0.0.1", ""))
	s.putSlice("s1", "IPv4", []object{{"name": "http", "port": 8080}}, pod("10.0.0.2", ""))
	s.putSlice("s2", "IPv4", []object{{"name": "other", "port": 7}}, pod("10.0.0.3", ""))
	s.putSlice("s3", "IPv4", nil, pod("10.0.0.4", ""))
	e := watching(t, s)
	assert.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:8080"}, addresses(resolve(t, e)))
	e = watching(t, s)
	e.Port = ""
	assert.Equal(t, []string{"10.0.0.2:8080", "10.0.0.3:7"}, addresses(resolve(t, e)), "the only one of TCP, or none")
}

func TestAPodThatIsThereTwiceIsOneTarget(t *testing.T) {
	s := newAPIServer(t)
	ports := []object{{"name": "http", "port": 80}}
	s.putSlice("s0", "IPv6", ports, pod("fd00::1", ""))
	s.putSlice("s1", "IPv4", ports, pod("10.0.0.1", ""), pod("10.0.0.2", "", "no"))
	s.putSlice("s2", "IPv4", ports, pod("10.0.0.1", ""), object{"addresses": []string{}}) // slices that are being rearranged
	s.putSlice("s3", "FQDN", ports, pod("a.test", ""))
	e := watching(t, s)
	assert.Equal(t, []string{"10.0.0.1:80"}, addresses(resolve(t, e)))
	s.remove("s1")
	s.remove("s2")
	assert.Equal(t, []string{"[fd00::1]:80"}, addresses(resolve(t, e)))
}

func TestChangesAreSeenAsTheyCome(t *testing.T) {
	s := newAPIServer(t)
	for i := range 5 { // in three pages
		s.put(fmt.Sprintf("s%d", i), pod(fmt.Sprintf("10.0.0.%d", i), ""))
	}
	e := watching(t, s)
	assert.Len(t, resolve(t, e), 5)
	assert.Equal(t, 3, s.lists)
	s.remove("s0")
	assert.Len(t, resolve(t, e), 4)
	s.put("s1", pod("10.0.0.1", "", "yes"), pod("10.0.0.9", "z"))
	assert.Len(t, resolve(t, e), 5)
	s.bookmark()
	s.put("s2", pod("10.0.0.2", "", "no"))
	assert.Len(t, resolve(t, e), 4)
	assert.Equal(t, 3, s.lists)
	assert.Equal(t, 1, s.watches)
}

func TestWhatDoesNotChangeTheTargetsIsNoNews(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	e := watching(t, s)
	resolve(t, e)
	s.put("s0", pod("10.0.0.1", ""), pod("10.0.0.2", "", "no"))
	s.bookmark()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := e.Resolve(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAWatchThatEndsGoesOnWhereItWas(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	e := watching(t, s)
	resolve(t, e)
	for i := range 10 {
		s.cutWatches()
		if i%2 == 0 {
			s.put("s1", pod(fmt.Sprintf("10.0.1.%d", i), ""))
		} else {
			s.remove("s1") // while nobody watches, perhaps
		}
		assert.Len(t, resolve(t, e), 2-i%2)
	}
	assert.Equal(t, 1, s.lists)
}

func TestAVersionThatIsGoneIsListedAnew(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	s.put("s1", pod("10.0.0.2", ""))
	e := watching(t, s)
	assert.Len(t, resolve(t, e), 2)
	s.remove("s1") // which the watch cannot tell any more
	s.put("s2", pod("10.0.0.3", ""))
	s.compact()
	assert.Equal(t, []string{"10.0.0.1:8080", "10.0.0.3:8080"}, addresses(resolve(t, e)))
	assert.Equal(t, 2, s.lists)
	s.put("s3", pod("10.0.0.4", ""))
	assert.Len(t, resolve(t, e), 3, "and watched from there")
}

func TestAListWhoseVersionIsGoneBeforeItsEndIsBegunAgain(t *testing.T) {
	s := newAPIServer(t)
	for i := range 5 {
		s.put(fmt.Sprintf("s%d", i), pod(fmt.Sprintf("10.0.0.%d", i), ""))
	}
	s.aged = true
	e := watching(t, s)
	targets, _, err := e.Resolve(t.Context())
	assert.ErrorIs(t, err, errGone)
	assert.Empty(t, targets, "the half of it")
	assert.Len(t, resolve(t, e), 5)
}

// Bookmarks are there so that a quiet service's version does not get too old.
func TestABookmarkSavesAList(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	e := watching(t, s)
	resolve(t, e)
	s.bookmark()
	require.NoError(t, e.step(t.Context()))
	s.cutWatches()
	s.compact()
	s.put("s1", pod("10.0.0.2", ""))
	assert.Len(t, resolve(t, e), 2)
	assert.Equal(t, 1, s.lists)
}

func TestWhatBreaksOffInTheMiddleOfALineIsNotTaken(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	e := watching(t, s)
	resolve(t, e)
	for _, half := range []string{
		`{"type":"DELETED","object":{"metadata":{"name":"s0","resourceVersion":"999"}}}`, // whole, but for its end
		`{"type":"MODIFIED","object":{"meta`,
		`{`,
	} {
		s.do(func() { s.raw = half })
		s.cutWatches()
		s.put("s1", pod("10.0.1."+strconv.Itoa(len(half)), ""))
		assert.Len(t, resolve(t, e), 2)
	}
	assert.Equal(t, 1, s.lists)
}

func TestWhatCannotBeUnderstoodIsAnErrorAndNotTaken(t *testing.T) {
	for name, line := range map[string]string{
		"unknown type":    `{"type":"RENAMED","object":{"metadata":{"name":"s0","resourceVersion":"999"}}}`,
		"invalid char":    `<html>502 Bad Gateway</html>`,
		"cannot unmarsha": `{"type":"ADDED","object":7}`,
		"without a versi": `{"type":"DELETED","object":{"metadata":{"name":"s0"}}}`,
		"says 500: later": `{"type":"ERROR","object":{"kind":"Status","code":500,"message":"later"}}`,
		"more than":       `{"type":"ADDED","object":"` + strings.Repeat("x", 9<<20) + `"}`,
	} {
		s := newAPIServer(t)
		s.put("s0", pod("10.0.0.1", ""))
		s.raw = line + "\n"
		e := watching(t, s)
		resolve(t, e)
		targets, _, err := e.Resolve(t.Context())
		assert.ErrorContains(t, err, name)
		assert.Empty(t, targets)
		s.put("s1", pod("10.0.0.2", ""))
		assert.Len(t, resolve(t, e), 2, "and it goes on from where it was")
	}
}

func TestAnAPIServerThatRefusesIsQuoted(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	e := watching(t, s)
	e.Token = func() (string, error) { return token, nil }
	for _, code := range []int{401, 403, 429, 500, 302} {
		s.do(func() { s.status = code })
		_, _, err := e.Resolve(t.Context())
		assert.ErrorContains(t, err, fmt.Sprintf("%d: as it was told", code))
		assert.NotContains(t, err.Error(), token)
	}
	s.do(func() { s.status = 0 })
	assert.Len(t, resolve(t, e), 1)
	s.do(func() { s.status = 410 }) // for the watch, and then for the list
	s.cutWatches()
	_, _, err := e.Resolve(t.Context())
	assert.ErrorIs(t, err, errGone)
	s.do(func() { s.status = 0 })
	s.put("s1", pod("10.0.0.2", ""))
	assert.Len(t, resolve(t, e), 2)
}

// Something in between that ends each watch at once must not be asked in a loop.
func TestWatchesThatBringNothingAreOpenedWithAPause(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("watch") {
			s.do(func() { s.watches++ })
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	e := watching(t, s)
	e.API, e.pause = server.URL, 0
	resolve(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := e.Resolve(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, 1, s.watches)
}

func TestAPoolKeepsItsTargetsWhileNoneIsReady(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	events := make(chan balancer.Event, 10)
	pool, err := balancer.New(balancer.Config{Resolver: watching(t, s), Events: func(e balancer.Event) { events <- e }})
	require.NoError(t, err)
	defer pool.Close()
	assert.Equal(t, balancer.Added, (<-events).Kind)
	s.remove("s0")
	assert.Equal(t, balancer.ResolveFailed, (<-events).Kind)
	assert.Len(t, pool.Endpoints(), 1)
	s.put("s0", pod("10.0.0.2", ""))
	assert.Equal(t, balancer.Added, (<-events).Kind)
	assert.Equal(t, balancer.Removed, (<-events).Kind)
}

// cluster is the environment and the files of a pod, and an API server by TLS.
func cluster(t *testing.T, s *apiServer) (account string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+token) {
			refuse(w, 401, "Unauthorized")
			return
		}
		s.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(s.cutWatches)
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	account = t.TempDir()
	for name, content := range map[string][]byte{
		"ca.crt":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		"token":     []byte(token + "\n"),
		"namespace": []byte("shop\n"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(account, name), content, 0o600))
	}
	return account
}

func TestTheServiceAccountsFilesAreUsedAndTheTokenIsReadAgain(t *testing.T) {
	s := newAPIServer(t)
	s.put("s0", pod("10.0.0.1", ""))
	account := cluster(t, s)
	e, err := connect("", account)
	require.NoError(t, err)
	t.Cleanup(e.Client.CloseIdleConnections)
	e.Service, e.Port = "orders", "http"
	assert.Equal(t, "shop", e.Namespace)
	assert.Len(t, resolve(t, e), 1)
	require.NoError(t, os.WriteFile(filepath.Join(account, "token"), []byte(token+"-2"), 0o600))
	s.put("s1", pod("10.0.0.2", ""))
	assert.Len(t, resolve(t, e), 2)
	assert.Contains(t, s.tokens, "Bearer "+token)
	assert.Contains(t, s.tokens, "Bearer "+token+"-2")
}

func TestAnAPIServerThatTheCADoesNotKnowGetsNoToken(t *testing.T) {
	s := newAPIServer(t)
	account := cluster(t, s)
	e, err := connect("", account)
	require.NoError(t, err)
	t.Cleanup(e.Client.CloseIdleConnections)
	e.Client = newClient(nil)
	_, _, err = e.Resolve(t.Context())
	assert.ErrorContains(t, err, "certificate")
	assert.Empty(t, s.tokens)
}

func TestOutsideOfAClusterItSaysWhatIsMissing(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	assert.ErrorContains(t, run(t.Context(), []string{"-service", "orders"}, io.Discard, nil), "-api")
	assert.ErrorContains(t, run(t.Context(), nil, io.Discard, nil), "-service")
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	assert.ErrorContains(t, run(t.Context(), []string{"-service", "orders", "-account", t.TempDir()}, io.Discard, nil), "ca.crt")
}

func TestTheGatewayServesFromThePodsOfTheService(t *testing.T) {
	var hosts atomic.Pointer[string]
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts.Store(&r.Host)
		fmt.Fprint(w, "served ", r.URL.Path)
	}))
	t.Cleanup(backend.Close)
	host, port, err := net.SplitHostPort(backend.Listener.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	s := newAPIServer(t)
	s.putSlice("s0", "IPv4", []object{{"name": "http", "port": number}}, pod(host, "a", "yes"))
	account := cluster(t, s)

	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan net.Addr, 1), make(chan error)
	go func() {
		args := []string{"-addr", "127.0.0.1:0", "-account", account, "-service", "orders", "-port", "http", "-zone", "a"}
		ended <- run(ctx, args, io.Discard, func(a net.Addr) { listening <- a })
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + (<-listening).String() + "/orders/7")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "served /orders/7", string(body))
	assert.Equal(t, "orders.shop.svc", *hosts.Load())
	cancel()
	assert.NoError(t, <-ended)
}
