//go:build !unix

package http1

import "syscall"

// silent cannot tell here. A connection that was closed is noticed when it is used.
func silent(syscall.RawConn) bool { return true }
