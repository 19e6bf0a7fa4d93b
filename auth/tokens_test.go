package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// tokenDesk is an authorization server in memory. It numbers the tokens it gives out.
type tokenDesk struct {
	life  time.Duration // of a token; zero: it does not say
	takes time.Duration // to answer
	fails atomic.Int32  // the status it answers; zero: it gives a token
	after string        // Retry-After, if it fails
	asked atomic.Int32
}

func (d *tokenDesk) RoundTrip(r *http.Request) (*http.Response, error) {
	n := d.asked.Add(1)
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status := int(d.fails.Load()); status != 0 {
		res := replying(status, "application/json", `{"error":"temporarily_unavailable","error_description":"`+clientSecret+`"}`)
		if d.after != "" {
			res.Header.Set("Retry-After", d.after)
		}
		return res, nil
	}
	expires := ""
	if d.life > 0 {
		expires = fmt.Sprintf(`,"expires_in":%d`, int(d.life/time.Second))
	}
	return replying(200, "application/json", fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer"%s}`, n, expires)), nil
}

// bearers is a backend that answers with the token it was shown, and 401 to those it was
// told to refuse.
type bearers struct {
	refuses func(token string) bool
	calls   atomic.Int32
}

func (b *bearers) RoundTrip(r *http.Request) (*http.Response, error) {
	b.calls.Add(1)
	body := ""
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(text)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if b.refuses != nil && b.refuses(token) {
		return replying(401, "text/plain", "no"), nil
	}
	return replying(200, "text/plain", token+body), nil
}

func ownToken(d *tokenDesk, b http.RoundTripper) *auth.ClientCredentials {
	return &auth.ClientCredentials{Base: b, TokenURL: "https://id.test/token", ClientID: "gw", ClientSecret: clientSecret, Transport: d}
}

// shown sends a request and returns the token that the backend was shown, or the status.
func shown(t *testing.T, transport http.RoundTripper, r *http.Request) string {
	t.Helper()
	res, err := transport.RoundTrip(r)
	if err != nil {
		assert.NotContains(t, err.Error(), clientSecret)
		p := gateway.ProblemOf(err)
		return fmt.Sprintf("%d %s %v", p.Status, p.Fault, p.RetryAfter)
	}
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	return string(text)
}

func TestTokenIsRenewedBeforeItExpiresAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: 100 * time.Second, takes: 2 * time.Second}
		transport := ownToken(desk, &bearers{})
		ask := func() (string, time.Duration) {
			began := time.Now()
			token := shown(t, transport, asking(t.Context(), nil, ""))
			return token, time.Since(began)
		}
		token, took := ask()
		assert.Equal(t, []any{"t1", 2 * time.Second}, []any{token, took}, "the first waits")
		time.Sleep(69 * time.Second) // it was asked for 71 s ago, and is used for 90
		token, took = ask()
		assert.Equal(t, []any{"t1", time.Duration(0)}, []any{token, took})
		assert.EqualValues(t, 1, desk.asked.Load())
		time.Sleep(time.Second)
		for range 3 {
			token, took = ask()
			assert.Equal(t, []any{"t1", time.Duration(0)}, []any{token, took}, "the old one while the new one comes")
		}
		time.Sleep(3 * time.Second)
		token, took = ask()
		assert.Equal(t, []any{"t2", time.Duration(0)}, []any{token, took})
		assert.EqualValues(t, 2, desk.asked.Load())
		time.Sleep(time.Hour)
		token, took = ask()
		assert.Equal(t, []any{"t3", 2 * time.Second}, []any{token, took}, "nobody asked meanwhile")
	})
}

func TestTokenIsUsedForAsLongAsItIsGood(t *testing.T) {
	tests := map[string]struct{ life, used time.Duration }{
		"an hour":     {time.Hour, time.Hour - 10*time.Second},
		"not said":    {0, 5*time.Minute - 10*time.Second},
		"short":       {10 * time.Second, 9 * time.Second},
		"a year":      {365 * 24 * time.Hour, 24*time.Hour - 10*time.Second},
		"for 2^31-1s": {(1<<31 - 1) * time.Second, 24*time.Hour - 10*time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				desk := &tokenDesk{life: test.life}
				transport := ownToken(desk, &bearers{})
				ask := func() string { return shown(t, transport, asking(t.Context(), nil, "")) }
				assert.Equal(t, "t1", ask())
				desk.fails.Store(500)
				time.Sleep(test.used - time.Nanosecond)
				assert.Equal(t, "t1", ask())
				time.Sleep(time.Nanosecond)
				assert.NotEqual(t, "t1", ask())
			})
		})
	}
}

func TestTokenStaysInUseWhileItsRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: 1000 * time.Second}
		transport := ownToken(desk, &bearers{})
		ask := func() string { return shown(t, transport, asking(t.Context(), nil, "")) }
		assert.Equal(t, "t1", ask())
		desk.fails.Store(503)
		time.Sleep(800 * time.Second)
		for range 180 { // one a second, with 10 left
			assert.Equal(t, "t1", ask())
			time.Sleep(time.Second)
		}
		// At 0, 1, 3, 7, 15, 31 s, and every 30 s from then on.
		assert.EqualValues(t, 1+6+4, desk.asked.Load())
		desk.fails.Store(0)
		time.Sleep(10 * time.Second)
		assert.Equal(t, "t12", ask(), "no longer good, and no longer failing")
	})
}

func TestTokenFailureIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{}
		desk.fails.Store(503)
		transport := ownToken(desk, &bearers{})
		ask := func() string { return shown(t, transport, asking(t.Context(), nil, "")) }
		assert.Equal(t, "503 upstream_status 1s", ask())
		time.Sleep(300 * time.Millisecond)
		for range 100 {
			assert.Equal(t, "503 upstream_status 700ms", ask())
		}
		assert.EqualValues(t, 1, desk.asked.Load())
		time.Sleep(700 * time.Millisecond)
		assert.Equal(t, "503 upstream_status 2s", ask())
		assert.EqualValues(t, 2, desk.asked.Load())
		time.Sleep(2 * time.Second)
		desk.after = "20"
		assert.Equal(t, "503 upstream_status 20s", ask(), "as it says itself")
		time.Sleep(20 * time.Second)
		desk.after = "86400"
		assert.Equal(t, "503 upstream_status 30s", ask(), "but not for a day")
		time.Sleep(30 * time.Second)
		desk.fails.Store(0)
		assert.Equal(t, "t5", ask())
		assert.EqualValues(t, 5, desk.asked.Load())
		desk.fails.Store(500)
		desk.after = ""
		time.Sleep(5 * time.Minute)
		assert.Equal(t, "503 upstream_status 1s", ask(), "what was before the success is forgotten")
	})
}

func TestTokenIsFetchedOnceForAThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour, takes: time.Second}
		transport := ownToken(desk, &bearers{})
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { assert.Equal(t, "t1", shown(t, transport, asking(t.Context(), nil, ""))) })
		}
		all.Wait()
		assert.EqualValues(t, 1, desk.asked.Load())
	})
}

func TestTokenWaitersLeaveWhenTheyLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour, takes: 5 * time.Second}
		transport := ownToken(desk, &bearers{})
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			r := asking(first, nil, "")
			body := &closes{Reader: strings.NewReader("x")}
			r.Body = body
			_, err := transport.RoundTrip(r)
			assert.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, gateway.ClientCanceled, gateway.ProblemOf(err).Fault)
			assert.True(t, body.closed)
		})
		synctest.Wait()
		all.Go(func() {
			hasty, done := context.WithTimeout(t.Context(), time.Second)
			defer done()
			assert.Equal(t, "504 upstream_timeout 0s", shown(t, transport, asking(hasty, nil, "")))
		})
		all.Go(func() { assert.Equal(t, "t1", shown(t, transport, asking(t.Context(), nil, ""))) })
		cancel() // it is the one that has begun the fetch
		all.Wait()
		assert.EqualValues(t, 1, desk.asked.Load())
	})
}

func TestTokenRequestHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := ownToken(&tokenDesk{takes: time.Hour}, &bearers{})
		began := time.Now()
		assert.Equal(t, "503 upstream_timeout 1s", shown(t, transport, asking(t.Context(), nil, "")))
		assert.Equal(t, 10*time.Second, time.Since(began))
		transport = ownToken(&tokenDesk{takes: time.Hour}, &bearers{})
		transport.Timeout = time.Second
		began = time.Now()
		assert.Equal(t, "503 upstream_timeout 1s", shown(t, transport, asking(t.Context(), nil, "")))
		assert.Equal(t, time.Second, time.Since(began))
	})
}

// A transport that is deaf to its context keeps its goroutine, but only one of them.
func TestTokenRequestThatDoesNotEndKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, end := atomic.Int32{}, make(chan struct{})
		transport := ownToken(nil, &bearers{})
		transport.Transport = sending(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			<-end
			return nil, errors.New("at last")
		})
		for range 3 {
			assert.Equal(t, "503 upstream_timeout 1s", shown(t, transport, asking(t.Context(), nil, "")))
		}
		assert.EqualValues(t, 1, calls.Load())
		close(end)
		synctest.Wait()
	})
}

func TestTokenRequestThatPanicsIsAFailure(t *testing.T) {
	for name, f := range map[string]func(){
		"panic":  func() { panic(clientSecret) },
		"abort":  func() { panic(http.ErrAbortHandler) },
		"Goexit": runtime.Goexit,
	} {
		synctest.Test(t, func(t *testing.T) {
			transport := ownToken(nil, &bearers{})
			transport.Transport = sending(func(*http.Request) (*http.Response, error) { f(); return nil, nil })
			assert.Equal(t, "500 gateway_internal 1s", shown(t, transport, asking(t.Context(), nil, "")), name)
		})
	}
}

func TestRefusedTokenIsDroppedAndTheRequestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour}
		revoked := ""
		backend := &bearers{refuses: func(token string) bool { return token == revoked }}
		transport := ownToken(desk, backend)
		ask := func(edit func(*http.Request)) string {
			r := asking(t.Context(), nil, "")
			edit(r)
			return shown(t, transport, r)
		}
		assert.Equal(t, "t1", ask(func(*http.Request) {}))
		time.Sleep(10 * time.Second)

		revoked = "t1"
		assert.Equal(t, "t2", ask(func(*http.Request) {}), "without a body")
		time.Sleep(10 * time.Second)

		revoked = "t2"
		got := ask(func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(" body")), nil }
			r.Body, _ = r.GetBody()
		})
		assert.Equal(t, "t3 body", got, "with a body that can be had again")
		time.Sleep(10 * time.Second)

		revoked = "t3"
		got = ask(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(" body")) })
		assert.Equal(t, "401", got, "with a body that cannot")
		assert.Equal(t, "t4", ask(func(*http.Request) {}), "but the next has a new token")
		time.Sleep(10 * time.Second)

		revoked = "t4"
		got = ask(func(r *http.Request) {
			r.Body, r.GetBody = io.NopCloser(strings.NewReader("")), func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		})
		assert.Equal(t, "401", got, "with one that says it can")
		time.Sleep(10 * time.Second)

		revoked = "t5"
		desk.fails.Store(500)
		assert.Equal(t, "401", ask(func(*http.Request) {}), "no other token")
	})
}

func TestRefusedTokensDoNotMakeOneFetchEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour}
		backend := &bearers{refuses: func(string) bool { return true }}
		transport := ownToken(desk, backend)
		for range 100 { // ten a second
			assert.Equal(t, "401", shown(t, transport, asking(t.Context(), nil, "")))
			time.Sleep(100 * time.Millisecond)
		}
		assert.LessOrEqual(t, desk.asked.Load(), int32(3))
		assert.LessOrEqual(t, backend.calls.Load(), int32(103))
	})
}

// A storm: all had the same token when it was revoked.
func TestRefusedTokenIsReplacedOnceForAllWhoHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour, takes: time.Second}
		slow := sending(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Minute)
			return (&bearers{refuses: func(token string) bool { return token == "t1" }}).RoundTrip(r)
		})
		transport := ownToken(desk, slow)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { assert.Equal(t, "t2", shown(t, transport, asking(t.Context(), nil, ""))) })
		}
		all.Wait()
		assert.EqualValues(t, 2, desk.asked.Load())
	})
}

// They had the same token too, but learn one after the other that it was revoked.
func TestRefusedTokenDoesNotTakeItsSuccessorWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &tokenDesk{life: time.Hour}
		backend := &bearers{refuses: func(token string) bool { return token == "t1" }}
		transport := ownToken(desk, sending(func(r *http.Request) (*http.Response, error) {
			d, _ := time.ParseDuration(r.Header.Get("X-Takes"))
			time.Sleep(d)
			return backend.RoundTrip(r)
		}))
		var all sync.WaitGroup
		for i := range 20 {
			r := asking(t.Context(), nil, "")
			r.Header.Set("X-Takes", fmt.Sprint(time.Duration(i+6)*time.Second))
			all.Go(func() { assert.Equal(t, "t2", shown(t, transport, r)) })
		}
		all.Wait()
		assert.EqualValues(t, 2, desk.asked.Load())
	})
}
