package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// bufferSize is how much of a response is kept back until its header must go out.
// What fits needs no pipe and gets a Content-Length, as in net/http.
const bufferSize = 4 << 10

// writer is the ResponseWriter of a handler that runs as a backend. The handler's
// goroutine writes; begun is closed once what the caller needs is there.
type writer struct {
	req    *http.Request
	trace  *httptrace.ClientTrace // of the caller; nil: none
	header http.Header
	begun  chan struct{}
	once   sync.Once

	status    int // 0: no header yet
	buf       bytes.Buffer
	pipe      *io.PipeWriter // nil: still buffering
	reader    *io.PipeReader
	stop      func() bool // takes back that the end of the context closes the pipe
	sent      http.Header // the header as it was when it went out
	announced []string    // names of trailers
	trailer   http.Header // filled in once the handler has returned
	declared  int64       // Content-Length set by the handler; -1: none
	written   int64
	failed    error // set before begun is closed; nil: there is a response
}

func newWriter(r *http.Request, trace *httptrace.ClientTrace) *writer {
	return &writer{req: r, trace: trace, header: make(http.Header), begun: make(chan struct{}), declared: -1}
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	switch {
	case w.status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("local: invalid WriteHeader code %d", status)) // as net/http does
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.interim(status)
		return
	}
	w.status = status
	w.declared = contentLength(w.header)
	w.sent = w.header.Clone()
	w.sent.Del("Trailer")
	for _, v := range w.header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			w.announced = append(w.announced, name)
			delete(w.sent, name)
		}
	}
}

func (w *writer) interim(status int) {
	if w.trace != nil && w.trace.Got1xxResponse != nil {
		_ = w.trace.Got1xxResponse(status, textproto.MIMEHeader(w.header.Clone()))
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" && w.header.Get("Content-Encoding") == "" && len(p) > 0 {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	if !w.hasBody() {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.declared >= 0 && w.written > w.declared {
		return 0, http.ErrContentLength
	}
	if w.req.Method == http.MethodHead {
		return len(p), nil
	}
	if w.pipe == nil && w.buf.Len()+len(p) <= bufferSize {
		return w.buf.Write(p)
	}
	w.stream()
	return w.pipe.Write(p)
}

// FlushError lets [http.ResponseController] send what there is.
func (w *writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.pipe == nil {
		w.stream()
	}
	return context.Cause(w.req.Context())
}

// Flush is for handlers that ask for a [http.Flusher] by its type.
func (w *writer) Flush() { _ = w.FlushError() }

// stream gives the caller its response, with what was buffered and what will come.
func (w *writer) stream() {
	if w.pipe != nil {
		return
	}
	w.reader, w.pipe = io.Pipe()
	// Or a handler that writes would wait for a caller who has left.
	w.stop = context.AfterFunc(w.req.Context(), func() {
		_ = w.pipe.CloseWithError(context.Cause(w.req.Context()))
	})
	w.begin(nil)
}

// begin lets the caller go, with an error if there is no response. Only the first call
// counts: the handler's, or the caller's own if it will not wait any longer.
func (w *writer) begin(err error) {
	w.once.Do(func() {
		w.failed = err
		close(w.begun)
	})
}

// end is called when the handler has returned, with what it panicked with.
func (w *writer) end(err error) {
	if err == nil {
		w.WriteHeader(http.StatusOK)
		if w.declared > w.written && w.hasBody() && w.req.Method != http.MethodHead {
			err = io.ErrUnexpectedEOF // a short body must look short
		}
	}
	w.finishTrailer()
	if w.pipe == nil {
		w.begin(err)
		return
	}
	w.stop()
	if err == nil {
		err = context.Cause(w.req.Context()) // a handler that was called off has not finished
	}
	if err != nil {
		_ = w.pipe.CloseWithError(fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err))
		return
	}
	_ = w.pipe.Close()
}

// finishTrailer takes the trailers from the header, where handlers put them. The
// caller may look at them once it has seen the body's end, or begun without a pipe.
func (w *writer) finishTrailer() {
	w.trailer = make(http.Header)
	for name, values := range w.header {
		if bare, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.trailer[bare] = values
		} else if slices.Contains(w.announced, name) {
			w.trailer[name] = values
		}
	}
}

// response is called by the caller's goroutine once begun is closed.
func (w *writer) response(req *http.Request) *http.Response {
	res := &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        w.sent,
		Request:       req,
		Trailer:       make(http.Header, len(w.announced)),
		ContentLength: w.declared,
	}
	for _, name := range w.announced {
		res.Trailer[name] = nil
	}
	if w.pipe != nil {
		res.Body = &stream{
			Reader:  io.MultiReader(bytes.NewReader(w.buf.Bytes()), w.reader),
			pipe:    w.reader,
			trailer: func() { maps.Copy(res.Trailer, w.trailer) },
		}
		return res
	}
	maps.Copy(res.Trailer, w.trailer)
	if res.ContentLength < 0 && req.Method != http.MethodHead {
		res.ContentLength = int64(w.buf.Len())
	}
	res.Body = io.NopCloser(&w.buf)
	return res
}

// stream is the body of a response whose handler is still writing.
type stream struct {
	io.Reader
	pipe    *io.PipeReader
	trailer func() // fills in the response's trailers, which are the reader's from the end on
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		s.trailer()
	}
	return n, err
}

// Close makes the handler's further writes fail.
func (s *stream) Close() error { return s.pipe.CloseWithError(errAbandoned) }

// hasBody reports whether the status allows content (RFC 9110 section 6.4.1).
func (w *writer) hasBody() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

func contentLength(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
