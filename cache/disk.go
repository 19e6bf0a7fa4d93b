package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Disk is a [Cache] of files in one directory, which outlives the process: what is
// set is there after a restart, and after kill -9, until it expires by the clock on
// the wall. It is made by [OpenDisk]. Its methods may be called concurrently; files
// are read and written without a lock that others wait for.
//
// An entry is a file that is written under another name first and then renamed, with
// a checksum over its key, expiry and value. A file that is cut off, has a bit
// wrong, or stands under another's name is a miss, and removed. Names are made of a
// hash: no key can choose one. Files have mode 0600, as responses may be private;
// they are not encrypted.
//
// Nothing is synced to the disk, which would cost more than asking the origin. The
// kernel keeps what was written when the process is killed. When the power fails, what
// was set in the last seconds may be lost or torn, which the checksum finds, and what
// was deleted or replaced in them may be back, until it expires.
//
// What goes wrong (a full disk, a directory without permission, no file descriptors)
// is an error of that call, after which the key has no value; once it is over, the
// store goes on. A call waits as long as the disk does, and its context is asked only
// between files: a [Transport] does not wait for it. Whatever is called later for the
// same key wins, even if an abandoned Set finishes after it.
type Disk struct {
	dir     string
	lock    diskLock
	index   *diskIndex
	largest int64                   // that one entry may cost
	stripes [diskStripes]sync.Mutex // of the keys: a lock is held while an entry's file gets its name

	life   sync.RWMutex // read by each call that is under way
	closed bool
}

const (
	diskStripes  = 64
	diskSmallest = 64 << 10 // the smallest store; what is smaller would keep next to nothing
	diskFraction = 8        // how many of the largest entries there is room for, so that one does not push out all
)

// OpenDisk returns the store of the files in dir, which is made, with mode 0700, if
// it is not there. It holds up to maxBytes, counting each file as whole blocks of 4 KiB
// and 256 bytes more for its name, and drops what was not used for longest, or has
// expired. The bound holds while a value is being written too; only a file that is being
// read when it is dropped stays until it has been read. A value that takes more than an
// eighth of the bound is not kept, which is no error; what its key had before is gone all
// the same. In memory an entry costs about 100 bytes.
//
// A directory belongs to one store at a time, in this process or any other: it is
// locked by the file "lock" in it, until [Disk.Close] or the end of the process, however
// that comes. Opening fails at once if it is not free. Other files in it are neither
// touched nor counted. Opening asks for the size of each file but reads none: 100,000 of
// them take a small machine about a second. The order of use outlives a restart to within
// ten minutes.
//
// It is an error if maxBytes is less than 64 KiB, and on systems whose file locks are
// not known here: those are Unix without Solaris and AIX, and Windows.
func OpenDisk(dir string, maxBytes int64) (*Disk, error) {
	if dir == "" || maxBytes < diskSmallest {
		return nil, fmt.Errorf("cache: disk: %d bytes in directory %q: there must be a name, and at least %d bytes",
			maxBytes, dir, diskSmallest)
	}
	dir, err := filepath.Abs(dir) // whatever becomes of the working directory
	if err != nil {
		return nil, fmt.Errorf("cache: disk: %w", err)
	}
	d := &Disk{
		dir:     dir,
		lock:    diskLock{dir: dir},
		index:   newDiskIndex(maxBytes),
		largest: maxBytes / diskFraction,
	}
	if err := d.lock.take(); err != nil {
		return nil, fmt.Errorf("cache: disk: %w", err)
	}
	if err := d.load(); err != nil {
		d.lock.release()
		return nil, fmt.Errorf("cache: disk: %w", err)
	}
	return d, nil
}

// enter begins a call, which ends with d.life.RUnlock.
func (d *Disk) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.life.RLock()
	if d.closed {
		d.life.RUnlock()
		return os.ErrClosed
	}
	return nil
}

// Get is part of [Cache]. After Close the error is [os.ErrClosed].
func (d *Disk) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := d.enter(ctx); err != nil {
		return nil, false, fmt.Errorf("cache: disk: get: %w", err)
	}
	defer d.life.RUnlock()
	id := diskIDOf(key)
	for range 3 { // it may be replaced, and its file be gone, before it is opened
		now := time.Now()
		f, ok := d.index.use(id, now)
		if !ok {
			break
		}
		if !f.expired(now) {
			val, err := d.read(f, key)
			if err == nil {
				return val, true, nil
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDiskRecord) {
				return nil, false, fmt.Errorf("cache: disk: get: %w", err)
			}
		}
		if d.index.drop(f) {
			_ = d.remove(f.doomed()) // if not now, then later
			break
		}
	}
	return nil, false, nil
}

// Set is part of [Cache]. After Close the error is [os.ErrClosed].
func (d *Disk) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return fmt.Errorf("cache: disk: set: %w", err)
	}
	defer d.life.RUnlock()
	now := time.Now()
	f := diskFile{id: diskIDOf(key), size: diskSize(key, val), expires: diskExpiry(now, ttl)}
	if ttl <= 0 || f.cost() > d.largest {
		return d.forget(f.id, "set")
	}
	f.seq = d.begin(f.id)
	kept, err := d.store(ctx, f, key, val)
	if !kept {
		d.giveUp(f)
	}
	for _, doomed := range d.index.sweep(now) {
		_ = d.remove(doomed)
	}
	if err != nil {
		return fmt.Errorf("cache: disk: set: %w", err)
	}
	return nil
}

// Delete is part of [Cache]. After Close the error is [os.ErrClosed]. After any other
// error the key has no value, but may have it again after a restart.
func (d *Disk) Delete(ctx context.Context, key string) error {
	if err := d.enter(ctx); err != nil {
		return fmt.Errorf("cache: disk: delete: %w", err)
	}
	defer d.life.RUnlock()
	return d.forget(diskIDOf(key), "delete")
}

// Close waits for what is under way and sets the directory free. Closing again does
// nothing. The error is always nil.
func (d *Disk) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	if !d.closed {
		d.closed = true
		d.lock.release()
	}
	return nil
}

func (d *Disk) stripe(id diskID) *sync.Mutex { return &d.stripes[id[0]%diskStripes] }

// begin makes a Set the one that counts for id.
func (d *Disk) begin(id diskID) (seq uint64) {
	mu := d.stripe(id)
	mu.Lock()
	defer mu.Unlock()
	return d.index.begin(id)
}

// forget removes what id has, and what a Set that is under way would give it.
func (d *Disk) forget(id diskID, operation string) error {
	mu := d.stripe(id)
	mu.Lock()
	f, ok := d.index.forget(id)
	mu.Unlock()
	if !ok {
		return nil
	}
	if err := d.remove(f.doomed()); err != nil {
		return fmt.Errorf("cache: disk: %s: %w", operation, err)
	}
	return nil
}

// giveUp ends a Set that has failed: what the key had before is gone, unless
// something later was called for it.
func (d *Disk) giveUp(f diskFile) {
	if old, ok := d.index.giveUp(f); ok {
		_ = d.remove(old.doomed())
	}
}

// store gives the value a file, if there is room for it.
func (d *Disk) store(ctx context.Context, f diskFile, key string, val []byte) (kept bool, err error) {
	if err := d.lock.check(); err != nil {
		return false, err
	}
	if ok, err := d.reserve(ctx, f.cost()); !ok {
		return false, err
	}
	draft := diskDoomed{name: f.draft(), cost: f.cost()}
	if err := d.write(draft.name, f, key, val); err != nil {
		_ = d.remove(draft)
		return false, err
	}
	return d.publish(draft, f)
}

// reserve takes room from the bound before anything is written. For it, those used
// least recently go, one by one, so that others find the index free; no more of
// them than the room can be made of, and some that others have been quicker to take.
func (d *Disk) reserve(ctx context.Context, cost int64) (bool, error) {
	for range cost/diskBlock + diskStripes {
		victim, full := d.index.reserve(cost)
		if !full {
			return true, nil
		}
		if victim == diskNoFile {
			return false, nil // all that is left is being written, or cannot be removed
		}
		err := d.unlink(victim.name())
		d.index.evicted(victim, err == nil)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return false, err
		}
	}
	return false, nil
}

// publish gives the draft its name, unless something later was called for its key.
func (d *Disk) publish(draft diskDoomed, f diskFile) (kept bool, err error) {
	mu := d.stripe(f.id)
	mu.Lock()
	if !d.index.counts(f) {
		mu.Unlock()
		_ = d.remove(draft)
		return false, nil
	}
	if err := os.Rename(d.path(draft.name), d.path(f.name())); err != nil {
		mu.Unlock()
		_ = d.remove(draft)
		return false, err
	}
	old, had := d.index.put(f)
	mu.Unlock()
	if had {
		_ = d.remove(old.doomed()) // after a restart the later of two counts
	}
	return true, nil
}

// diskExpiry returns when what is set now expires, in Unix nanoseconds. A number of
// years that does not fit is the last that does.
func diskExpiry(now time.Time, ttl time.Duration) int64 {
	n := now.UnixNano()
	if int64(ttl) > math.MaxInt64-n {
		return math.MaxInt64
	}
	return n + int64(ttl)
}
