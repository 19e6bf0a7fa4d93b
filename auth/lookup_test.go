package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
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
