//go:build !unix

package http1

import "syscall"

// lookahead cannot tell here whether there is something to read. A connection that was
// closed is noticed when it is used.
type lookahead struct{}

func newLookahead(syscall.RawConn) *lookahead { return &lookahead{} }

func (*lookahead) silent() bool { return true }
