package compose

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// BatchConfig is what a [Batch] is made from.
type BatchConfig struct {
	Routes      http.Handler  // serves each sub-request, usually the Gateway itself; required
	MaxRequests int           // in one batch; zero: 20
	AtOnce      int           // sub-requests under way; with 1 each begins when the one before has ended; zero: 8
	MaxBody     int64         // of the batch, in bytes; zero: 1 MiB
	MaxAnswer   int64         // the body of one answer, in bytes; zero: 1 MiB
	MaxTotal    int64         // all answers, in bytes; zero: 8 MiB
	Timeout     time.Duration // for the whole batch; zero: 30 seconds
	Each        time.Duration // for one sub-request; zero: what the batch has
	Headers     []string      // fields that a sub-request may set beside those that Batch names; nil: none
}

// Batch returns a handler that serves several requests in one, a POST of
//
//	{"requests": [{"id": "a", "method": "GET", "path": "/v1/orders?page=2"},
//	              {"id": "b", "method": "PATCH", "path": "/v1/users/7", "headers": {"If-Match": "\"3\""}, "body": {"name": "Ada"}}]}
//
// and answers 200 with what became of each, in the order asked:
//
//	{"responses": [{"id": "a", "status": 200, "headers": {"Content-Type": "application/json"}, "body": […]},
//	               {"id": "b", "status": 412, "headers": {"Content-Type": "application/problem+json"}, "body": {…}}]}
//
// A body that is JSON is passed as it stands. Any other is a string, with "encoding" "text"
// or "base64" beside it, in the answers as in the requests. The method may be left out for
// a GET, headers and body if there are none; every id is another.
//
// Each sub-request goes through all of Routes, as one that the client sends by itself:
// from its address, with the fields of the batch's header, Authorization and Cookie among
// them, but not those that belong to its body and its connection or that make it
// conditional. So authentication, authorisation and limits apply to each, and a batch of
// 20 costs 21 of a limit on all of the Gateway. A middleware of the batch's own route that
// removes credentials, as auth.Require does, removes them from all: leave it to the routes
// of the sub-requests. These may set Accept, Accept-Language, Content-Type, Content-Language, If-Match,
// If-None-Match, If-Modified-Since, If-Unmodified-Since, Idempotency-Key and Prefer.
// Set-Cookie of the answers becomes a field of the whole answer, as scripts may not read it.
//
// A batch that is not like that is refused as a whole, with 400, 413 or 415, and one in
// another with 508. Of a sub-request's own are: 500 where its handler panics, 502 where
// its answer is larger than there is room, or none, 504 where there is no time left. They
// are not atomic: what is done before another fails stays done.
//
// Batch panics if there are no Routes, a limit is negative, or Headers has what may not be
// chosen for one sub-request: fields of the connection, of the message's length, of who
// sent it.
func Batch(c BatchConfig) http.Handler {
	if err := c.check(); err != nil {
		panic(fmt.Errorf("compose: batch: %w", err))
	}
	b := &batch{to: gateway.Local(c.Routes), config: c, settable: make(map[string]bool)}
	b.config.MaxRequests = cmp.Or(c.MaxRequests, 20)
	b.config.AtOnce = cmp.Or(c.AtOnce, 8)
	b.config.MaxBody = cmp.Or(c.MaxBody, defaultMaxBody)
	b.config.MaxAnswer = cmp.Or(c.MaxAnswer, 1<<20)
	b.config.MaxTotal = cmp.Or(c.MaxTotal, 8<<20)
	b.config.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	b.config.Each = cmp.Or(c.Each, b.config.Timeout)
	for _, name := range slices.Concat(settableFields, c.Headers) {
		b.settable[http.CanonicalHeaderKey(name)] = true
	}
	return b
}

var settableFields = []string{
	"Accept", "Accept-Language", "Content-Type", "Content-Language", "If-Match", "If-None-Match",
	"If-Modified-Since", "If-Unmodified-Since", "Idempotency-Key", "Prefer",
}

func (c *BatchConfig) check() error {
	if c.Routes == nil {
		return errors.New("no routes")
	}
	if min(int64(c.MaxRequests), int64(c.AtOnce), c.MaxBody, c.MaxAnswer, c.MaxTotal, int64(c.Timeout), int64(c.Each)) < 0 {
		return errors.New("a limit is negative")
	}
	for _, name := range c.Headers {
		if !field.IsToken(name) || unsettable(http.CanonicalHeaderKey(name)) {
			return fmt.Errorf("a sub-request cannot set %q", name)
		}
	}
	return nil
}

// unsettable reports whether a field is not a sub-request's to choose: what it says would be
// taken for the word of the connection, or of a proxy before the gateway.
func unsettable(name string) bool {
	switch name {
	case "Host", "Content-Length", "Expect", "Forwarded", "X-Real-Ip", "X-Request-Id", "Cookie", "Origin":
		return true
	}
	return field.OfConnection(name) || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Sec-")
}

// ownField reports whether a field says something about the batch's own message, which is
// not so of its sub-requests'.
func ownField(name string) bool {
	switch name {
	case "Accept", "Accept-Charset", "Accept-Encoding", "Digest", "Expect", "Host", "Http2-Settings", "Idempotency-Key", "Prefer", "Range":
		return true
	}
	return field.OfConnection(name) || strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "If-") || strings.HasPrefix(name, "Sec-Websocket-")
}

type batch struct {
	to       http.RoundTripper
	config   BatchConfig
	settable map[string]bool
}

// batchKey marks a context as that of a sub-request.
type batchKey struct{}

var errBatchInBatch = errors.New("compose: a batch is part of a batch")

func (b *batch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		gateway.Fail(w, r, &gateway.Problem{Status: http.StatusMethodNotAllowed})
		return
	case r.Context().Value(batchKey{}) != nil:
		gateway.Fail(w, r, &gateway.Problem{Status: http.StatusLoopDetected, Detail: "a batch cannot be part of a batch", Err: errBatchInBatch})
		return
	}
	subs, err := b.read(w, r)
	if err != nil {
		gateway.Fail(w, r, err)
		return
	}
	answers := b.ask(r, subs)
	if err := r.Context().Err(); err != nil {
		gateway.Fail(w, r, err)
		return
	}
	b.write(w, answers)
}

// subRequest is one of a batch, as the client writes it.
type subRequest struct {
	ID       string            `json:"id"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	Encoding string            `json:"encoding"`

	url    *url.URL
	header http.Header
}

// Limits of a sub-request, in bytes. They are those of servers for a request line and its
// fields, or what will do.
const (
	maxSubID     = 128
	maxSubPath   = 8 << 10
	maxSubHeader = 8 << 10
)

// read returns the sub-requests of r, all of which can be made.
func (b *batch) read(w http.ResponseWriter, r *http.Request) ([]subRequest, error) {
	var text struct {
		Requests []subRequest `json:"requests"`
	}
	// Members that nobody knows are refused: a condition misspelt would be none.
	if err := decodeRequest(w, r, b.config.MaxBody, true, &text); err != nil {
		return nil, err
	}
	if len(text.Requests) > b.config.MaxRequests {
		return nil, refuseBatch("it has more than %d requests", b.config.MaxRequests)
	}
	ids := make(map[string]bool)
	for i := range text.Requests {
		q := &text.Requests[i]
		if q.ID == "" || len(q.ID) > maxSubID || ids[q.ID] {
			return nil, refuseBatch("request %d has no id, one of more than %d bytes, or one that another has", i, maxSubID)
		}
		ids[q.ID] = true
		if err := b.prepare(q); err != nil {
			return nil, refuseBatch("request %q: %w", q.ID, err)
		}
	}
	return text.Requests, nil
}

func refuseBatch(format string, args ...any) error {
	err := fmt.Errorf("the batch cannot be served: "+format, args...)
	return &gateway.Problem{Status: http.StatusBadRequest, Detail: err.Error(), Err: err}
}

// prepare makes of q what a request needs, or says why it cannot.
func (b *batch) prepare(q *subRequest) (err error) {
	q.Method = cmp.Or(q.Method, http.MethodGet)
	switch {
	case !field.IsToken(q.Method) || len(q.Method) > 32:
		return errors.New("the method is none")
	case q.Method == http.MethodConnect || q.Method == http.MethodTrace:
		return fmt.Errorf("the method %s is not served here", q.Method)
	}
	if q.url, err = subURL(q.Path); err != nil {
		return err
	}
	if q.header, err = b.fields(q.Headers); err != nil {
		return err
	}
	return q.decodeBody()
}

var errSubPath = errors.New("the path has to be one of this server, with a query or without, encoded as in a URL")

// subURL returns what a server would have made of the path. Whether it has dot segments and
// the like is for the routes to say.
func subURL(path string) (*url.URL, error) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > maxSubPath {
		return nil, errSubPath
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return nil, errSubPath
		}
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, errSubPath
	}
	return u, nil
}

func (b *batch) fields(given map[string]string) (http.Header, error) {
	h := make(http.Header, len(given)+1)
	size := 0
	for name, v := range given {
		canonical := http.CanonicalHeaderKey(name)
		switch size += len(name) + len(v); {
		case !b.settable[canonical]:
			return nil, fmt.Errorf("it cannot set the header field %.100q", name)
		case h[canonical] != nil:
			return nil, fmt.Errorf("it has the header field %s twice", canonical)
		case !field.IsValue(v):
			return nil, fmt.Errorf("the value of the header field %s is none", canonical)
		case size > maxSubHeader:
			return nil, fmt.Errorf("its header is larger than %d bytes", maxSubHeader)
		}
		h[canonical] = []string{v}
	}
	return h, nil
}

// decodeBody makes the body what is to be sent.
func (q *subRequest) decodeBody() error {
	if q.Body == nil {
		return nil
	}
	kind := contentJSON[0]
	if q.Encoding != "" {
		var text string
		if err := json.Unmarshal(q.Body, &text); err != nil {
			return errors.New("its encoding is for a string")
		}
		switch q.Encoding {
		case encodingText:
			q.Body, kind = []byte(text), "text/plain; charset=utf-8"
		case encodingBase64:
			decoded, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return errors.New("its body is not base64")
			}
			q.Body, kind = decoded, "application/octet-stream"
		default:
			return errors.New(`its encoding is neither "text" nor "base64"`)
		}
	}
	if q.header["Content-Type"] == nil {
		q.header["Content-Type"] = []string{kind}
	}
	return nil
}

// ask makes the sub-requests and returns their answers, in order.
func (b *batch) ask(r *http.Request, subs []subRequest) []subAnswer {
	answers := make([]subAnswer, len(subs))
	end := time.Now().Add(b.config.Timeout)
	header := inherited(r.Header)
	var total atomic.Int64
	// It fails if r's context has ended, and then nobody waits for the answers.
	_ = together(r.Context(), len(subs), b.config.AtOnce, func(ctx context.Context, i int) error {
		ctx, cancel := context.WithDeadline(context.WithValue(ctx, batchKey{}, true), end)
		defer cancel()
		answers[i] = b.askOne(ctx, r, header, &subs[i])
		if size := int64(len(answers[i].json)); total.Add(size) > b.config.MaxTotal {
			total.Add(-size)
			answers[i] = failedAnswer(&subs[i], errNoRoom)
		}
		return nil
	})
	if s := exchange.From(r.Context()); s != nil {
		for i := range answers {
			if err := answers[i].err; err != nil {
				s.Notes = append(s.Notes, slog.String("compose.failed", fmt.Sprintf("request %q: %v", subs[i].ID, err)))
			}
		}
	}
	return answers
}

// inherited are the fields of a batch that its sub-requests have as well.
func inherited(h http.Header) http.Header {
	h = maps.Clone(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool { return ownField(name) })
	return h
}

func (b *batch) askOne(ctx context.Context, r *http.Request, header http.Header, q *subRequest) subAnswer {
	ctx, cancel := context.WithTimeout(ctx, b.config.Each)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return failedAnswer(q, err) // what cannot end is not begun
	}
	sub := blank.WithContext(ctx)
	sub.Method, sub.URL, sub.Host = q.Method, q.url, r.Host
	sub.RemoteAddr, sub.TLS = r.RemoteAddr, r.TLS
	sub.Header = maps.Clone(header)
	maps.Copy(sub.Header, q.header)
	if q.Body != nil {
		sub.Body, sub.ContentLength = io.NopCloser(bytes.NewReader(q.Body)), int64(len(q.Body))
	}
	res, err := b.to.RoundTrip(sub)
	if err != nil {
		return failedAnswer(q, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, b.config.MaxAnswer+1))
	switch {
	case err != nil:
		return failedAnswer(q, err)
	case int64(len(body)) > b.config.MaxAnswer:
		return failedAnswer(q, errNoRoom)
	case res.StatusCode < 200:
		return failedAnswer(q, &gateway.Problem{Status: http.StatusBadGateway, Err: fmt.Errorf("status %d", res.StatusCode)})
	}
	return newSubAnswer(q, res, body)
}
