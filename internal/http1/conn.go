package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// conn is one connection. It serves one exchange at a time, and between two of them
// lies in its host's idle list.
type conn struct {
	t         *Transport
	key       string
	nc        net.Conn
	ahead     *lookahead // nil: there is no looking ahead
	born      time.Time
	idleSince time.Time
	deadline  time.Time // for reading; zero: none
	now       time.Time // when it was last taken into use: a clock costs as much as parsing a header
	byte      [1]byte
	used      bool // there was an exchange on it

	in  reader
	out []byte // the header being written, kept for its space

	// Of the exchange under way.
	got        bool // a byte of the answer came
	upload     *uploading
	cancelFunc func()      // cancel, made once
	stop       func() bool // takes back that the context's end closes the connection; nil: it has none
	canceled   atomic.Bool
	keep       bool // the connection can be used again, as far as the messages say
}

func newConn(t *Transport, key string, nc net.Conn, ahead *lookahead) *conn {
	c := &conn{t: t, key: key, nc: nc, ahead: ahead, born: time.Now()}
	c.now = c.born
	c.cancelFunc = c.cancel
	c.in.init(nc, c.liftLimit)
	return c
}

// usable reports whether c, which may have been idle, can be given another request.
// It discards nothing.
func (c *conn) usable() bool {
	c.now = time.Now()
	if c.t.Lifetime > 0 && c.now.Sub(c.born) > c.t.Lifetime {
		return false
	}
	return c.open(c.now)
}

// open reports whether the other side has neither closed the connection nor sent
// something that nobody asked for. Where the platform cannot tell it is true.
func (c *conn) open(now time.Time) bool {
	if c.ahead == nil {
		return true
	}
	if !c.deadline.IsZero() && !now.Before(c.deadline) {
		c.liftLimit() // or nothing could be asked of the connection
	}
	if _, secure := c.nc.(*tls.Conn); !secure {
		return c.ahead.silent()
	}
	// A socket that has something may have no more than a session ticket, and one that
	// has nothing may have left a record with TLS.
	c.ahead.polling = true
	n, err := c.nc.Read(c.byte[:])
	c.ahead.polling = false
	return n == 0 && errors.Is(err, errQuiet)
}

// errQuiet is temporary, so that it does not end a TLS connection.
var errQuiet net.Error = quiet{}

type quiet struct{}

func (quiet) Error() string   { return "http1: nothing to read" }
func (quiet) Timeout() bool   { return true }
func (quiet) Temporary() bool { return true }

// discard closes c and gives its place back.
func (c *conn) discard() {
	c.nc.Close()
	c.t.drop(c.key)
}

// stale reports whether err is what happens to a kept connection that the other side
// closed before it saw the request.
func (c *conn) stale(err error) bool {
	var proto *ProtocolError
	return c.used && !c.got && !c.canceled.Load() && !errors.As(err, &proto) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// exchange sends r and returns the response. If it fails, c is no more.
func (c *conn) exchange(r *http.Request, body *upload) (*http.Response, error) {
	ctx := r.Context()
	c.got, c.keep, c.upload = false, true, nil
	c.watch(ctx)
	res, err := c.send(r, body)
	if err == nil {
		return res, nil
	}
	err = c.because(ctx, err)
	if c.upload != nil {
		// What it reads from may block for ever: it ends by itself, and closes the body.
		c.upload.halt()
	}
	c.unwatch()
	c.discard()
	return nil, err
}

// watch has the end of ctx end the exchange.
func (c *conn) watch(ctx context.Context) {
	c.stop = nil
	c.canceled.Store(false)
	if ctx.Done() != nil {
		c.stop = context.AfterFunc(ctx, c.cancelFunc)
	}
}

func (c *conn) cancel() {
	c.canceled.Store(true)
	c.nc.Close()
}

// unwatch reports whether the exchange was left alone to its end.
func (c *conn) unwatch() bool { return c.stop == nil || c.stop() }

// because returns the reason why the connection broke with err, if that was ours.
func (c *conn) because(ctx context.Context, err error) error {
	if c.canceled.Load() {
		return context.Cause(ctx)
	}
	if c.upload != nil {
		if failed := c.upload.failed(); failed != nil {
			return failed
		}
	}
	if errors.Is(err, io.EOF) {
		return errClosed
	}
	return err
}

// errClosed says what an EOF is where a response should be.
var errClosed = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the connection was closed before the response")}

func (c *conn) send(r *http.Request, body *upload) (*http.Response, error) {
	head, err := appendRequest(c.out[:0], r, body)
	if err != nil {
		return nil, err
	}
	c.out = head
	if _, err := c.nc.Write(head); err != nil {
		return nil, err
	}
	if body != nil {
		c.liftLimit() // until all was sent
		c.upload = c.start(r, body)
	}
	if c.upload == nil {
		c.limitHeader(c.now)
	}
	return c.receive(r)
}

// limitHeader gives the response's header at least HeaderTimeout from now, and at most a
// quarter more. A deadline costs as much as a small read, so one serves many exchanges:
// it is lifted only for a body that takes a read of its own.
func (c *conn) limitHeader(now time.Time) {
	limit := c.t.HeaderTimeout
	if limit <= 0 {
		return
	}
	if c.deadline.Sub(now) < limit {
		c.deadline = now.Add(limit + limit/4)
		_ = c.nc.SetReadDeadline(c.deadline)
	}
}

// liftLimit lets the body take its time.
func (c *conn) liftLimit() {
	if !c.deadline.IsZero() {
		c.deadline = time.Time{}
		_ = c.nc.SetReadDeadline(c.deadline)
	}
}

// finish ends an exchange whose response was read to its end.
func (c *conn) finish() {
	left := c.unwatch()
	if c.upload != nil && !c.upload.complete() {
		c.keep = false
		c.upload.abandon()
	}
	// Bytes after the response's end are of nobody's response.
	if !left || !c.keep || c.in.buffered() > 0 {
		c.discard()
		return
	}
	c.used, c.upload, c.stop = true, nil, nil
	c.trim()
	c.t.put(c)
}

// trim gives back what a large header has taken, as the connection may be idle for long.
func (c *conn) trim() {
	if cap(c.out) > bufferSize {
		c.out = nil
	}
	if len(c.in.buf) > bufferSize {
		c.in.buf = make([]byte, bufferSize)
		c.in.r, c.in.w = 0, 0
	}
}

// abort ends an exchange whose response nobody wants to its end.
func (c *conn) abort() {
	c.unwatch()
	if c.upload != nil {
		c.upload.abandon()
	}
	c.discard()
}
