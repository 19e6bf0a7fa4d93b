package compose

import (
	"errors"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/rawjson"
)

// A Decoder makes JSON of what a backend answers in another format: [XML], [SOAP], [RSS],
// [Text], or one of the program's own. Its methods are called concurrently.
type Decoder interface {
	// Accept returns the media types to ask for, as the field Accept has them.
	Accept() string

	// Decode returns body, which is at most 1 MiB, as one JSON text, which may be a piece of
	// it and is checked. It must not keep body. An error is the part's failure; its text is
	// for the log.
	Decode(body []byte) ([]byte, error)
}

// Text decodes plain text in UTF-8: all of it is one JSON string.
type Text struct{}

// Accept is part of [Decoder].
func (Text) Accept() string { return "text/plain" }

// Decode is part of [Decoder].
func (Text) Decode(body []byte) ([]byte, error) {
	if !utf8.Valid(body) {
		return nil, errNotUTF8
	}
	return rawjson.AppendString(make([]byte, 0, len(body)+2), string(body)), nil
}

var errNotUTF8 = errors.New("the text is not UTF-8")

// clipped returns the beginning of what a backend says, for the log.
func clipped(s string) string {
	const enough = 200
	if len(s) > enough {
		return s[:enough] + "…"
	}
	return s
}
