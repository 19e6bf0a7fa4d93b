//go:build !windows && (!unix || solaris || illumos || aix)

package cache

import (
	"errors"
	"os"
)

const diskNoFollow = 0

func lockFile(*os.File) error { return errors.ErrUnsupported }
