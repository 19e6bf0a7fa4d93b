package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/middleware"
	"github.com/stretchr/testify/assert"
)

func from(addr string) *http.Request {
	r := request("GET", "/")
	r.RemoteAddr = addr
	return r
}

func TestRateLimitLetsTheBurstThroughAndThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(middleware.PerSecond(10).Burst(3))(status(200))
		for range 3 {
			assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code)
		}
		w := serve(h, from("192.0.2.1:2"))
		assert.Equal(t, 429, w.Code)
		assert.Equal(t, "1", w.Header().Get("Retry-After"))
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))

		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code, "one more a tenth of a second later")
		assert.Equal(t, 429, serve(h, from("192.0.2.1:1")).Code)

		time.Sleep(time.Hour)
		for range 3 {
			assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code, "rest saves up the burst and no more")
		}
		assert.Equal(t, 429, serve(h, from("192.0.2.1:1")).Code)
	})
}

func TestRateLimitByMinuteHourAndDaySaysWhenToComeBack(t *testing.T) {
	for want, rate := range map[string]middleware.Rate{
		"60": middleware.PerMinute(1), "3600": middleware.PerHour(1), "86400": middleware.PerDay(1), "8640": middleware.PerDay(10).Burst(1),
	} {
		synctest.Test(t, func(t *testing.T) {
			h := middleware.RateLimit(rate)(status(200))
			assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code)
			assert.Equal(t, want, serve(h, from("192.0.2.1:1")).Header().Get("Retry-After"))
		})
	}
}

func TestRateLimitCountsClientsApartAndANetworkOfIPv6AsOne(t *testing.T) {
	h := middleware.RateLimit(middleware.PerDay(1))(status(200))
	for _, first := range []string{"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "nonsense"} {
		assert.Equal(t, 200, serve(h, from(first)).Code, first)
	}
	for _, again := range []string{"192.0.2.1:9", "[::ffff:192.0.2.1]:1", "[2001:db8::ffff]:1", "[2001:db8::1%eth0]:1", "other nonsense", ""} {
		assert.Equal(t, 429, serve(h, from(again)).Code, again)
	}
}

func TestRateLimitByKeyFallsBackToTheAddress(t *testing.T) {
	byKey := middleware.PerDay(1).By(func(r *http.Request) string { return r.Header.Get("Key") })
	h := middleware.RateLimit(byKey)(status(200))
	r := from("192.0.2.1:1")
	r.Header.Set("Key", "a")
	assert.Equal(t, 200, serve(h, r).Code)
	r.RemoteAddr = "192.0.2.2:1"
	assert.Equal(t, 429, serve(h, r).Code, "the key counts, wherever it comes from")
	assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code)
	assert.Equal(t, 429, serve(h, from("192.0.2.1:1")).Code, "no key is no way out")
}

func TestRateLimitNeverLetsMoreThanTheBurstThroughAtOnce(t *testing.T) {
	h := middleware.RateLimit(middleware.PerDay(50))(status(200))
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if serve(h, from("192.0.2.1:1")).Code == 200 {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 50, passed.Load())
}

func TestLimitLetsRequestsPassWhenTheLimiterFails(t *testing.T) {
	// A store over the network that is down.
	down := middleware.LimiterFunc(func(context.Context, string, int) (middleware.Decision, error) {
		return middleware.Decision{}, errors.New("connection refused")
	})
	h := middleware.Limit(down, func(*http.Request) string { return "k" })(status(200))
	assert.Equal(t, 200, serve(h, from("192.0.2.1:1")).Code)
}

func TestLimitDoesNotWaitForALimiterThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := middleware.LimiterFunc(func(ctx context.Context, _ string, _ int) (middleware.Decision, error) {
			<-ctx.Done()
			return middleware.Decision{}, ctx.Err()
		})
		start := time.Now()
		assert.Equal(t, 200, serve(middleware.Limit(hangs, func(*http.Request) string { return "k" })(status(200)), from("192.0.2.1:1")).Code)
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
	})
}

func TestRatesThatCannotBeKeptPanic(t *testing.T) {
	for i, bad := range []func(){
		func() { middleware.PerSecond(0) }, func() { middleware.PerMinute(-1) }, func() { middleware.PerSecond(2e9) },
		func() { middleware.PerSecond(1).Burst(0) }, func() { middleware.PerDay(1).Burst(1 << 40) },
		func() { middleware.PerSecond(1).By(nil) }, func() { middleware.RateLimit(middleware.Rate{}) },
		func() { middleware.Limit(nil, nil) },
	} {
		assert.Panics(t, bad, fmt.Sprint(i))
	}
}
