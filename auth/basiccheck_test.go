package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/gatewright/gateway"
)

func annsBasic(t *testing.T, b Basic) *passwords {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	require.NoError(t, err)
	b.Users = map[string]string{"ann": string(hash)}
	v, err := b.build()
	require.NoError(t, err)
	return v.(*passwords)
}

// try returns the status that the password gets.
func try(v *passwords, user, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(user, password)
	if _, err := v.Authenticate(r); err != nil {
		return gateway.ProblemOf(err).Status
	}
	return http.StatusOK
}

// busy takes all slots, as passwords that take for ever do.
func busy(v *passwords) (free func()) {
	for range cap(v.slots) {
		v.slots <- struct{}{}
	}
	return func() {
		for range cap(v.slots) {
			<-v.slots
		}
	}
}

func TestBasicWaitsForASlotAndNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := annsBasic(t, Basic{Timeout: time.Second, MaxConcurrent: 2})
		free := busy(v)
		start := time.Now()
		assert.Equal(t, http.StatusServiceUnavailable, try(v, "ann", "right"))
		assert.Equal(t, http.StatusServiceUnavailable, try(v, "unknown", "right"))
		assert.Equal(t, 2*time.Second, time.Since(start))

		var wg sync.WaitGroup
		wg.Go(func() { assert.Equal(t, http.StatusOK, try(v, "ann", "right")) })
		synctest.Wait()
		free()
		wg.Wait()
		assert.Empty(t, v.slots)
	})
}

func TestBasicRemembersRightPasswordsForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			remember, keeps time.Duration
		}{"zero": {0, time.Minute}, "an hour": {time.Hour, time.Hour}} {
			v := annsBasic(t, Basic{Remember: test.remember})
			assert.Equal(t, http.StatusOK, try(v, "ann", "right"))
			busy(v) // nothing can be computed any more
			time.Sleep(test.keeps - time.Nanosecond)
			assert.Equal(t, http.StatusOK, try(v, "ann", "right"), name)
			assert.Equal(t, http.StatusServiceUnavailable, try(v, "ann", "wrong"), name)
			assert.Equal(t, http.StatusServiceUnavailable, try(v, "bob", "right"), name)
			time.Sleep(time.Nanosecond)
			assert.Equal(t, http.StatusServiceUnavailable, try(v, "ann", "right"), name)
		}
		v := annsBasic(t, Basic{Remember: -1})
		assert.Equal(t, http.StatusOK, try(v, "ann", "right"))
		busy(v)
		assert.Equal(t, http.StatusServiceUnavailable, try(v, "ann", "right"))
	})
}

func TestBasicAsksMemoryAgainAfterItHasWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := annsBasic(t, Basic{MaxConcurrent: 1})
		free := busy(v)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { assert.Equal(t, http.StatusOK, try(v, "ann", "computed meanwhile")) })
		}
		synctest.Wait()
		v.right.add(v.key.sum("ann", "computed meanwhile", string(v.users["ann"].hash)), time.Now())
		free()
		wg.Wait()
	})
}

func TestBasicRemembersNoRefusalAndBoundedlyMany(t *testing.T) {
	v := annsBasic(t, Basic{})
	for range 3 {
		assert.Equal(t, http.StatusUnauthorized, try(v, "ann", "wrong"))
		assert.Equal(t, http.StatusUnauthorized, try(v, "bob", "right"), "the decoy's password is nobody's")
	}
	assert.Zero(t, v.right.until.Len())
	for i := range 3 * defaultRemember {
		v.right.add(v.key.sum(strconv.Itoa(i)), time.Now())
	}
	assert.Equal(t, defaultRemember, v.right.until.Len())
}

func TestBasicGivesFindItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Basic{Timeout: time.Second, Find: func(ctx context.Context, _ string) (string, *Principal, error) {
			<-ctx.Done() // a database that does not answer
			return "", nil, ctx.Err()
		}}
		v, err := b.build()
		require.NoError(t, err)
		start := time.Now()
		assert.Equal(t, http.StatusServiceUnavailable, try(v.(*passwords), "ann", "right"))
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestBasicDecoyIsOfAKnownKindAndAlwaysTheSame(t *testing.T) {
	v := annsBasic(t, Basic{})
	v.users["bob"], v.names = account{hash: firstDecoy}, append(v.names, "bob")
	kinds := map[passwordHash]int{}
	for i := range 200 {
		name := fmt.Sprint("unknown", i)
		first := v.decoyFor(name)
		assert.Equal(t, first, v.decoyFor(name))
		kinds[first]++
	}
	assert.Len(t, kinds, 2)
	v.find = func(context.Context, string) (string, *Principal, error) { return "", nil, errors.New("") }
	v.names = nil
	assert.Equal(t, firstDecoy, v.decoyFor("x"))
	v.decoy.take("$2a$")
	assert.Equal(t, passwordHash("$2a$"), v.decoyFor("x"))
	_, err := newPasswordHash(string(firstDecoy))
	require.NoError(t, err)
}

func FuzzBasic(f *testing.F) {
	for _, s := range []string{"YW5uOng=", "YW5u", "OjpvOg==", "YW5uOng", "YW5uOgA=", "", "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		user, password, err := userAndPassword(encoded)
		if err != nil {
			assert.Empty(t, user+password)
			return
		}
		assert.NotContains(t, user, ":")
		assert.True(t, isBasicText(user+password))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(user, password)
		assert.Equal(t, "Basic "+encoded, r.Header.Get("Authorization"), "credentials have one spelling")
	})
}

func FuzzPasswordHash(f *testing.F) {
	f.Add(string(firstDecoy))
	f.Add("$2a$04$" + strings.Repeat("a", 53))
	f.Fuzz(func(t *testing.T, text string) {
		if hash, err := newPasswordHash(text); err == nil {
			assert.Less(t, len(hash), 300)
			return
		} else if len(text) > 20 {
			assert.NotContains(t, err.Error(), text)
		}
	})
}
