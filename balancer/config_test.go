package balancer_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func TestNewReportsEveryFaultAtOnceAndStartsNothing(t *testing.T) {
	checked := make(chan struct{}, 100)
	p, err := balancer.New(balancer.Config{
		Targets: []string{
			"http://ok", "HTTP://OK:80/", "/relative", "ftp://files", "http://", "http://user:secret@host",
			"http://host?q=1", "http://host#", "http://host/a/../b", "http://host:99999", "http://[::1", "host:80",
		},
		Base:    tripper(func(*http.Request) (*http.Response, error) { checked <- struct{}{}; return respond(200, ""), nil }),
		Health:  balancer.Health{Path: "healthz", Every: -1, Timeout: -1, Fall: -1, Rise: -1},
		Retry:   balancer.Retry{Attempts: -1},
		Breaker: balancer.Breaker{Failures: -1, Cooldown: -time.Second},
	})
	require.Error(t, err)
	assert.Nil(t, p)
	for _, fault := range []string{
		`target 2: "HTTP://OK:80/" is target 1 again`,
		"target 3:", "target 4:", "target 5:", "target 6:", "target 7:", "target 8:", "target 9:", "target 10:", "target 11:", "target 12:",
		"Health.Path", "Health.Every", "Health.Timeout", "Health.Fall", "Health.Rise",
		"Retry.Attempts", "Breaker.Failures", "Breaker.Cooldown",
	} {
		assert.ErrorContains(t, err, fault)
	}
	assert.NotContains(t, err.Error(), "secret")
	assert.NotContains(t, err.Error(), "target 1:")
	assert.Empty(t, checked)
}

// misconfigured imitates a transport that knows at start-up what it would fail of later.
type misconfigured struct{ http.RoundTripper }

func (misconfigured) Check() error { return errors.New("no key") }

func TestNewReportsAMisconfiguredBase(t *testing.T) {
	_, err := balancer.New(balancer.Config{Targets: []string{"http://a"}, Base: misconfigured{}})
	require.ErrorContains(t, err, "balancer: Base: no key")
}

func TestNewNeedsATarget(t *testing.T) {
	_, err := balancer.New(balancer.Config{})
	require.ErrorContains(t, err, "no target")
	assert.Panics(t, func() { balancer.To() })
	assert.Panics(t, func() { balancer.Must(balancer.Config{Targets: []string{"nonsense"}}) })
}
