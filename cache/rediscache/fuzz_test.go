package rediscache

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func FuzzMessage(f *testing.F) {
	f.Add(message("sender", name("key")))
	f.Add("")
	f.Add(" ")
	f.Add("a b c")
	f.Add("sender " + strings.Repeat(" ", nameSize))
	f.Fuzz(func(t *testing.T, text string) {
		sender, name, ok := parseMessage(text)
		if !ok {
			require.Empty(t, sender+name)
			return
		}
		require.Len(t, name, nameSize)
		require.Equal(t, text, message(sender, name))
	})
}

func FuzzValue(f *testing.F) {
	const most = 10
	r := &remote{max: most}
	for _, b := range []string{"", "\x01", "\x01value", "\x00", "other", "\x01" + strings.Repeat("x", most), strings.Repeat("\x01", most+2)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b string) {
		val, ok, err := r.value(redis.NewStringResult(b, nil))
		switch {
		case b == "":
			require.False(t, ok)
			require.NoError(t, err)
		case b[0] == format && len(b) <= most+1:
			require.True(t, ok)
			require.NoError(t, err)
			require.Equal(t, b[1:], string(val))
		default:
			require.False(t, ok)
			require.Nil(t, val)
			require.Error(t, err)
		}
	})
}

func TestMessagesAreOfOneLength(t *testing.T) {
	for _, key := range []string{"", strings.Repeat("k", 1<<20)} {
		sender, got, ok := parseMessage(message("sender", name(key)))
		require.True(t, ok)
		require.Equal(t, "sender", sender)
		require.Equal(t, name(key), got)
	}
}
