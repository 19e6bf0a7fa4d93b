package compose

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// inflated returns the content of res without its content codings. It holds nothing that
// must be released if it is not read to its end.
func inflated(res *http.Response) (io.Reader, error) {
	fields := res.Header["Content-Encoding"]
	if len(fields) == 0 {
		return res.Body, nil
	}
	codings := contentCodings(fields)
	if len(codings) == 0 {
		return res.Body, nil
	}
	if len(codings) > maxCodings {
		return nil, fmt.Errorf("%d content codings, one over the other", len(codings))
	}
	l, from := &layers{}, io.Reader(res.Body)
	for _, coding := range slices.Backward(codings) { // the last in the list was the last applied
		pool := inflaters[coding]
		if pool == nil {
			return nil, fmt.Errorf("content coding %.20q is not known", coding)
		}
		f := pool.Get().(*inflater)
		f.source.r, f.pool = from, pool
		l.inflaters, from = append(l.inflaters, f), f
	}
	return l, nil
}

// maxCodings is how many there may be: each makes a bomb a thousand times as large.
const maxCodings = 2

// contentCodings returns what the fields list, which is in the order of application
// (RFC 9110 section 8.4).
func contentCodings(fields []string) []string {
	var codings []string
	for coding := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		coding = strings.ToLower(strings.Trim(coding, " \t"))
		if coding != "" && coding != "identity" {
			codings = append(codings, coding)
		}
	}
	return codings
}

// maxWindow is all that a decoder of zstd has to have for HTTP (RFC 9659 section 3); a
// frame may ask for terabytes. Of brotli it is 16 MiB by its format.
const maxWindow = 8 << 20

// inflaters are those that came to a clean end, by coding.
var inflaters = map[string]*sync.Pool{
	"gzip":   gzipInflaters,
	"x-gzip": gzipInflaters, // RFC 9110 section 8.4.1.3
	"br":     {New: func() any { return &inflater{decoder: new(brotli.Reader)} }},
	"zstd":   {New: func() any { return &inflater{decoder: newZstd()} }},
}

var gzipInflaters = &sync.Pool{New: func() any { return &inflater{decoder: new(gzip.Reader)} }}

// newZstd returns a decoder that works on the goroutine of its reader, so that nothing is
// left behind by one that is abandoned.
func newZstd() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow)) // the options are valid
	return d
}

// layers take off the codings of one body, that which was applied last first.
type layers struct {
	inflaters []*inflater
	err       error
}

// Read is part of [io.Reader].
func (l *layers) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.inflaters[len(l.inflaters)-1].Read(p)
	if l.err = err; err == io.EOF {
		l.release()
	}
	return n, err
}

// release gives back what came to a good end. Any other inflater is left to the garbage
// collector: who knows what state it is in.
func (l *layers) release() {
	for _, f := range l.inflaters {
		f.source, f.begun = encoded{}, false
		f.pool.Put(f)
	}
	l.inflaters = nil
}

// inflater takes off one content coding.
type inflater struct {
	decoder interface {
		io.Reader
		Reset(io.Reader) error
	}
	source encoded
	pool   *sync.Pool
	begun  bool
}

// Read is part of [io.Reader]. An end of anything but whole streams is an error, and so is
// an empty body, as no coding makes one.
func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.read(p)
	failed := f.source.err
	switch {
	case err == nil:
		return n, nil
	case failed != nil && failed != io.EOF:
		return n, failed // why there was no more is not the decoder's to say
	case err != io.EOF:
		return n, err
	case failed == nil || f.source.n == 0:
		return n, io.ErrUnexpectedEOF
	}
	return n, io.EOF
}

func (f *inflater) read(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		if err := f.decoder.Reset(&f.source); err != nil { // gzip reads its header
			return 0, err
		}
	}
	return f.decoder.Read(p)
}

// encoded is what an inflater reads. It is limited too: a megabyte of empty gzip members, or
// of zstd's frames to be skipped, is nothing when it is decompressed, and so is any more.
type encoded struct {
	r   io.Reader
	n   int
	err error
}

func (s *encoded) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err // again: the decoder for brotli forgets one that comes with bytes
	}
	n, err := s.r.Read(p)
	s.n, s.err = s.n+n, err
	if s.n > maxPart {
		s.err = errTooLarge
		return 0, s.err
	}
	return n, err
}
