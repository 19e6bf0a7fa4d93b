package compose_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
)

// A transport that never gives up, where another part has decided.
func TestATransportThatIgnoresItsContextDoesNotHoldTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Hour)
			return response(200, `1`), nil
		})
		b := &backend{answers: map[string]string{}, delay: map[string]time.Duration{"/gone": time.Second}}
		for name, deafPart := range map[string]compose.Part{"required": compose.Get("deaf", deaf, "/"), "optional with a timeout": compose.Get("deaf", deaf, "/").Timeout(time.Second).Optional()} {
			start := time.Now()
			get(t, compose.New(compose.Get("gone", b, "/gone"), deafPart), "/", nil)
			assert.Equal(t, time.Second, time.Since(start), name)
		}
		time.Sleep(2 * time.Hour) // a bubble waits for all that is in it
	})
}

// Eight levels of four parts would be 87,000 calls.
func TestWideRecursionEndsSoon(t *testing.T) {
	var calls atomic.Int32
	gw := gateway.New()
	self := counting(gw, &calls)
	gw.Handle("GET /x", compose.New(
		compose.Get("a", self, "/x").Optional(), compose.Get("b", self, "/x").Optional(), compose.Get("c", self, "/x").Optional(), compose.Get("d", self, "/x").Optional(),
	))
	start := time.Now()
	get(t, gw, "/x", nil)
	assert.Less(t, calls.Load(), int32(1000), "%v", time.Since(start))
}

// A RoundTripper's context.Canceled of its own making is taken for the client's.
func TestATransportThatSaysItWasCanceledHasFailed(t *testing.T) {
	w := get(t, compose.New(compose.Get("a", failing(fmt.Errorf("pool: %w", context.Canceled)), "/")), "/", nil)
	assert.Equal(t, 502, w.Code)
}

// 206 is half of something, as a part never asks for a range.
func TestHalfAnAnswerIsNone(t *testing.T) {
	assert.Equal(t, 502, get(t, compose.New(compose.Get("a", answering(206, `[1]`), "/")), "/", nil).Code)
}
