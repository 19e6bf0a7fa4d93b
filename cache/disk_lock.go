package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// diskLock is the file whose lock says that the directory is in use. The kernel frees
// it when the process ends.
type diskLock struct {
	dir  string
	mu   sync.Mutex // held while the lock is taken
	held atomic.Pointer[diskLocked]
}

type diskLocked struct {
	file *os.File
	info os.FileInfo
}

func (l *diskLock) path() string { return filepath.Join(l.dir, "lock") }

// take makes the directory, if need be, and locks it.
func (l *diskLock) take() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path(), os.O_RDWR|os.O_CREATE|diskNoFollow, 0o600)
	if err != nil {
		return err
	}
	if err := lockFile(file); err != nil {
		_ = file.Close()
		return fmt.Errorf("directory %s is in use, or cannot be locked: %w", l.dir, err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return err
	}
	l.held.Store(&diskLocked{file, info})
	if ok, err := l.holds(); !ok {
		l.release()
		return errors.Join(fmt.Errorf("directory %s: the lock was taken away", l.dir), err)
	}
	return nil
}

// holds reports whether the locked file is still the one that others would lock.
func (l *diskLock) holds() (bool, error) {
	held := l.held.Load()
	if held == nil {
		return false, nil
	}
	info, err := os.Lstat(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(info, held.info), err
}

// check takes the lock again if the file, or the whole directory, was removed:
// another process could hold it by now.
func (l *diskLock) check() error {
	if ok, err := l.holds(); ok || err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok, err := l.holds(); ok || err != nil { // somebody else was here
		return err
	}
	l.release()
	return l.take()
}

func (l *diskLock) release() {
	if held := l.held.Swap(nil); held != nil {
		_ = held.file.Close()
	}
}
