package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzForwarded(f *testing.F) {
	f.Add("for=a;host=b", "evil")
	f.Add(`for="a,b";by=`, `"`)
	f.Fuzz(func(t *testing.T, line, host string) {
		plain := appendForwarded(nil, line)
		require.Equal(t, plain, appendForwarded(nil, "for=client, by=x,"+line), "who asks does not count")
		require.NotEqual(t, plain, appendForwarded(nil, line+";host="+host), "another host does")
	})
}
