package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/forward"
	"github.com/gatewright/gateway/internal/rawjson"
)

// Typed is a [http.Handler] that a Go function serves, from a value to a value. Make one
// with [Handler]; the methods return changed copies.
type Typed[In, Out any] struct {
	serve   func(*http.Request, In) (Out, error)
	maxBody int64
	strict  bool
	status  int
}

const defaultMaxBody = 1 << 20

// Handler returns a handler that decodes the JSON of a request's body into an In, calls
// serve, and answers with what it returns as JSON, or with its error as [gateway.Fail] does.
// With In [None] the body is not read; with Out None the answer is 204 and has none. An
// Out with a method SetHeader(http.Header) has it called to add fields to the answer.
//
// The body has to be of type application/json (415) and not compressed (415), not larger
// than 1 MiB (413), one JSON text that all parsers read alike, and decodable by
// [encoding/json] (400). The request that serve gets is the one served, with its path
// values and principal, and a context by which [Fetch] and [Do] tell backends which request
// they work for. It panics if serve is nil.
func Handler[In, Out any](serve func(*http.Request, In) (Out, error)) Typed[In, Out] {
	if serve == nil {
		panic(errors.New("compose: handler: nil function"))
	}
	h := Typed[In, Out]{serve: serve, maxBody: defaultMaxBody, status: http.StatusOK}
	if isNone[Out]() {
		h.status = http.StatusNoContent
	}
	return h
}

// Limit returns the handler with a limit of max bytes on the request's body instead of 1
// MiB. It panics if max is not positive.
func (h Typed[In, Out]) Limit(max int64) Typed[In, Out] {
	if max <= 0 {
		panic(fmt.Errorf("compose: handler: limit %d is not positive", max))
	}
	h.maxBody = max
	return h
}

// Strict returns the handler as one that refuses a body with members that In does not have
// (400); otherwise they are ignored.
func (h Typed[In, Out]) Strict() Typed[In, Out] {
	h.strict = true
	return h
}

// Status returns the handler with a status of success instead of 200, or 204 where there is
// no Out. It panics if it is not 2xx, or 204 or 205 where there is one.
func (h Typed[In, Out]) Status(code int) Typed[In, Out] {
	empty := code == http.StatusNoContent || code == http.StatusResetContent
	if code < 200 || code > 299 || empty && !isNone[Out]() {
		panic(fmt.Errorf("compose: handler: status %d is none for the answer", code))
	}
	h.status = code
	return h
}

// ServeHTTP is part of [http.Handler].
func (h Typed[In, Out]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in In
	if !isNone[In]() {
		if err := decodeRequest(w, r, h.maxBody, h.strict, &in); err != nil {
			gateway.Fail(w, r, err)
			return
		}
	}
	r = r.WithContext(passing(r.Context(), r.Header))
	out, err := h.serve(r, in)
	if err == nil {
		err = h.answer(w, out)
	}
	if err != nil {
		gateway.Fail(w, r, err)
	}
}

// answer writes out. Its error is one of before anything was written.
func (h Typed[In, Out]) answer(w http.ResponseWriter, out Out) error {
	var text []byte
	if !isNone[Out]() {
		var err error
		if text, err = json.Marshal(out); err != nil {
			return fmt.Errorf("compose: the answer: %w", err)
		}
		w.Header()["Content-Type"] = contentJSON[:1:1]
		w.Header()["Content-Length"] = itoa(len(text))
	}
	if s, ok := any(out).(interface{ SetHeader(http.Header) }); ok {
		s.SetHeader(w.Header())
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(text) // a client that has left is no failure of ours
	return nil
}

// decodeRequest makes v what the body of r says, or returns the problem of it.
func decodeRequest(w http.ResponseWriter, r *http.Request, max int64, strict bool, v any) error {
	if !isJSON(r.Header.Get("Content-Type")) {
		w.Header()["Accept"] = contentJSON[:1:1] // RFC 9110 section 15.5.16
		return &gateway.Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body has to be application/json"}
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header()["Accept-Encoding"] = []string{"identity"}
		return &gateway.Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must not be compressed"}
	}
	text, err := readRequest(w, r, max)
	if err != nil {
		return err
	}
	if text, err = rawjson.Check(text); err != nil {
		return &gateway.Problem{Status: http.StatusBadRequest, Detail: "the body is not " + err.Error(), Err: err}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return &gateway.Problem{Status: http.StatusBadRequest, Detail: misfit(err), Err: err}
	}
	return nil
}

// isJSON reports whether a media type is JSON's, or one built on it (RFC 6839), in UTF-8.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return false
	}
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func readRequest(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	if r.ContentLength > max {
		return nil, &http.MaxBytesError{Limit: max}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	if err != nil && !errors.As(err, new(*http.MaxBytesError)) {
		err = &forward.BodyError{Err: err} // it is the client that broke off
	}
	return text, err
}

// misfit is what the client may know of why encoding/json did not take its body: names
// and kinds, but not what a type's own method says, nor more of the body than it takes.
func misfit(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ") // behind "number" is which
		if wrong.Field == "" {
			return "the body cannot be of the kind " + kind
		}
		return fmt.Sprintf("the member %.100q cannot be of the kind %s", wrong.Field, kind)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Sprintf("the body has a member that is not known: %.100s", name)
	}
	return "the body is not what it should be"
}
