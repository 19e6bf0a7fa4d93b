package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

func (d *Disk) path(name string) string { return filepath.Join(d.dir, name) }

// read returns the value of f. What stands in the place of its file and is none of
// ours is an errDiskRecord: a link, which is not followed, a pipe, a directory.
func (d *Disk) read(f diskFile, key string) ([]byte, error) {
	path := d.path(f.name())
	file, err := os.OpenFile(path, os.O_RDONLY|diskNoFollow, 0)
	if err != nil {
		if info, lost := os.Lstat(path); lost == nil && !info.Mode().IsRegular() {
			return nil, errDiskRecord
		}
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != f.size {
		return nil, errDiskRecord
	}
	b := make([]byte, f.size)
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, tornOr(err)
	}
	val, err := diskValue(b, f, key)
	if err == nil && f.due {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // the order is not worth an error
	}
	return val, err
}

// tornOr returns err, or errDiskRecord if err says that the file was cut off just now.
func tornOr(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDiskRecord
	}
	return err
}

// write makes the file, which must be new.
func (d *Disk) write(name string, f diskFile, key string, val []byte) error {
	file, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(diskPreamble(f, key, val))
	if err == nil {
		_, err = file.Write(val)
	}
	return errors.Join(err, file.Close()) // where a full disk may show, too
}

// remove removes a file and gives its room back, or keeps it in mind.
func (d *Disk) remove(doomed diskDoomed) error {
	err := d.unlink(doomed.name)
	if err != nil {
		d.index.bury(doomed)
		return err
	}
	d.index.release(doomed.cost)
	return nil
}

// unlink removes a file. That it is not there is what was wanted.
func (d *Disk) unlink(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// load builds the index, and removes what a killed process has left.
func (d *Disk) load() error {
	files, err := d.scan()
	if err != nil {
		return err
	}
	for _, doomed := range d.index.fill(files, time.Now()) {
		if err := d.remove(doomed); err != nil {
			return err
		}
	}
	return nil
}

// diskScanners is how many goroutines ask for the sizes of files: a disk that has to
// look for each does so for several at a time.
const diskScanners = 8

// scan returns the entries in the directory.
func (d *Disk) scan() ([]diskFile, error) {
	dir, err := os.Open(d.dir)
	if err != nil {
		return nil, err
	}
	all, err := dir.ReadDir(-1)
	_ = dir.Close()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var wg sync.WaitGroup
	var files [diskScanners][]diskFile
	var errs [diskScanners]error
	i := 0
	for part := range slices.Chunk(all, (len(all)+diskScanners-1)/diskScanners) {
		n := i
		wg.Go(func() { files[n], errs[n] = d.foundAmong(part) })
		i++
	}
	wg.Wait()
	return slices.Concat(files[:]...), errors.Join(errs[:]...)
}

func (d *Disk) foundAmong(entries []fs.DirEntry) (files []diskFile, err error) {
	for _, e := range entries {
		f, ok, err := d.found(e)
		if err != nil {
			return nil, err
		}
		if ok {
			files = append(files, f)
		}
	}
	return files, nil
}

// found tells an entry from what is foreign, and removes what is ours but no entry.
func (d *Disk) found(e fs.DirEntry) (f diskFile, ok bool, err error) {
	if isDiskDraft(e.Name()) && !e.IsDir() {
		return f, false, d.unlink(e.Name())
	}
	f, ok = parseDiskName(e.Name())
	if !ok || !e.Type().IsRegular() {
		return f, false, nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) { // somebody cleans up
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f.size, f.touched = info.Size(), info.ModTime().Unix()
	if f.size < int64(diskHead) || f.cost() > d.largest { // torn, or of a larger store
		return f, false, d.unlink(e.Name())
	}
	return f, true, nil
}
