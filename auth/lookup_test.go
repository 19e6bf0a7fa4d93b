package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (m *memory) size() (n int) {
	for i := range m.shards {
		n += m.shards[i].tokens.Len()
	}
	return n
}

// Anybody can make any number of guesses.
func TestLookupsOfGuessesPushOutOnlyEachOther(t *testing.T) {
	introspection, err := Introspection{URL: "https://id.test", MaxRemembered: 64}.compile()
	require.NoError(t, err)
	keys := APIKey{Remember: time.Hour, Store: KeyStoreFunc(func(context.Context, string) (*Principal, error) { return nil, nil })}
	for name, l := range map[string]*lookups{"introspection": introspection.lookups, "store": keys.storeLookups(&keyTable{})} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			l.ask = func(_ context.Context, secret string) (verified, error) {
				asked++
				if secret != "right" {
					return verified{}, denial("unknown")
				}
				return verified{principal: &Principal{Subject: "ann"}, until: time.Now().Add(time.Hour)}, nil
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			first, err := l.of(r, "right")
			require.NoError(t, err)
			for i := range 11_000 {
				_, err := l.of(r, fmt.Sprint("guess", i))
				require.Error(t, err)
			}
			again, err := l.of(r, "right")
			require.NoError(t, err)
			assert.Same(t, first, again)
			assert.Equal(t, 11_001, asked)
			assert.Equal(t, 1, l.right.size())
			assert.LessOrEqual(t, l.wrong.size(), rememberWrong)
		})
	}
}

// A store that does not heed its deadline keeps a look-up from ending, and must not keep
// later requests from another.
func TestLookupsDoNotJoinOneThatIsPastItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, release := 0, make(chan struct{})
		keys := APIKey{Store: KeyStoreFunc(func(context.Context, string) (*Principal, error) { return nil, nil }), Remember: time.Hour}
		l := keys.storeLookups(&keyTable{})
		l.ask = func(context.Context, string) (verified, error) {
			if asked++; asked == 1 {
				<-release
			}
			return verified{principal: &Principal{Subject: "ann"}, until: time.Now().Add(time.Hour)}, nil
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		_, err := l.of(r, "key")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		p, err := l.of(r, "key")
		require.NoError(t, err)
		assert.Equal(t, "ann", p.Subject)
		close(release)
	})
}
