package http1

import (
	"io"
	"net"
)

// bufferSize holds nearly every header, and the body with it if that is small.
const bufferSize = 4 << 10

// reader is a buffer over a connection that lends what it has.
type reader struct {
	nc   net.Conn
	wait func() // called before a body is read from the connection itself
	buf  []byte
	r, w int // what is buffered is buf[r:w]
}

func (b *reader) init(nc net.Conn, wait func()) {
	b.nc, b.wait = nc, wait
	b.buf = make([]byte, bufferSize)
}

func (b *reader) buffered() int { return b.w - b.r }

// peek returns what is buffered. It is valid until more is read.
func (b *reader) peek() []byte { return b.buf[b.r:b.w] }

func (b *reader) skip(n int) { b.r += n }

// more reads once from the connection behind what is buffered. The buffer grows up to
// max bytes, beyond which it is errLong.
func (b *reader) more(max int) error {
	if b.r == b.w {
		b.r, b.w = 0, 0
		if len(b.buf) > bufferSize {
			b.buf = make([]byte, bufferSize) // a large header is no reason to stay large
		}
	}
	if b.w == len(b.buf) {
		switch n := b.buffered(); {
		case b.r > 0:
			copy(b.buf, b.buf[b.r:b.w])
			b.r, b.w = 0, n
		case n >= max:
			return errLong
		default:
			grown := make([]byte, min(2*len(b.buf), max))
			copy(grown, b.buf)
			b.buf = grown
		}
	}
	n, err := b.nc.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// Read is for bodies: first what is buffered, then from the connection directly.
func (b *reader) Read(p []byte) (int, error) {
	if n := b.buffered(); n > 0 {
		n = copy(p, b.peek())
		b.skip(n)
		return n, nil
	}
	b.wait()
	return b.nc.Read(p)
}
