//go:build !unix

package http1

import "net"

// lookahead cannot tell here whether there is something to read. A connection that was
// closed is noticed when it is used.
type lookahead struct {
	net.Conn
	polling bool
}

func newLookahead(net.Conn) *lookahead { return nil }

func (*lookahead) silent() bool { return true }
