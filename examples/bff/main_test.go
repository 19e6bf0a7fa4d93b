package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte(rand.Text() + rand.Text())

// inProcess is the wiring of the program over handlers: no sockets.
func inProcess(change func(*upstreams)) http.Handler {
	to := upstreams{
		users: gateway.Local(services["users"]), orders: gateway.Local(services["orders"]), offers: gateway.Local(services["offers"]),
	}
	if change != nil {
		change(&to)
	}
	return newGateway(to, key, slog.New(slog.DiscardHandler))
}

func ask(t *testing.T, h http.Handler, method, target, token string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func token(t *testing.T) string {
	t.Helper()
	s, err := demoToken(key)
	require.NoError(t, err)
	return s
}

const home = `{"profile":{"id":"ada","name":"Ada Lovelace","segment":"gold"},` +
	`"orders":[{"id":1,"total":12.50,"user":"ada"}],` +
	`"offers":[{"for":"gold","title":"Tea, 10 % off"}]}`

func TestHomeIsComposedOfThreeServices(t *testing.T) {
	w := ask(t, inProcess(nil), "GET", "/app/home", token(t), nil)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, home, w.Body.String())
	assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
}

func TestOrdersAreProxied(t *testing.T) {
	w := ask(t, inProcess(nil), "GET", "/app/orders/7%2F8", token(t), nil)
	assert.JSONEq(t, `{"id":"7/8","state":"shipped"}`, w.Body.String())
	w = ask(t, inProcess(nil), "POST", "/app/orders/", token(t), strings.NewReader("tea"))
	assert.Equal(t, 201, w.Code)
}

func TestHomeDoesWithoutOrdersAndOffers(t *testing.T) {
	down := gateway.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	w := ask(t, inProcess(func(to *upstreams) { to.orders, to.offers = down, down }), "GET", "/app/home", token(t), nil)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, `{"profile":{"id":"ada","name":"Ada Lovelace","segment":"gold"},"orders":[]}`, w.Body.String())
}

func TestHomeDoesNotWaitForAServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := gateway.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		start := time.Now()
		w := ask(t, inProcess(func(to *upstreams) { to.orders, to.offers = hangs, hangs }), "GET", "/app/home", token(t), nil)
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
	})
}

// Every refusal that the gateway makes itself is a problem document which says
// nothing of what is behind it.
func TestRefusalsAreProblems(t *testing.T) {
	claims := func(change func(*jwt.RegisteredClaims)) string {
		c := jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "ada", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}
		change(&c)
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(key)
		require.NoError(t, err)
		return s
	}
	foreign, err := demoToken([]byte(rand.Text() + rand.Text()))
	require.NoError(t, err)
	down := gateway.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("users-1.internal") }))
	tests := map[string]struct {
		method, target, token string
		body                  io.Reader
		status                int
	}{
		"no token":             {"GET", "/app/home", "", nil, 401},
		"expired token":        {"GET", "/app/home", claims(func(c *jwt.RegisteredClaims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }), nil, 401},
		"foreign key":          {"GET", "/app/home", foreign, nil, 401},
		"foreign issuer":       {"GET", "/app/home", claims(func(c *jwt.RegisteredClaims) { c.Issuer = "https://evil.test" }), nil, 401},
		"foreign audience":     {"GET", "/app/home", claims(func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"other"} }), nil, 401},
		"too large":            {"POST", "/app/orders/", token(t), bytes.NewReader(make([]byte, 1<<20+1)), 413},
		"too large in the end": {"POST", "/app/orders/", token(t), struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20+1))}, 413},
		"unknown path":         {"GET", "/app/nowhere", token(t), nil, 404},
		"wrong method":         {"DELETE", "/app/home", token(t), nil, 405},
		"upstream fails":       {"GET", "/app/home", token(t), nil, 502},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := inProcess(func(to *upstreams) {
				if test.status == 502 {
					to.users = down
				}
			})
			w := ask(t, h, test.method, test.target, test.token, test.body)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.NotContains(t, w.Body.String(), "users-1")
			if test.status == 401 {
				assert.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			}
			if test.status == 405 {
				assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
			}
		})
	}
}

func TestOverTheLimitIsRefusedWithRetryAfter(t *testing.T) {
	h := inProcess(nil)
	var last *httptest.ResponseRecorder
	for range 100 {
		if last = ask(t, h, "GET", "/app/home", token(t), nil); last.Code != 200 {
			break
		}
	}
	assert.Equal(t, 429, last.Code)
	assert.Equal(t, "1", last.Header().Get("Retry-After"))
	assert.Equal(t, "application/problem+json", last.Header().Get("Content-Type"))
}

// started runs the program with args and returns what it printed once it listens.
func started(t *testing.T, args ...string) (printed string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &syncBuffer{ready: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), out, io.Discard) }()
	select {
	case <-out.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return out.String(), stop
}

// syncBuffer says when the program has printed its last line.
type syncBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.buf.Write(p)
	if bytes.Contains(p, []byte("Ctrl-C")) {
		close(b.ready)
	}
	return n, err
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var curl = regexp.MustCompile(`(?m)^  curl (.*?)(http://\S+)$`)

func TestTheProgramDoesWhatItPrintsAndSurvivesKilledBackends(t *testing.T) {
	printed, stop := started(t)
	lines := curl.FindAllStringSubmatch(printed, -1)
	require.Len(t, lines, 4, "four lines to try: %s", printed)
	token := regexp.MustCompile(`TOKEN=(\S+)`).FindStringSubmatch(printed)[1]
	homeURL := lines[0][2]
	get := func(method, url, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
	status, body := get("GET", homeURL, token)
	assert.Equal(t, 200, status)
	assert.Equal(t, home, body)
	status, body = get("GET", lines[1][2], token)
	assert.Equal(t, 200, status)
	assert.JSONEq(t, `{"id":"1","state":"shipped"}`, body)
	status, _ = get("GET", lines[2][2], "")
	assert.Equal(t, 401, status)

	// The first replica of each service, then every replica of orders and offers.
	replicas := regexp.MustCompile(`(?m)^  (users|orders|offers) +(http://\S+)  (\w+)$`).FindAllStringSubmatch(printed, -1)
	require.Len(t, replicas, 9)
	for _, kind := range []string{"steady", "all"} {
		for _, r := range replicas {
			if r[3] == kind || kind == "all" && r[1] != "users" && r[3] != "steady" {
				status, body = get("POST", r[2]+"/die", "")
				assert.Equal(t, 200, status)
				assert.Equal(t, "killed\n", body)
			}
			status, body = get("GET", homeURL, token)
			assert.Equal(t, 200, status, "after %s of %s: %s", r[3], r[1], body)
			assert.Contains(t, body, "Ada Lovelace")
		}
	}
	assert.Contains(t, body, `"orders":[]`, "the default; offers may still be in the cache")
	stop()
}

func TestTheProgramStandsInFrontOfOtherBackends(t *testing.T) {
	users := httptest.NewServer(services["users"])
	defer users.Close()
	printed, stop := started(t, "-users", users.URL, "-orders", users.URL, "-offers", users.URL, "-key", string(key))
	defer stop()
	assert.NotContains(t, printed, "/die")
	url := regexp.MustCompile(`http://\S+/app/home`).FindString(printed)
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token(t))
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, 200, res.StatusCode)
}

func TestBadFlagsAreReportedAndNothingRuns(t *testing.T) {
	for _, args := range [][]string{{"-users", "nonsense"}, {"-addr", "nonsense"}, {"-nonsense"}} {
		assert.Error(t, run(context.Background(), args, io.Discard, io.Discard), fmt.Sprint(args))
	}
	assert.Panics(t, func() { _ = run(context.Background(), []string{"-key", "short"}, io.Discard, io.Discard) })
}
