//go:build unix && !solaris && !illumos && !aix

package cache

import (
	"os"

	"golang.org/x/sys/unix"
)

// diskNoFollow opens no link, and does not wait at a pipe.
const diskNoFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
