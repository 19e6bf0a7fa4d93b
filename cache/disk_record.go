package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// A record is what the file of an entry holds: the format's name and version, a
// checksum of the rest, the sequence number, the expiry, the length of the key, the
// key, and the value. The checksum is against accidents; who can write to the
// directory can write responses.
const (
	diskFormat = "GWD1"
	diskSumEnd = len(diskFormat) + 8
	diskHead   = diskSumEnd + 8 + 8 + 8
)

// errDiskRecord says that a file is not the record that its name promises.
var errDiskRecord = errors.New("not the entry's record")

// diskID is a hash of a key. It is one that cannot be chosen, so that nobody makes keys
// that push out another's. Should two be equal all the same, the key in the record
// decides.
type diskID [16]byte

func diskIDOf(key string) diskID {
	sum := sha256.Sum256([]byte(key))
	return diskID(sum[:16])
}

func diskSize(key string, val []byte) int64 {
	return int64(diskHead) + int64(len(key)) + int64(len(val))
}

// diskPreamble returns the record of f up to its value.
func diskPreamble(f diskFile, key string, val []byte) []byte {
	b := append(make([]byte, 0, diskHead+len(key)), diskFormat...)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = binary.LittleEndian.AppendUint64(b, f.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.expires))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(key)))
	b = append(b, key...)
	binary.LittleEndian.PutUint64(b[len(diskFormat):], diskSum(b[diskSumEnd:], val))
	return b
}

func diskSum(preamble, val []byte) uint64 {
	var sum xxhash.Digest
	sum.Reset()
	_, _ = sum.Write(preamble) // never fails
	_, _ = sum.Write(val)
	return sum.Sum64()
}

// diskValue returns the value in the record of f, which is a part of b.
func diskValue(b []byte, f diskFile, key string) ([]byte, error) {
	if len(b) < diskHead || string(b[:len(diskFormat)]) != diskFormat ||
		binary.LittleEndian.Uint64(b[len(diskFormat):]) != xxhash.Sum64(b[diskSumEnd:]) {
		return nil, errDiskRecord
	}
	fields, rest := b[diskSumEnd:diskHead], b[diskHead:]
	n := binary.LittleEndian.Uint64(fields[16:])
	if binary.LittleEndian.Uint64(fields) != f.seq ||
		binary.LittleEndian.Uint64(fields[8:]) != uint64(f.expires) ||
		n != uint64(len(key)) || n > uint64(len(rest)) || string(rest[:n]) != key {
		return nil, errDiskRecord
	}
	return rest[n:len(rest):len(rest)], nil
}

// The name of an entry's file is its id, sequence number and expiry in hexadecimal, so
// that opening a directory reads no file, and no name is ever used twice: what is
// removed is never what came after it.
const (
	diskNameLen     = 32 + 1 + 16 + 1 + 16
	diskDraftPrefix = "gatewright-"
	diskDraftSuffix = ".tmp"
	diskDraftLen    = len(diskDraftPrefix) + 16 + len(diskDraftSuffix)
)

func (f diskFile) name() string {
	b := hex.AppendEncode(make([]byte, 0, diskNameLen), f.id[:])
	b = appendHex(append(b, '-'), f.seq)
	return string(appendHex(append(b, '-'), uint64(f.expires)))
}

// draft is the name of the file until it is whole.
func (f diskFile) draft() string {
	b := append(make([]byte, 0, diskDraftLen), diskDraftPrefix...)
	return string(append(appendHex(b, f.seq), diskDraftSuffix...))
}

func appendHex(b []byte, v uint64) []byte {
	return hex.AppendEncode(b, binary.BigEndian.AppendUint64(nil, v))
}

// parseDiskName reads the name of an entry's file: no other spelling of it is one.
func parseDiskName(name string) (diskFile, bool) {
	if len(name) != diskNameLen || name[32] != '-' || name[49] != '-' {
		return diskFile{}, false
	}
	var f diskFile
	_, bad := hex.Decode(f.id[:], []byte(name[:32]))
	seq, badSeq := strconv.ParseUint(name[33:49], 16, 64)
	expires, badExpiry := strconv.ParseUint(name[50:], 16, 63)
	f.seq, f.expires = seq, int64(expires)
	return f, bad == nil && badSeq == nil && badExpiry == nil && f.name() == name
}

func isDiskDraft(name string) bool {
	digits, ok := strings.CutPrefix(name, diskDraftPrefix)
	digits, tmp := strings.CutSuffix(digits, diskDraftSuffix)
	_, err := strconv.ParseUint(digits, 16, 64)
	return ok && tmp && len(digits) == 16 && err == nil
}
