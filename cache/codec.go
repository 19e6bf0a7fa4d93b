package cache

import (
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"time"
)

// A record is what the store holds: the format's name, a checksum of the rest, and
// the fields of an entry or an index. Anything that does not read exactly so is
// not there: another version's records, bits that fell over, half a value. The
// checksum is against accidents; who can write to the store can write responses.
const (
	format     = "GWC2"
	kindEntry  = 'E'
	kindIndex  = 'I'
	kindMarks  = 'P'
	prefixSize = len(format) + crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns e as a record.
func (e *entry) encode() []byte {
	size := prefixSize + 96 + len(e.key) + len(e.uri) + len(e.body)
	for name, values := range e.header {
		size += len(name) + 8
		for _, v := range values {
			size += len(v) + 4
		}
	}
	b := append(make([]byte, 0, size), "GWC2\x00\x00\x00\x00E"...)
	b = appendString(b, e.key)
	b = appendString(b, e.uri)
	b = binary.AppendVarint(b, e.born.UnixNano())
	b = binary.AppendVarint(b, e.received.UnixNano())
	for _, d := range []time.Duration{e.age, e.lifetime, e.whileRevalidate, e.ifError} {
		b = binary.AppendUvarint(b, uint64(d))
	}
	b = append(b, flag(e.strict))
	b = appendStrings(b, e.groups)
	b = binary.AppendUvarint(b, uint64(e.status))
	b = binary.AppendUvarint(b, uint64(len(e.header)))
	for name, values := range e.header {
		b = appendStrings(appendString(b, name), values)
	}
	return seal(append(b, e.body...))
}

// decodeEntry reads the record of the entry under key. The body is a part of b.
func decodeEntry(b []byte, key string) (*entry, bool) {
	r := unseal(b, kindEntry)
	if r.string() != key {
		return nil, false
	}
	e := &entry{
		key:             key,
		uri:             r.string(),
		born:            time.Unix(0, r.varint()),
		received:        time.Unix(0, r.varint()),
		age:             r.duration(),
		lifetime:        r.duration(),
		whileRevalidate: r.duration(),
		ifError:         r.duration(),
		strict:          r.flag(),
		groups:          r.strings(),
		status:          int(r.uvarint()),
	}
	n := r.count()
	e.header = make(http.Header, n)
	for range n {
		name := r.string()
		e.header[name] = r.strings()
	}
	e.body = r.rest
	return e, !r.bad && e.status >= 200 && e.status <= 999
}

// encode returns x as a record.
func (x *index) encode() []byte {
	b := []byte("GWC2\x00\x00\x00\x00I")
	b = appendString(b, x.key)
	b = appendString(b, x.generation)
	b = binary.AppendVarint(b, x.until.UnixNano())
	return seal(appendStrings(appendStrings(b, x.names), x.variants))
}

// decodeIndex reads the record of the index under key.
func decodeIndex(b []byte, key string) (*index, bool) {
	r := unseal(b, kindIndex)
	if r.string() != key {
		return nil, false
	}
	x := &index{
		key:        key,
		generation: r.string(),
		until:      time.Unix(0, r.varint()),
		names:      r.strings(),
		variants:   r.strings(),
	}
	return x, !r.bad && len(r.rest) == 0
}

func seal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[len(format):], crc32.Checksum(b[prefixSize:], castagnoli))
	return b
}

// unseal returns a reader of what follows the kind, or one that has failed.
func unseal(b []byte, kind byte) *reader {
	if len(b) <= prefixSize || string(b[:len(format)]) != format || b[prefixSize] != kind ||
		binary.LittleEndian.Uint32(b[len(format):]) != crc32.Checksum(b[prefixSize:], castagnoli) {
		return &reader{bad: true}
	}
	return &reader{rest: b[prefixSize+1:]}
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// reader takes the fields of a record apart. Once something did not fit it is bad,
// and returns nothing but zeros.
type reader struct {
	rest []byte
	bad  bool
}

// took moves on by what one of encoding/binary's functions has read.
func (r *reader) took(n int) bool {
	if r.bad || n <= 0 {
		r.bad, r.rest = true, nil
		return false
	}
	r.rest = r.rest[n:]
	return true
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if !r.took(n) {
		return 0
	}
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if !r.took(n) {
		return 0
	}
	return v
}

func (r *reader) duration() time.Duration {
	v := r.uvarint()
	r.bad = r.bad || v > uint64(maxDelta)
	return time.Duration(min(v, uint64(maxDelta)))
}

func (r *reader) flag() bool { return r.uvarint() == 1 }

// count reads how many things follow. Each is a byte at least, so a number that
// is larger than the rest is wrong, and nothing is allocated for it.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count()
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) strings() []string {
	list := make([]string, 0, r.count())
	for range cap(list) {
		list = append(list, r.string())
	}
	return list
}
