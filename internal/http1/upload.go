package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// upload is a request's body over all the exchanges that are tried for it.
//
// Methods work on nil, which is no body.
type upload struct {
	source  io.ReadCloser
	length  int64 // -1: not known
	trailer http.Header

	// turn counts the exchanges that were tried, as long as none has begun to read.
	// Who reads or closes the source first takes it to begun, and nobody else may.
	turn atomic.Int64
}

const begun = -1

func newUpload(r *http.Request) *upload {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	u := &upload{source: r.Body, length: r.ContentLength, trailer: r.Trailer}
	if u.length == 0 {
		u.length = -1 // net/http's convention
	}
	return u
}

// rewind prepares u for another exchange and reports whether it could: nothing of it
// was read.
func (u *upload) rewind() bool {
	if u == nil {
		return true
	}
	n := u.turn.Load()
	return n != begun && u.turn.CompareAndSwap(n, n+1)
}

// close closes a source that no exchange has begun to read. Otherwise whoever reads it
// does, since closing it under a Read could block.
func (u *upload) close() {
	if u == nil {
		return
	}
	for n := u.turn.Load(); n != begun; n = u.turn.Load() {
		if u.turn.CompareAndSwap(n, begun) {
			_ = u.source.Close()
		}
	}
}

// uploading is the sending of a body in one exchange, on its own goroutine.
type uploading struct {
	*upload
	c       *conn
	turn    int64
	proceed chan bool // what became of "Expect: 100-continue"; nil: it was not asked
	halted  atomic.Bool
	done    chan struct{}

	mu     sync.Mutex
	headed bool  // the response's header is there
	whole  bool  // all was sent
	err    error // of reading the source
}

func (c *conn) start(r *http.Request, body *upload) *uploading {
	u := &uploading{upload: body, c: c, turn: body.turn.Load(), done: make(chan struct{})}
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		u.proceed = make(chan bool, 1)
	}
	go u.run()
	return u
}

// continueTimeout is how long a body waits for a server that may never say 100 (RFC
// 9110 section 10.1.1).
const continueTimeout = time.Second

func (u *uploading) run() {
	defer close(u.done)
	if u.proceed != nil && !u.allowed() || u.halted.Load() || !u.upload.turn.CompareAndSwap(u.turn, begun) {
		return
	}
	defer u.source.Close()
	readErr, writeErr := u.copy()
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case readErr != nil:
		u.err = readErr
		u.c.nc.Close() // so that the server does not take the half for the whole
	case writeErr == nil:
		u.whole = true
		if !u.headed {
			u.c.limitHeader(time.Now())
		}
	}
	// A server that stops reading has perhaps said why: the response is still read.
}

// allowed waits for the server's go-ahead.
func (u *uploading) allowed() bool {
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case ok := <-u.proceed:
		return ok
	case <-timer.C:
		return true
	}
}

// answered is told of each response header: 100 lets a waiting body go, a final one of
// refusal stops it.
func (u *uploading) answered(status int) {
	final := status >= 200
	if u.proceed != nil && (final || status == http.StatusContinue) {
		select {
		case u.proceed <- status < 300:
		default:
		}
	}
	if !final {
		return
	}
	u.mu.Lock()
	u.headed = true
	u.mu.Unlock()
	if status >= 300 {
		u.abandon()
	}
}

// halt has the goroutine end, at the latest when what it reads from next returns.
func (u *uploading) halt() {
	u.halted.Store(true)
	if u.proceed != nil {
		select {
		case u.proceed <- false:
		default:
		}
	}
}

// abandon ends an upload whose exchange is over.
func (u *uploading) abandon() {
	u.halt()
	u.close()
}

// failed returns how reading the body failed, or nil.
func (u *uploading) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// complete reports whether all of the body was sent. A server may answer before our
// goroutine has noticed that it had sent the last byte.
func (u *uploading) complete() bool {
	select {
	case <-u.done:
	default:
		if u.halted.Load() {
			return false
		}
		timer := time.NewTimer(50 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole
}

var errLength = errors.New("http1: the request's body is not as long as its ContentLength")

var uploadBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// chunkHead is the room before a chunk for its size in hex and a CRLF.
const chunkHead = 10

// copy sends the body, and the trailers if it goes in chunks.
func (u *uploading) copy() (readErr, writeErr error) {
	buf := uploadBuffers.Get().(*[]byte)
	defer uploadBuffers.Put(buf)
	sent := int64(0)
	for {
		n, err := u.source.Read((*buf)[chunkHead : len(*buf)-2])
		if u.halted.Load() {
			return nil, errHalted
		}
		sent += int64(n)
		if u.length >= 0 && (sent > u.length || err == io.EOF && sent < u.length) {
			return errLength, nil
		}
		if n > 0 {
			if _, err := u.c.nc.Write(u.frame(*buf, n)); err != nil {
				return nil, err
			}
		}
		switch {
		case err == io.EOF:
			return nil, u.end()
		case err != nil:
			return err, nil
		case u.length >= 0 && sent == u.length:
			return nil, nil // nobody needs to see the end
		}
	}
}

var errHalted = errors.New("halted")

// frame returns the n bytes behind chunkHead as they are sent.
func (u *uploading) frame(buf []byte, n int) []byte {
	if u.length >= 0 {
		return buf[chunkHead : chunkHead+n]
	}
	size := strconv.AppendInt(buf[:0:chunkHead-2], int64(n), 16)
	start := chunkHead - 2 - len(size)
	copy(buf[start:], size)
	copy(buf[chunkHead-2:], "\r\n")
	copy(buf[chunkHead+n:], "\r\n")
	return buf[start : chunkHead+n+2]
}

func (u *uploading) end() error {
	if u.length >= 0 {
		return nil
	}
	b := []byte("0\r\n")
	for name, values := range u.trailer {
		for _, v := range values {
			if !field.IsToken(name) || framing(name) || !field.IsValue(v) {
				continue // it is too late to refuse the request
			}
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	_, err := u.c.nc.Write(append(b, "\r\n"...))
	return err
}
