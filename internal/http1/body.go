package http1

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gatewright/gateway/internal/field"
)

// kind is how a body is delimited.
type kind uint8

const (
	none kind = iota
	counted
	inChunks
	untilClose
)

// body is a response's body. Read is for one goroutine; Close may be called while it
// runs, and ends it.
type body struct {
	c    *conn
	ctx  context.Context
	res  *http.Response
	kind kind
	left int64 // of the body, or of the chunk

	started    bool // a chunk came before
	extensions int  // bytes of chunk extensions so far

	over atomic.Bool // ended or closed: the connection is no longer ours
	err  error       // what Read returns from then on; nil: closed
}

func (b *body) Read(p []byte) (int, error) {
	if b.over.Load() {
		if b.err == nil {
			return 0, http.ErrBodyReadAfterClose
		}
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	if err != nil {
		return n, b.end(err)
	}
	return n, nil
}

func (b *body) read(p []byte) (int, error) {
	switch b.kind {
	case counted:
		n, err := b.data(p)
		if err == nil && b.left == 0 {
			err = io.EOF
		}
		return n, err
	case inChunks:
		return b.readChunk(p)
	}
	return b.c.in.Read(p)
}

// data reads from what is left to the body or to the chunk.
func (b *body) data(p []byte) (int, error) {
	n, err := b.c.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if b.left == 0 {
		err = nil
	}
	return n, err
}

// end ends the body by err, which it returns, or what was the reason for it. At its
// end the connection goes back, otherwise it is closed.
func (b *body) end(err error) error {
	c := b.c
	if err != io.EOF {
		err = c.because(b.ctx, err)
	}
	if !b.over.CompareAndSwap(false, true) {
		return http.ErrBodyReadAfterClose // it was closed meanwhile
	}
	b.err = err
	if err == io.EOF {
		c.finish()
	} else {
		c.abort()
	}
	return err
}

// Buffered returns how many bytes have come that were not read yet: a Read with none of
// them may have to wait.
func (b *body) Buffered() int {
	if b.over.Load() {
		return 0
	}
	return b.c.in.buffered()
}

// Close ends a body that is not read to its end, and closes its connection.
func (b *body) Close() error {
	if b.over.CompareAndSwap(false, true) {
		b.c.abort()
	}
	return nil
}

// Limits of the chunked coding.
const (
	maxChunkLine  = 4 << 10
	maxExtensions = 16 << 10 // of all chunks together
)

var lastChunk = []byte("\r\n0\r\n\r\n")

func (b *body) readChunk(p []byte) (int, error) {
	if b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := b.data(p)
	if err == nil && b.left == 0 && bytes.HasPrefix(b.c.in.peek(), lastChunk) {
		// The end is here already: who asks for it may need another read otherwise, and
		// a caller that stops now would cost us the connection.
		b.c.in.skip(len(lastChunk))
		err = io.EOF
	}
	return n, err
}

// nextChunk reads what stands between two chunks (RFC 9112 section 7.1). It returns
// io.EOF after the last.
func (b *body) nextChunk() error {
	if b.started {
		line, err := b.line(2)
		if err != nil {
			return err
		}
		if len(line) != 0 {
			return &ProtocolError{"the end of a chunk"}
		}
	}
	b.started = true
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, extension, err := parseChunkSize(line)
	if err != nil {
		return err
	}
	if b.extensions += extension; b.extensions > maxExtensions {
		return &ProtocolError{"the extensions of chunks"}
	}
	if size == 0 {
		return b.trailer()
	}
	b.left = size
	return nil
}

// line returns a line without its CRLF.
func (b *body) line(max int) ([]byte, error) {
	in := &b.c.in
	for {
		buf := in.peek()
		if i := bytes.IndexByte(buf, '\n'); i >= 0 {
			if i == 0 || buf[i-1] != '\r' || i+1 > max {
				return nil, &ProtocolError{"a line of the chunked coding"}
			}
			in.skip(i + 1)
			return buf[:i-1], nil
		}
		if len(buf) >= max {
			return nil, &ProtocolError{"a line of the chunked coding"}
		}
		b.c.liftLimit()
		if err := in.more(bufferSize); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// parseChunkSize parses the line before a chunk, and returns how long its extensions are.
func parseChunkSize(line []byte) (size int64, extension int, err error) {
	digits := 0
	for ; digits < len(line); digits++ {
		d := field.Hex(line[digits])
		if d < 0 {
			break
		}
		if digits >= 15 { // more would not fit
			return 0, 0, &ProtocolError{"the size of a chunk"}
		}
		size = size<<4 | int64(d)
	}
	rest := bytes.TrimLeft(line[digits:], " \t")
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !field.IsValue(string(rest)) {
		return 0, 0, &ProtocolError{"the size of a chunk"}
	}
	return size, len(line) - digits, nil
}

// trailer reads the trailer section. Fields that say how the message is framed have no
// place there (RFC 9110 section 6.5.1) and are dropped.
func (b *body) trailer() error {
	limit := b.c.t.MaxHeaderBytes
	if limit == 0 {
		limit = defaultMaxHeaderBytes
	}
	b.c.liftLimit()
	section, err := b.c.head(limit)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	fields, err := parseFields(section, nil)
	if err != nil {
		return err
	}
	for name, values := range fields {
		if framing(name) {
			continue
		}
		if b.res.Trailer == nil {
			b.res.Trailer = make(http.Header)
		}
		b.res.Trailer[name] = values
	}
	return io.EOF
}

// tunnel is the body of a 101: the connection, of which the other protocol may do as
// it likes. Read, Write and Close may be called concurrently.
type tunnel struct {
	c    *conn
	once sync.Once
}

func (t *tunnel) Read(p []byte) (int, error)  { return t.c.in.Read(p) }
func (t *tunnel) Write(p []byte) (int, error) { return t.c.nc.Write(p) }

// CloseWrite tells the other side that nothing more will come.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNoHalfClose
}

func (t *tunnel) Close() error {
	t.once.Do(t.c.abort)
	return nil
}
