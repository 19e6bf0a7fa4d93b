package cache

import (
	"io"
	"net/http"
	"sync/atomic"
)

// fill is a response body on its way to the client, of which a copy is taken. The
// copy is stored when the body has ended as it should, and on no other end: an
// error, a body shorter than it was declared, or a reader that leaves early.
type fill struct {
	io.ReadCloser
	res  *http.Response // whose trailers may turn up at the end
	max  int64
	want int64        // the length declared; -1: none
	copy []byte       // what was read so far
	done func([]byte) // called once with all of it; nil: no longer of interest
	left atomic.Bool  // closed, perhaps by another goroutine than the one that reads
}

func (f *fill) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.done == nil {
		return n, err
	}
	if f.left.Load() || int64(len(f.copy)+n) > f.max {
		f.stop()
		return n, err
	}
	f.copy = append(f.copy, p[:n]...)
	if err != nil {
		if err == io.EOF && (f.want < 0 || f.want == int64(len(f.copy))) && len(f.res.Trailer) == 0 {
			f.done(f.copy)
		}
		f.stop()
	}
	return n, err
}

// Close ends the copy where it is.
func (f *fill) Close() error {
	f.left.Store(true)
	return f.ReadCloser.Close()
}

func (f *fill) stop() { f.copy, f.done = nil, nil }
