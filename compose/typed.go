package compose

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/gatewright/gateway/internal/rawpath"
	"go.opentelemetry.io/otel/propagation"
)

// Request is what [Do] asks a backend for.
type Request struct {
	Method  string        // empty: GET without a Body, POST with one
	Path    string        // and maybe a query, with holes as in "/v1/users/{id}"; empty: "/"
	Values  []any         // for the holes, in their order: texts, numbers, booleans, encoding.TextMarshalers; nil: there are no holes
	Body    any           // made JSON by encoding/json; nil: none
	Header  http.Header   // more fields; they replace those that the request has anyway; nil: none
	Timeout time.Duration // of the call, to the end of the answer's body; zero: only ctx limits it
}

// None is the type of what is not there: an answer that nobody reads, or a request or a
// response of [Handler] without a body.
type None struct{}

func isNone[T any]() bool {
	_, ok := any((*T)(nil)).(*None)
	return ok
}

// A StatusError is the answer of a backend whose status is not 2xx. [errors.As] finds it in
// the error of [Fetch] and [Do]; the client gets nothing of it.
type StatusError struct {
	Status int
	Header http.Header
	Body   []byte // the first 64 KiB of it, decompressed
}

// Error says only which status it is.
func (e *StatusError) Error() string { return "status " + strconv.Itoa(e.Status) }

// maxErrorBody is how much a StatusError has of its body.
const maxErrorBody = 64 << 10

// Fetch is [Do] for a GET:
//
//	user, err := compose.Fetch[User](ctx, users, "/v1/users/{id}", id)
//
// The values take the places of the holes in their order, whatever the names are.
func Fetch[T any](ctx context.Context, from http.RoundTripper, path string, values ...any) (T, error) {
	return Do[T](ctx, from, Request{Path: path, Values: values})
}

// Do returns the answer of from, usually a balancer.Pool, to q. The request carries what
// that of a [Part] does: Accept, and the id and the trace of the request that ctx belongs
// to, and no credentials. What is required of the answer is the same as well: a status of
// success, and no more than 1 MiB of JSON that all parsers read alike, which
// [encoding/json] then decodes. With T [None] the body is not read, and may be missing.
//
// A value stays in its place: one in the path is one segment, one in the query one value.
// One that cannot, such as ".." or an empty one in the path, is the client's fault (400).
//
// The error is a [*gateway.Problem] that says nothing of the backend to the client, with
// the status that a required part would give the whole; see the package comment. The
// backend's own is in a [StatusError]. What is wrong with q itself is a 500.
func Do[T any](ctx context.Context, from http.RoundTripper, q Request) (T, error) {
	var v T
	ctx, err := deeper(ctx)
	if err != nil {
		return v, err
	}
	if q.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.Timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return v, gateway.ProblemOf(err) // what cannot end is not begun
	}
	r, err := q.build(ctx)
	if err != nil {
		return v, gateway.ProblemOf(err)
	}
	res, err := from.RoundTrip(r)
	if err != nil {
		return v, gateway.UpstreamProblem(err)
	}
	defer res.Body.Close()
	if err := checkResponse(res); err != nil {
		return v, withStatus(err, res)
	}
	if isNone[T]() {
		return v, nil
	}
	return v, decodeInto(&v, res)
}

// withStatus returns the problem err with what its backend said in it.
func withStatus(err error, res *http.Response) error {
	p := gateway.ProblemOf(err)
	status := &StatusError{Status: res.StatusCode, Header: res.Header}
	if body, err := inflated(res); err == nil {
		// It is a help and no more: what there is of a body that breaks off will do.
		status.Body, _ = io.ReadAll(io.LimitReader(body, maxErrorBody))
	}
	p.Err = status
	return p
}

// decodeInto makes v what the body of res says.
func decodeInto(v any, res *http.Response) error {
	if res.ContentLength > maxPart {
		return unfit(errTooLarge)
	}
	body, err := inflated(res)
	if err != nil {
		return unfit(err)
	}
	buffer := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= maxPooled {
			buffers.Put(buffer)
		}
	}()
	if *buffer, err = readAll((*buffer)[:0], body); err != nil {
		return gateway.ProblemOf(err)
	}
	text, err := rawjson.Check(*buffer)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return unfit(err)
	}
	return nil
}

// build returns the request that q describes.
func (q *Request) build(ctx context.Context) (*http.Request, error) {
	o := &outgoing{}
	if s := exchange.From(ctx); s != nil {
		o.state = settled(s)
	}
	r := blank.WithContext(exchange.With(ctx, &o.state))
	o.state.Given = r
	r.Method, r.URL = q.method(), &o.url
	if !field.IsToken(r.Method) {
		return nil, fmt.Errorf("compose: method %q is none", r.Method)
	}
	if err := q.target(&o.url); err != nil {
		return nil, err
	}
	r.Header = make(http.Header, len(passed)+2+len(q.Header))
	r.Header["Accept"] = acceptJSON[:1:1]
	passOnTo(r.Header, ctx)
	if err := q.body(r, &o.body); err != nil {
		return nil, err
	}
	return r, q.fields(r.Header)
}

// settled is what those that work for a request beside each other may know of it: what
// does not change any more, and what has a lock.
func settled(s *exchange.State) exchange.State {
	return exchange.State{RequestID: s.RequestID, Principal: s.Principal, Token: s.Token, Client: s.Client, Trusted: s.Trusted, Attempts: s.Attempts}
}

func (q *Request) method() string {
	switch {
	case q.Method != "":
		return q.Method
	case q.Body != nil:
		return http.MethodPost
	}
	return http.MethodGet
}

type passedKey struct{}

// passing returns ctx with those fields of h that go to every backend.
func passing(ctx context.Context, h http.Header) context.Context {
	fields := make(http.Header, len(passed))
	for _, name := range passed {
		if v, ok := h[name]; ok {
			fields[name] = v[:len(v):len(v)]
		}
	}
	return context.WithValue(ctx, passedKey{}, fields)
}

// passOnTo puts into h which request ctx is of: what the request itself said if [Handler]
// serves it, else what the middlewares know of it. A span that was begun since is nearer.
func passOnTo(h http.Header, ctx context.Context) {
	if fields, ok := ctx.Value(passedKey{}).(http.Header); ok {
		for name, v := range fields {
			h[name] = v
		}
	} else if s := exchange.From(ctx); s != nil && s.RequestID != "" {
		h["X-Request-Id"] = []string{s.RequestID}
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// body gives r its body, of which b is the first reader.
func (q *Request) body(r *http.Request, b *body) error {
	if q.Body == nil {
		return nil
	}
	text, err := json.Marshal(q.Body)
	if err != nil {
		return fmt.Errorf("compose: the request's body: %w", err)
	}
	b.text = text
	r.Header["Content-Type"] = contentJSON[:1:1]
	r.Body, r.ContentLength = b, int64(len(text))
	r.GetBody = func() (io.ReadCloser, error) { return &body{text: text}, nil }
	return nil
}

// fields adds q's fields to h.
func (q *Request) fields(h http.Header) error {
	for name, values := range q.Header {
		if !field.IsToken(name) {
			return fmt.Errorf("compose: field name %q is none", name)
		}
		for _, v := range values {
			if !field.IsValue(v) { // CR LF would be another field
				return &gateway.Problem{Status: http.StatusBadRequest, Detail: errField.Error(), Err: errField}
			}
		}
		h[http.CanonicalHeaderKey(name)] = values
	}
	return nil
}

var errPathValue = errors.New("a value cannot stand in a path")

// target makes u the URL of q, with its values escaped for where they land.
func (q *Request) target(u *url.URL) error {
	if q.Path == "" {
		u.Path = "/"
		return nil
	}
	t, err := parseTarget(q.Path)
	if err != nil {
		return fmt.Errorf("compose: %w", err)
	}
	if len(t.holes) != len(q.Values) {
		return fmt.Errorf("compose: %d values for the %d holes of %q", len(q.Values), len(t.holes), q.Path)
	}
	filled := t.literals[0]
	for i, h := range t.holes {
		text, err := valueText(q.Values[i])
		if err != nil {
			return fmt.Errorf("compose: value %d for %q: %w", i, q.Path, err)
		}
		if h.place == inQuery {
			text = url.QueryEscape(text)
		} else if text = url.PathEscape(text); text == "" { // "/users/" is another resource than a user
			return &gateway.Problem{Status: http.StatusBadRequest, Detail: errPathValue.Error(), Err: errPathValue}
		}
		filled += text + t.literals[i+1]
	}
	path, query, _ := strings.Cut(filled, "?")
	u.RawQuery = query
	if err := rawpath.Check(path); err != nil { // a value may be "..", or decode to it
		return &gateway.Problem{Status: http.StatusBadRequest, Detail: errPathValue.Error(), Err: err}
	}
	if !rawpath.Set(u, path) {
		return fmt.Errorf("compose: path %q is not valid", path)
	}
	return nil
}

// valueText returns how v is written in a URL. Only what has one way to be written is.
func valueText(v any) (string, error) {
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Pointer && value.IsNil() {
		return "", errors.New("it is nil")
	}
	if m, ok := v.(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return string(text), err
	}
	switch value.Kind() {
	case reflect.String:
		return value.String(), nil
	case reflect.Bool:
		return strconv.FormatBool(value.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(value.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(value.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(value.Float(), 'f', -1, value.Type().Bits()), nil
	}
	return "", fmt.Errorf("%T has no one text", v)
}
