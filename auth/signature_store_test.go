package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSignatureAsksASharedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		a := partner()
		a.Seen = func(_ context.Context, id string, ttl time.Duration) (bool, error) {
			assert.Equal(t, 110*time.Second, ttl, "a Window more than the 50 s that are left")
			ids = append(ids, id)
			return len(ids) > 1, nil
		}
		r := ordered("")
		signAs(r, "sig", fmt.Sprintf(`%s;created=%d;keyid="acme-1"`, usual, time.Now().Add(-10*time.Second).Unix()))
		again := r.Clone(t.Context())
		assert.NotNil(t, serve(a, r).passed)
		refusedSignature(t, serve(a, again), "a replay")
		assert.Equal(t, ids[0], ids[1])
		assert.Len(t, ids[0], 64)
	})
}

func TestSignatureFailsClosedWithItsStores(t *testing.T) {
	down := errors.New("dial tcp 10.0.0.1: refused")
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	slow := func(ctx context.Context, _ string) (*SignatureKey, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(1500 * time.Millisecond):
			return nil, nil
		}
	}
	unknown := Signature{Find: func(context.Context, string) (*SignatureKey, error) { return nil, nil }}
	with := func(find func(context.Context, string) (*SignatureKey, error), seen func(context.Context, string, time.Duration) (bool, error)) Signature {
		a := partner()
		a.Seen = seen
		if find != nil {
			a.Keys, a.Find = nil, find
		}
		return a
	}
	tests := map[string]struct {
		a      Signature
		status int
	}{
		"memory down":      {with(nil, func(context.Context, string, time.Duration) (bool, error) { return false, down }), 503},
		"memory hangs":     {with(nil, func(ctx context.Context, _ string, _ time.Duration) (bool, error) { return false, hangs(ctx) }), 503},
		"keys down":        {with(func(context.Context, string) (*SignatureKey, error) { return nil, down }, nil), 503},
		"keys hang":        {with(func(ctx context.Context, _ string) (*SignatureKey, error) { return nil, hangs(ctx) }, nil), 503},
		"keys slow, twice": {with(slow, nil), 503},
		"key is bad":       {with(func(context.Context, string) (*SignatureKey, error) { return &SignatureKey{Key: []byte("short")}, nil }, nil), 503},
		"key unknown":      {unknown, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ordered("")
				signAs(r, "other", `();created=1;keyid="unknown"`)
				signAs(r, "sig", usual+now(""))
				begin := time.Now()
				s := serve(test.a, r)
				assert.Nil(t, s.passed)
				assert.Equal(t, test.status, s.Code)
				assert.NotContains(t, s.Body.String(), "10.0.0.1")
				assert.LessOrEqual(t, time.Since(begin), 2*time.Second)
			})
		})
	}
}

func TestSignatureOfAClientThatLeftIsNobodysFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := partner()
	a.Seen = func(ctx context.Context, _ string, _ time.Duration) (bool, error) { cancel(); return false, ctx.Err() }
	r := ordered("").WithContext(ctx)
	signAs(r, "sig", usual+now(""))
	assert.Equal(t, 499, serve(a, r).Code)
}

func TestSignatureFindsKeys(t *testing.T) {
	asked := 0
	a := partner()
	a.Keys, a.Find = nil, func(_ context.Context, id string) (*SignatureKey, error) {
		asked++
		k := partner().Keys[id]
		return &k, nil
	}
	r := ordered("")
	signAs(r, "sig", usual+now(""))
	assert.NotNil(t, serve(a, r).passed)
	assert.Equal(t, 1, asked)
	r = ordered("")
	signAs(r, "sig", usual+`;created=1;keyid="`+strings.Repeat("k", 257)+`"`)
	refusedSignature(t, serve(a, r), "no signature by a known key")
	assert.Equal(t, 1, asked, "what no key can be named is not asked for")
}
