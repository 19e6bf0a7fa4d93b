package oidc_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/auth/oidc"
	"github.com/gatewright/gateway/auth/oidc/redisstore"
	"github.com/gatewright/gateway/internal/redistest"
)

func TestGatewaysThatShareRedisRefreshASessionOnceAndEndItTogether(t *testing.T) {
	s := redistest.Start(t)
	get, logout, refreshes := oidc.TwoGateways(t, redisstore.New(s.Client(), "a:"), redisstore.New(s.Client(), "a:"))
	// The access token lasts a second, and is due in the last quarter of it.
	assert.Eventually(t, func() bool {
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				status, _ := get[i%2]()
				assert.Equal(t, http.StatusOK, status)
			})
		}
		group.Wait()
		return refreshes() > 0
	}, 10*time.Second, 20*time.Millisecond)
	for _, get := range get {
		status, token := get()
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "access-ac", token)
	}
	assert.Equal(t, 1, refreshes())
	assert.Equal(t, http.StatusOK, logout())
	for _, get := range get {
		status, _ := get()
		assert.Equal(t, http.StatusUnauthorized, status)
	}
}

func TestRedisThatDiesOrHangsLetsNobodyInSoon(t *testing.T) {
	for name, fail := range map[string]func(s *redistest.Server){
		"dies": (*redistest.Server).Kill, "hangs": (*redistest.Server).Stop,
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			get, logout, _ := oidc.TwoGateways(t, redisstore.New(s.Client(), "a:"), redisstore.New(s.Client(), "a:"))
			status, _ := get[0]()
			assert.Equal(t, http.StatusOK, status)
			fail(s)
			before := time.Now()
			status, _ = get[0]()
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.Equal(t, http.StatusServiceUnavailable, logout())
			assert.Less(t, time.Since(before), 6*time.Second)
		})
	}
}
