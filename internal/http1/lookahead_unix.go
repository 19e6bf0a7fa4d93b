//go:build unix

package http1

import "syscall"

// lookahead asks a socket whether there is something to read, without reading it.
type lookahead struct {
	raw   syscall.RawConn
	quiet bool
	peek  func(fd uintptr) bool // made once, as it is used for every exchange
	b     [1]byte
}

func newLookahead(raw syscall.RawConn) *lookahead {
	l := &lookahead{raw: raw}
	l.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), l.b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		l.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
	return l
}

// silent reports whether reading from the socket would wait: it was neither closed nor
// sent anything.
func (l *lookahead) silent() bool {
	l.quiet = false
	return l.raw.Read(l.peek) == nil && l.quiet
}
