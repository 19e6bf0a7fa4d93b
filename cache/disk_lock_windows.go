package cache

import (
	"os"

	"golang.org/x/sys/windows"
)

// diskNoFollow is nothing: a link is followed here, and what it leads to is not a record.
const diskNoFollow = 0

func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{})
}
