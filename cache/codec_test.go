package cache

import (
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func anEntry() *entry {
	return &entry{
		key: "the key", uri: "/a", born: time.Unix(1_699_999_999, 1), groups: []string{"g"}, whileRevalidate: time.Second, ifError: time.Minute, received: time.Unix(1_700_000_000, 42), age: 3 * time.Second, lifetime: time.Minute, strict: true,
		status: 404, header: http.Header{"Etag": {`"x"`}, "Via": {"a", "b"}, "X-Empty": {""}}, body: []byte("body"),
	}
}

func anIndex() *index {
	return &index{
		key: "the key", generation: "g", until: time.Unix(1_700_000_000, 0),
		names: []string{"Accept", "Origin"}, variants: []string{"1", "2"},
	}
}

func TestAnEntrySurvivesTheStore(t *testing.T) {
	got, ok := decodeEntry(anEntry().encode(), "the key")
	require.True(t, ok)
	require.Equal(t, anEntry(), got)
}

func TestAnIndexSurvivesTheStore(t *testing.T) {
	got, ok := decodeIndex(anIndex().encode(), "the key")
	require.True(t, ok)
	require.Equal(t, anIndex(), got)
}

func TestARecordOfAnotherKeyIsNotThere(t *testing.T) {
	_, ok := decodeEntry(anEntry().encode(), "another")
	require.False(t, ok)
	_, ok = decodeIndex(anIndex().encode(), "another")
	require.False(t, ok)
}

func TestARecordOfAnotherKindIsNotThere(t *testing.T) {
	_, ok := decodeEntry(anIndex().encode(), "the key")
	require.False(t, ok)
	_, ok = decodeIndex(anEntry().encode(), "the key")
	require.False(t, ok)
}

func TestARecordWithABitFlippedOrCutIsNotThere(t *testing.T) {
	record := anEntry().encode()
	for i := range record {
		for bit := range 8 {
			bad := append([]byte(nil), record...)
			bad[i] ^= 1 << bit
			_, ok := decodeEntry(bad, "the key")
			require.False(t, ok, "byte %d bit %d", i, bit)
		}
		_, ok := decodeEntry(record[:i], "the key")
		require.False(t, ok)
	}
	_, ok := decodeEntry(append(record, 0), "the key")
	require.False(t, ok)
}

func FuzzRecord(f *testing.F) {
	f.Add(anEntry().encode(), true)
	f.Add(anIndex().encode(), true)
	f.Add([]byte("<html>"), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed && len(b) > prefixSize { // past the checksum, where a fuzzer does not come by itself
			b = append([]byte(nil), b...)
			copy(b, format)
			binary.LittleEndian.PutUint32(b[len(format):], crc32.Checksum(b[prefixSize:], castagnoli))
		}
		if e, ok := decodeEntry(b, "the key"); ok {
			again, ok := decodeEntry(e.encode(), "the key")
			require.True(t, ok)
			require.Equal(t, e, again)
			require.GreaterOrEqual(t, e.keep(time.Now()), time.Duration(0))
		}
		if x, ok := decodeIndex(b, "the key"); ok {
			again, ok := decodeIndex(x.encode(), "the key")
			require.True(t, ok)
			require.Equal(t, x, again)
		}
	})
}
