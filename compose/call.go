package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/rawjson"

	"github.com/gatewright/gateway/internal/field"
)

// maxPart is how large a part's body may be, after it is decompressed.
const maxPart = 1 << 20

// maxDecoded is how large what a Decoder makes of it may be: other formats say the same in
// fewer bytes.
const maxDecoded = 8 << 20

// answer is what one call has brought.
type answer struct {
	json   []byte
	header http.Header
	buffer *[]byte // of which json is a piece; nil: of none that is used again
	key    string  // of what was asked, if it is kept
}

// outgoing is all that a request needs, in one piece.
type outgoing struct {
	url   url.URL
	state exchange.State
	body  body
}

// body is a request's, which can be had again for another attempt.
type body struct {
	text []byte
	read int
}

func (b *body) Read(p []byte) (int, error) {
	if b.read == len(b.text) {
		return 0, io.EOF
	}
	n := copy(p, b.text[b.read:])
	b.read += n
	return n, nil
}

func (b *body) Close() error { return nil }

// call asks s's backend, with the holes of its templates filled from sc, in ctx, which is
// the run's with the span of the part.
func (x *run) call(ctx context.Context, s *step, sc *scope) (a answer, err error) {
	defer func() {
		// A panic on this goroutine would end the process, http.ErrAbortHandler too.
		if v := recover(); v != nil {
			a, err = answer{}, fmt.Errorf("panic: %v", v)
		}
	}()
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return a, err // what cannot end is not begun
	}
	req, err := x.newRequest(ctx, s, sc)
	if err != nil {
		return a, err
	}
	if s.keep != nil {
		a.key = keyOf(req)
	}
	res, err := s.from.RoundTrip(req)
	if err != nil {
		return a, broken(ctx, err)
	}
	defer res.Body.Close()
	if err := checkResponse(res); err != nil {
		return a, err
	}
	a.header = res.Header
	err = x.read(s, res, &a)
	return a, err
}

// broken is the problem of a round trip that failed. A transport may say of itself that it
// was cancelled, which is not the client's doing as long as ctx has not ended.
func broken(ctx context.Context, err error) *gateway.Problem {
	p := gateway.UpstreamProblem(err)
	if p.Fault == gateway.ClientCanceled && ctx.Err() == nil {
		return &gateway.Problem{Status: http.StatusBadGateway, Fault: gateway.UpstreamHeader, Err: err}
	}
	return p
}

// blank is what all requests have in common.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

// passed are the fields of the client's request that go to every part: they say
// which request it is, and nothing about who sent it.
var passed = []string{"X-Request-Id", "Traceparent", "Tracestate"}

func (x *run) newRequest(ctx context.Context, s *step, sc *scope) (*http.Request, error) {
	o := &outgoing{}
	if x.state != nil {
		// Of the client's request, a backend's is to know who asks; and interim responses
		// to it are not the client's. Of a part that is given up, the request may be made
		// while the failure of the whole is written: so not the whole state is read.
		now := x.state
		o.state = exchange.State{RequestID: now.RequestID, Principal: now.Principal, Token: now.Token, Client: now.Client, Trusted: now.Trusted, Attempts: now.Attempts}
	}
	r := blank.WithContext(exchange.With(ctx, &o.state))
	o.state.Given = r
	r.Method, r.URL = s.method, &o.url
	if err := s.url.target(&o.url, sc); err != nil {
		return nil, err
	}
	r.Header = make(http.Header, len(passed)+2+len(s.fields))
	r.Header["Accept"] = s.accept()
	for _, name := range passed {
		if v, ok := x.request.Header[name]; ok {
			r.Header[name] = v[:len(v):len(v)]
		}
	}
	x.inject(ctx, r.Header)
	for i := range s.fields {
		v, err := s.fields[i].template.field(sc)
		if err != nil {
			return nil, err
		}
		r.Header[s.fields[i].name] = []string{v}
	}
	if s.Part.body == "" {
		return r, nil
	}
	text, err := s.body.append(nil, sc)
	if err != nil {
		return nil, err
	}
	if _, ok := r.Header["Content-Type"]; !ok {
		r.Header["Content-Type"] = []string{"application/json"}
	}
	o.body.text = text
	r.Body, r.ContentLength = &o.body, int64(len(text))
	r.GetBody = func() (io.ReadCloser, error) { return &body{text: text}, nil }
	return r, nil
}

var acceptJSON = []string{"application/json"}

func (s *step) accept() []string {
	if s.decode == nil {
		return acceptJSON[:1:1]
	}
	return []string{s.decode.Accept()}
}

// checkResponse refuses a status that is not of success, by what the whole should say then.
func checkResponse(res *http.Response) error {
	status := http.StatusBadGateway
	switch code := res.StatusCode; code {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusGatewayTimeout:
		status = code
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		status = http.StatusServiceUnavailable
	default:
		if code >= 200 && code <= 299 && code != http.StatusPartialContent { // a part asks for no range
			return nil
		}
	}
	p := &gateway.Problem{Status: status, Fault: gateway.UpstreamStatus, Err: fmt.Errorf("status %d", res.StatusCode)}
	if wait, ok := field.RetryAfter(res.Header); ok && status == http.StatusServiceUnavailable {
		p.RetryAfter = wait
	}
	return p
}

var errTooLarge = fmt.Errorf("body is larger than %d bytes", maxPart)

// buffers are of bodies; none is larger than what is usual.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

const maxPooled = 64 << 10

// free gives back what results are pieces of. They must not be used any more.
func (res *result) free() {
	if res.buffer != nil && cap(*res.buffer) <= maxPooled {
		buffers.Put(res.buffer)
	}
	res.buffer = nil
}

// read reads the body of res, to its end, and makes of it what s wants.
func (x *run) read(s *step, res *http.Response, a *answer) error {
	if res.ContentLength > maxPart {
		return unfit(errTooLarge)
	}
	reader, err := inflated(res)
	if err != nil {
		return unfit(err)
	}
	buffer := buffers.Get().(*[]byte)
	*buffer, err = readAll((*buffer)[:0], reader)
	if err != nil {
		buffers.Put(buffer)
		return err
	}
	a.buffer = buffer
	text := *buffer
	if s.decode != nil {
		if text, err = s.decode.Decode(text); err != nil {
			return unfit(err)
		}
		if len(text) > maxDecoded {
			return unfit(errTooLarge)
		}
	}
	if text, err = rawjson.Check(text); err != nil {
		return unfit(err)
	}
	for _, c := range s.shape {
		if text, err = c(text); err != nil {
			return unfit(err)
		}
	}
	if s.kind != 0 && rawjson.KindOf(text) != s.kind {
		return unfit(errKind)
	}
	a.json = text
	return nil
}

var errKind = errors.New("it is not what can be spread")

// unfit is the problem of an answer that came and is not what it should be.
func unfit(err error) error {
	return &gateway.Problem{Status: http.StatusBadGateway, Fault: gateway.UpstreamBody, Err: err}
}

// readAll appends to b what r has, of which there may be as much as maxPart.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > maxPart:
			return b, unfit(errTooLarge)
		case err == io.EOF:
			return b, nil
		case err != nil:
			if p := gateway.ProblemOf(err); p.Fault != gateway.GatewayInternal {
				return b, p
			}
			return b, unfit(err)
		}
	}
}

// failure returns err as the problem of the whole, should this part be required. It names
// the part, which the client knows, and not the upstream.
func (s *step) failure(err error) *partError {
	p := gateway.ProblemOf(err)
	p.Err = fmt.Errorf("part %q: %w", s.name, err)
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("part %q failed", s.name)
	}
	return &partError{s.name, p}
}

// keyOf is the same for requests that are the same to their backend.
func keyOf(r *http.Request) string {
	var b strings.Builder
	b.WriteString(r.URL.EscapedPath() + "?" + r.URL.RawQuery)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if values := r.Header[name]; name != "X-Request-Id" && name != "Traceparent" && name != "Tracestate" {
			b.WriteString("\n" + name + strconv.Quote(strings.Join(values, ",")))
		}
	}
	return b.String()
}

var errNoAnswer = errors.New("the answer says nothing of the element")
