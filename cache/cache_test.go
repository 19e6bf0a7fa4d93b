package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/internal/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a backend that counts, and answers with a body that says which answer it is.
type origin struct {
	mu    sync.Mutex
	seen  []*http.Request
	serve http.HandlerFunc
}

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.seen = append(o.seen, r)
	o.mu.Unlock()
	return gateway.Local(o.serve).RoundTrip(r)
}

func (o *origin) calls() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

func (o *origin) last() *http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[len(o.seen)-1]
}

// says returns an origin that answers with the fields, given as "Name: value", and
// a body that is the number of the request.
func says(lines ...string) *origin {
	o := &origin{}
	o.serve = func(w http.ResponseWriter, _ *http.Request) {
		add(w.Header(), lines)
		_, _ = io.WriteString(w, "answer "+string(rune('0'+o.calls())))
	}
	return o
}

func add(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

func over(base http.RoundTripper) *cache.Transport {
	return &cache.Transport{Base: base, Store: cache.Memory(1 << 20)}
}

// request makes one as it comes out of gateway.Proxy: without a host in the URL.
func request(method, path string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.URL.Host, r.URL.Scheme, r.Host, r.RequestURI = "", "", "", ""
	r.Body = nil
	add(r.Header, lines)
	return r
}

type reply struct {
	*http.Response
	body string
}

func (r reply) status() string { return strings.Join(r.Header["Cache-Status"], ", ") }

func do(t *testing.T, rt http.RoundTripper, r *http.Request) reply {
	t.Helper()
	res, err := rt.RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return reply{res, string(body)}
}

func get(t *testing.T, rt http.RoundTripper, path string, lines ...string) reply {
	t.Helper()
	return do(t, rt, request("GET", path, lines...))
}

// as makes r one of an authenticated user, whose credentials the gateway took away.
func as(user string, r *http.Request) *http.Request {
	return r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: principal(user)}))
}

type principal string

func (p principal) Claim(name string) (string, bool) { return string(p), name == "sub" }

// store is a Cache made of functions; what is nil is done by Memory.
type store struct {
	cache.Cache
	get func(ctx context.Context, key string) ([]byte, bool, error)
	set func(ctx context.Context, key string, val []byte, ttl time.Duration) error
	del func(ctx context.Context, key string) error
}

func (s *store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if s.get != nil {
		return s.get(ctx, key)
	}
	return s.Cache.Get(ctx, key)
}

func (s *store) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if s.set != nil {
		return s.set(ctx, key, val, ttl)
	}
	return s.Cache.Set(ctx, key, val, ttl)
}

func (s *store) Delete(ctx context.Context, key string) error {
	if s.del != nil {
		return s.del(ctx, key)
	}
	return s.Cache.Delete(ctx, key)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// raw answers with what a server's bytes would be read as.
func raw(header http.Header, body io.ReadCloser, length int64) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: header,
			Body: body, ContentLength: length, Request: r,
		}, nil
	}
}

// breaking is a body that breaks off, as of a backend that dies.
func breaking(s string) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewBufferString(s), failing{}))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }
