package balancer

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// Whatever a message says, what is appended to it has the last word; unless it is no message.
func FuzzHealthCheckResponse(f *testing.F) {
	for _, message := range []string{
		"", "\x08\x01", "\x08\x00", "\x08\x81\x80\x00", "\x0a\x02hi\x08\x01", "\x11........", "\x15....", "\x13", "\x08",
		"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x00\x00",
	} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		_ = servingStatus(message) // not framed
		if err := servingStatus(framed(message)); errors.Is(err, errProto) {
			return
		}
		message = message[:len(message):len(message)]
		require.NoError(t, servingStatus(framed(append(message, 1<<3, 1))))
		require.EqualError(t, servingStatus(framed(append(message, 1<<3, 2))), "NOT_SERVING")
		require.Error(t, servingStatus(framed(append(message, 1<<3))))
	})
}
