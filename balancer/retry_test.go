package balancer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// first picks the endpoints in the order of the targets.
var first = balancer.BalancerFunc(func(_ *http.Request, ready []*balancer.Endpoint) *balancer.Endpoint { return ready[0] })

func TestWhatIsSentAgain(t *testing.T) {
	status := func(code int, header ...string) tripper {
		return func(*http.Request) (*http.Response, error) {
			res := respond(code, "")
			if len(header) == 2 {
				res.Header.Set(header[0], header[1])
			}
			return res, nil
		}
	}
	fail := func(err error) tripper {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	readAndFail := func(err error) tripper {
		return func(r *http.Request) (*http.Response, error) {
			_, _ = io.ReadFull(r.Body, make([]byte, 2))
			return nil, err
		}
	}
	body := func() io.Reader { return stream(strings.NewReader("body")) }
	renewable := func() io.Reader { return strings.NewReader("body") }
	none := func() io.Reader { return nil }
	for name, c := range map[string]struct {
		method   string
		body     func() io.Reader
		upstream tripper
		again    bool
	}{
		"GET after a reset":                 {"GET", none, fail(reset), true},
		"GET after EOF":                     {"GET", none, fail(io.EOF), true},
		"GET after 502":                     {"GET", none, status(502), true},
		"GET after 503":                     {"GET", none, status(503), true},
		"GET after 504":                     {"GET", none, status(504), true},
		"GET after 503 with Retry-After":    {"GET", none, status(503, "Retry-After", "1"), true},
		"GET after 500":                     {"GET", none, status(500), false},
		"GET after 501":                     {"GET", none, status(501), false},
		"GET after 429":                     {"GET", none, status(429), false},
		"GET after 404":                     {"GET", none, status(404), false},
		"HEAD after a reset":                {"HEAD", none, fail(reset), true},
		"DELETE after a reset":              {"DELETE", none, fail(reset), true},
		"PUT after a reset, body renewable": {"PUT", renewable, readAndFail(reset), true},
		"PUT after a reset, body read":      {"PUT", body, readAndFail(reset), true},
		"PUT after a reset, body untouched": {"PUT", body, fail(reset), true},
		"PUT after 502, body read": {"PUT", body, func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			return respond(502, ""), nil
		}, true},
		"POST when refused":                    {"POST", body, fail(refused), true},
		"POST when refused, no body":           {"POST", none, fail(refused), true},
		"POST when refused, body read already": {"POST", body, readAndFail(refused), false},
		"POST after a reset":                   {"POST", body, fail(reset), false},
		"POST after a reset, body renewable":   {"POST", renewable, readAndFail(reset), false},
		"POST after 503":                       {"POST", none, status(503), false},
		"PATCH after a reset":                  {"PATCH", none, fail(reset), false},
		"PATCH when another gateway had none":  {"PATCH", none, fail(&gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable}), true},
		"GET after a fault of our own":         {"GET", none, fail(&gateway.Problem{Status: 401}), false},
	} {
		t.Run(name, func(t *testing.T) {
			var s seen
			var got []byte
			p := newPool(t, balancer.Config{
				Targets: []string{"http://a", "http://b"}, Balancer: first,
				Base: tripper(func(r *http.Request) (*http.Response, error) {
					s.add(r)
					if r.URL.Host == "a" {
						return c.upstream(r)
					}
					if r.Body != nil {
						got, _ = io.ReadAll(r.Body)
					}
					return respond(200, ""), nil
				}),
			})
			status, problem := exchange(t, p, request(t, c.method, "/", c.body()))
			if !c.again {
				assert.Equal(t, []string{"a"}, s.order)
				assert.True(t, problem != nil || status >= 400)
				return
			}
			require.Nil(t, problem)
			assert.Equal(t, 200, status)
			assert.Equal(t, []string{"a", "b"}, s.order)
			if c.body() != nil {
				assert.Equal(t, "body", string(got))
			}
		})
	}
}

// The first endpoint refuses the connection, the second gets all of it.
func TestABigBodySurvivesARefusedConnectionUnbuffered(t *testing.T) {
	var sum [32]byte
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		_, _ = io.Copy(h, r.Body)
		copy(sum[:], h.Sum(nil))
	})
	p := newPool(t, balancer.Config{Targets: []string{closedPort(t), s.URL}, Balancer: first})
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	body := &closeRecorder{Reader: bytes.NewReader(data)}
	status, problem := exchange(t, p, request(t, "POST", "/", body))
	require.Nil(t, problem)
	assert.Equal(t, 200, status)
	assert.Equal(t, sha256.Sum256(data), sum)
	assert.EqualValues(t, 1, body.closed.Load())
}

// The backend reads half of the body and hangs up.
func TestAHalfReadBodyIsNotSentAgainAndTheLogSaysWhy(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 1<<20))
		panic(http.ErrAbortHandler)
	})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	body := stream(bytes.NewReader(make([]byte, 5<<20)))
	_, problem := exchange(t, p, request(t, "PUT", "/", body))
	require.NotNil(t, problem)
	assert.Equal(t, http.StatusBadGateway, problem.Status)
	assert.ErrorContains(t, problem, "body was already read")
	assert.ErrorContains(t, problem, s.URL)
}

// stale is a backend that closes a kept connection just when it is used again.
type stale struct{ used bool }

func (s *stale) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = r.Body.Read(make([]byte, 1)) // as net/http probes bodies of unknown length
		defer r.Body.Close()
	}
	if !s.used {
		s.used = true
		return nil, errors.New("http: server closed idle connection")
	}
	return respond(200, ""), nil
}

func TestAStaleConnectionIsNotSeenByTheClient(t *testing.T) {
	for name, body := range map[string]io.Reader{"no body": nil, "an empty body": stream(strings.NewReader("")), "NoBody": http.NoBody} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, balancer.Config{Targets: []string{"http://a"}, Base: &stale{}})
			status, problem := exchange(t, p, request(t, "GET", "/", body))
			require.Nil(t, problem)
			assert.Equal(t, 200, status)
		})
	}
}

// A real backend that closes its idle connections between any two requests.
func TestAClosedKeepAliveConnectionIsReplayed(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	p := newPool(t, balancer.Config{Targets: []string{s.URL}})
	for i := range 50 {
		var body io.Reader // without one the transport replays by itself; with one it costs budget
		if i%10 == 9 {
			body = stream(strings.NewReader(""))
		}
		status, problem := exchange(t, p, request(t, "GET", "/", body))
		require.Nil(t, problem)
		require.Equal(t, 200, status)
		s.CloseClientConnections()
	}
}

func TestTheLastOutcomeStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		closed := 0
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Balancer: first,
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				s.add(r)
				if s.total() < 3 {
					res := respond(503, "busy")
					res.Body = struct {
						io.Reader
						io.Closer
					}{res.Body, closer(func() { closed++ })}
					return res, nil
				}
				return respond(504, "the last"), nil
			}),
		})
		begin := time.Now()
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		got, _ := io.ReadAll(res.Body)
		assert.Equal(t, "the last", string(got))
		assert.Equal(t, []string{"a", "b", "a"}, s.order, "another endpoint first")
		assert.LessOrEqual(t, time.Since(begin), 25*time.Millisecond)
		assert.Equal(t, 2, closed)
	})
}

type closer func()

func (c closer) Close() error { c(); return nil }

func TestARepeatAtTheSameEndpointWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Retry: balancer.Retry{Attempts: 8},
			Base: tripper(func(*http.Request) (*http.Response, error) {
				at = append(at, time.Since(begin))
				return nil, reset
			}),
		})
		_, problem := get(t, p)
		require.NotNil(t, problem)
		require.Len(t, at, 8)
		limit := 25 * time.Millisecond
		for i := range 7 {
			assert.LessOrEqual(t, at[i+1]-at[i], limit)
			limit = min(2*limit, 250*time.Millisecond)
		}
		assert.NotZero(t, at[7])
		assert.ErrorContains(t, problem, "attempts used up")
	})
}

func TestRetryAfterIsNotPressedAtTheSameEndpoint(t *testing.T) {
	var s seen
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a"},
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			s.add(r)
			res := respond(503, "")
			res.Header.Set("Retry-After", "5")
			return res, nil
		}),
	})
	status, _ := get(t, p)
	assert.Equal(t, 503, status)
	assert.Equal(t, 1, s.total())
}

func TestAContextThatEndsInTheBackoffEndsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seen
		ctx, cancel := context.WithCancel(t.Context())
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				s.add(r)
				time.AfterFunc(1, cancel)
				return respond(503, ""), nil
			}),
		})
		status, _ := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
		assert.Equal(t, 503, status)
		assert.Equal(t, 1, s.total())
		assert.Zero(t, p.Endpoints()[0].InFlight())
	})
}

// A backend that sends a header that promises a body, and then hangs.
func TestAHangingResponseDoesNotHoldUpTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Balancer: first,
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "b" {
					return respond(200, ""), nil
				}
				res := respond(503, "")
				res.Body, _ = io.Pipe()
				return res, nil
			}),
		})
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
		assert.LessOrEqual(t, time.Since(begin), 100*time.Millisecond)
	})
}

func TestARequestWhoseBodyCannotBeRenewedIsNotSentAgain(t *testing.T) {
	var s seen
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Balancer: first,
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			s.add(r)
			_, _ = io.Copy(io.Discard, r.Body)
			return nil, reset
		}),
	})
	r := request(t, "PUT", "/", strings.NewReader("body"))
	r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("the file is gone") }
	_, problem := exchange(t, p, r)
	require.NotNil(t, problem)
	assert.ErrorContains(t, problem, "the file is gone")
	assert.Equal(t, 1, s.total())
	for _, e := range p.Endpoints() {
		assert.Zero(t, e.InFlight())
	}
}

func TestAnIdempotencyKeyMakesAPostEligible(t *testing.T) {
	var got []string
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Balancer: first,
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, r.URL.Host+" "+string(body)+" "+r.Header.Get("Idempotency-Key"))
			if r.URL.Host == "a" {
				return nil, reset
			}
			return respond(200, ""), nil
		}),
	})
	r := request(t, "POST", "/", stream(strings.NewReader("body")))
	r.Header.Set("Idempotency-Key", `"8e03978e"`)
	status, problem := exchange(t, p, r)
	require.Nil(t, problem)
	assert.Equal(t, 200, status)
	assert.Equal(t, []string{`a body "8e03978e"`, `b body "8e03978e"`}, got)
}

// What is kept of a body for another attempt has a limit, and is whole or not used.
func TestABodyIsKeptUpToALimit(t *testing.T) {
	const limit = 64 << 10
	for size, again := range map[int]bool{limit: true, limit + 1: false, 3 * limit: false} {
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		var got [][]byte
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"}, Balancer: first,
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				got = append(got, body)
				return respond(502, ""), nil
			}),
			Retry: balancer.Retry{Attempts: 2},
		})
		_, _ = exchange(t, p, request(t, "PUT", "/", stream(bytes.NewReader(sent))))
		require.Len(t, got, map[bool]int{true: 2, false: 1}[again], size)
		for _, body := range got {
			assert.True(t, bytes.Equal(sent, body), size)
		}
	}
}

// The first backend answers 503 when it has read half of what the client has sent so far,
// its transport goes on reading, and the client goes on sending.
func TestTheSecondAttemptGetsWhatTheFirstGoesOnReading(t *testing.T) {
	client, body := io.Pipe()
	var late io.Reader
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Balancer: first,
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a" {
				_, _ = io.ReadFull(r.Body, make([]byte, 4))
				late = r.Body
				return respond(503, ""), nil
			}
			go func() { // it takes from the client what the second must have
				_, err := late.Read(make([]byte, 100))
				assert.Error(t, err)
			}()
			got, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "01234567", string(got))
			r.Body.Close()
			return respond(200, ""), nil
		}),
	})
	go func() {
		_, _ = io.WriteString(body, "0123")
		_, _ = io.WriteString(body, "4567")
		_ = body.Close()
	}()
	status, problem := exchange(t, p, request(t, "PUT", "/", client))
	require.Nil(t, problem)
	assert.Equal(t, 200, status)
}

// roundTripper is a tripper that leaves the body alone.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The only endpoint is overloaded and says for how long: whoever has the time waits.
func TestRetryAfterIsWaitedForWithinTheDeadline(t *testing.T) {
	for _, c := range []struct {
		deadline, wait time.Duration
		status         int
	}{{10 * time.Second, 2 * time.Second, 200}, {time.Second, 0, 503}, {0, 0, 503}} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			p := newPool(t, balancer.Config{
				Targets: []string{"http://a"},
				Base: tripper(func(*http.Request) (*http.Response, error) {
					if attempts++; attempts > 1 {
						return respond(200, ""), nil
					}
					res := respond(503, "")
					res.Header.Set("Retry-After", "2")
					return res, nil
				}),
			})
			ctx := t.Context()
			if c.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
				defer cancel()
			}
			begin := time.Now()
			status, _ := exchange(t, p, request(t, "GET", "/", nil).WithContext(ctx))
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.wait, time.Since(begin))
		})
	}
}

// An endpoint that hangs costs one attempt's time, not the request.
func TestAnAttemptHasATimeLimitOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://hangs", "http://b"}, Balancer: first,
			Retry: balancer.Retry{Timeout: time.Second},
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "hangs" {
					<-r.Context().Done()
					return nil, r.Context().Err() // as net/http does, and not the cause
				}
				res := respond(200, "")
				res.Body = slowBody{res.Body, r.Context()}
				return res, nil
			}),
		})
		begin := time.Now()
		res, err := p.RoundTrip(request(t, "GET", "/", nil))
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(begin))
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err, "the body may take longer")
		assert.Empty(t, got)
		res.Body.Close()

		post := request(t, "POST", "/", nil)
		_, problem := exchange(t, p, post)
		require.NotNil(t, problem)
		assert.Equal(t, http.StatusGatewayTimeout, problem.Status)
		assert.Equal(t, gateway.UpstreamTimeout, problem.Fault)
		assert.ErrorContains(t, problem, "http://hangs: the attempt took too long")
	})
}

// slowBody takes longer than an attempt may, and ends if its context does.
type slowBody struct {
	io.ReadCloser
	ctx context.Context
}

func (b slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Minute):
		return b.ReadCloser.Read(p)
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func TestThePoolsTimeoutIsOneForAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a", "http://b"},
			Retry:   balancer.Retry{Attempts: 100, Timeout: 400 * time.Millisecond}, Timeout: time.Second,
			Base: tripper(func(r *http.Request) (*http.Response, error) {
				attempts++
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}),
		})
		begin := time.Now()
		_, problem := get(t, p)
		require.NotNil(t, problem)
		assert.Equal(t, http.StatusGatewayTimeout, problem.Status)
		assert.InDelta(t, time.Second, time.Since(begin), float64(time.Millisecond))
		assert.InDelta(t, 3, attempts, 1)
	})
}
