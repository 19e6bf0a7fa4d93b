package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/claim"
)

// claims is the JSON object of a token's header or payload.
type claims = map[string]any

var errNoObject = errors.New("not one JSON object")

// object decodes a part of a token that is a JSON object, and refuses what two
// parsers could read differently.
func object(part string) (claims, error) {
	data, err := segment(part)
	if err != nil {
		return nil, err
	}
	return parseObject(data)
}

// parseObject is object for JSON that is not encoded any further.
func parseObject(data []byte) (claims, error) {
	if !utf8.Valid(data) { // encoding/json would put U+FFFD for any byte it does not like
		return nil, errNoObject
	}
	var c claims
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	// The decoder's own errors quote the token.
	if d.Decode(&c) != nil || c == nil {
		return nil, errNoObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	if countMembers(c) != colons(data) {
		return nil, errors.New("a member is there twice")
	}
	return c, nil
}

// countMembers counts the members of all objects in v.
func countMembers(v any) int {
	n := 0
	switch v := v.(type) {
	case claims:
		n = len(v)
		for _, e := range v {
			n += countMembers(e)
		}
	case []any:
		for _, e := range v {
			n += countMembers(e)
		}
	}
	return n
}

// colons counts the colons outside strings. In valid JSON there is one to a
// member, so if there are more than members, the decoder has dropped one for
// another of the same name, however that was escaped (RFC 7519 section 4).
func colons(data []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}

// maxDate is the end of the year 9999. Numbers further out do not survive the way
// into a time.Time: an nbf of 1e300 would lie in the past.
const maxDate = 253402300799

// checkClaims checks the types of claims that the jwt.Validator is lax about.
func checkClaims(c claims) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		v, ok := c[name]
		if !ok {
			continue
		}
		n, _ := v.(json.Number)
		if f, err := n.Float64(); err != nil || f < 0 || f > maxDate {
			return fmt.Errorf("%s is not a date", name)
		}
	}
	if sub, ok := c["sub"]; ok {
		if _, ok := sub.(string); !ok {
			return errors.New("sub is not a string")
		}
	}
	return nil
}

// scopes returns the scopes a token is good for: scope is a list with spaces (RFC
// 8693 section 4.2), scp what some issuers have in its place, often an array. What is no
// scope-token (RFC 6749 section 3.3) is none: joined by spaces, as backends are told, it
// could be several.
func scopes(c claims) []string {
	return slices.DeleteFunc(namedScopes(c), func(s string) bool { return !isScope(s) })
}

func namedScopes(c claims) []string {
	v, ok := c["scope"]
	if !ok {
		v = c["scp"]
	}
	words, _ := claim.Words(v) // what is no scope grants nothing
	return words
}
