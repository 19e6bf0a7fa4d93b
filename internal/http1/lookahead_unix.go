//go:build unix

package http1

import (
	"net"
	"syscall"
)

// lookahead is a connection of which can be asked whether there is something to read.
type lookahead struct {
	net.Conn
	raw     syscall.RawConn
	polling bool // Read returns errQuiet instead of waiting

	// Of the call under way, so that peek and poll are made once.
	quiet bool
	peek  func(fd uintptr) bool
	b     [1]byte
}

// newLookahead returns nc as one, or nil where that cannot be.
func newLookahead(nc net.Conn) *lookahead {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	l := &lookahead{Conn: nc, raw: raw}
	l.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), l.b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		l.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
	return l
}

// silent reports whether reading would wait: the other side has neither closed the
// connection nor sent anything.
func (l *lookahead) silent() bool {
	l.quiet = false
	return l.raw.Read(l.peek) == nil && l.quiet
}

// Read is for TLS, which may have to read something of its own to find out whether
// there is something for us.
func (l *lookahead) Read(p []byte) (n int, err error) {
	if !l.polling {
		return l.Conn.Read(p)
	}
	failed := l.raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), p)
		return true
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == syscall.EAGAIN || err == syscall.EWOULDBLOCK:
		return 0, errQuiet
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, net.ErrClosed
	}
	return n, nil
}
