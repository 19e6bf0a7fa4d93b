package cache

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var recorded = diskFile{id: diskIDOf("key"), seq: 3, expires: 1 << 60}

// A key must not be read as a part of the value, nor the other way round.
func TestDiskRecordIsOfOneKey(t *testing.T) {
	b := append(diskPreamble(recorded, "key", []byte("value")), "value"...)
	val, err := diskValue(b, recorded, "key")
	require.NoError(t, err)
	assert.Equal(t, "value", string(val))
	assert.Equal(t, len(val), cap(val), "nothing can be appended to it in place")
	for _, key := range []string{"", "ke", "keyv", "Key"} {
		_, err = diskValue(b, recorded, key)
		assert.ErrorIs(t, err, errDiskRecord, key)
	}
	later, longer := recorded, recorded
	later.seq++
	longer.expires++
	for _, f := range []diskFile{later, longer} {
		_, err = diskValue(b, f, "key")
		assert.ErrorIs(t, err, errDiskRecord)
	}
	copy(b, "GWD2")
	_, err = diskValue(b, recorded, "key")
	assert.ErrorIs(t, err, errDiskRecord, "another version")
}

// What is read as a record is, byte for byte, what would be written.
func FuzzDiskRecord(f *testing.F) {
	record := append(diskPreamble(recorded, "key", []byte("value")), "value"...)
	f.Add(record, "key", uint64(3), int64(1<<60), false)
	f.Add(record[:len(record)-1], "key", uint64(3), int64(1<<60), true)
	f.Add([]byte("GWD1"), "", uint64(0), int64(0), false)
	f.Fuzz(func(t *testing.T, b []byte, key string, seq uint64, expires int64, summed bool) {
		file := diskFile{id: diskIDOf(key), seq: seq, expires: expires}
		if summed && len(b) >= diskHead { // or no input would come further than that
			copy(b, diskFormat)
			sum := diskSum(b[diskSumEnd:], nil)
			for i := range 8 {
				b[len(diskFormat)+i] = byte(sum >> (8 * i))
			}
		}
		val, err := diskValue(b, file, key)
		if err != nil {
			assert.Nil(t, val)
			return
		}
		assert.True(t, bytes.Equal(b, append(diskPreamble(file, key, val), val...)))
	})
}

func FuzzDiskName(f *testing.F) {
	f.Add(recorded.name())
	f.Add(recorded.draft())
	f.Add("00000000000000000000000000000000-+000000000000000-0x00000000000000")
	f.Fuzz(func(t *testing.T, name string) {
		file, ok := parseDiskName(name)
		if ok {
			assert.Equal(t, name, file.name())
			assert.GreaterOrEqual(t, file.expires, int64(0))
		}
		assert.False(t, ok && isDiskDraft(name))
	})
}
