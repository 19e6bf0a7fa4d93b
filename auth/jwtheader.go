package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// maxHeaders is how many headers are kept. An issuer has one to a key.
const maxHeaders = 32

// headers is those of tokens that were verified, decoded: the tokens of a key differ in
// the payload alone.
type headers struct {
	known atomic.Pointer[map[string]claims]
}

func (c *headers) find(header string) claims {
	if known := c.known.Load(); known != nil {
		return (*known)[header]
	}
	return nil
}

// keep adds a header, and begins anew if there are too many. One of two that are added at
// once may be lost.
func (c *headers) keep(header string, h claims) {
	if c.find(header) != nil {
		return
	}
	next := make(map[string]claims)
	if known := c.known.Load(); known != nil && len(*known) < maxHeaders {
		maps.Copy(next, *known)
	}
	next[strings.Clone(header)] = h
	c.known.Store(&next)
}

// header returns the decoded header of a token, if it is one that we understand.
func (v *verifier) header(part string) (claims, error) {
	if h := v.headers.find(part); h != nil {
		return h, nil
	}
	h, err := object(part)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, v.checkHeader(h)
}

// checkHeader refuses what would make another reader understand the token in
// another way. It asks for names in their exact case only, as others do.
func (v *verifier) checkHeader(h claims) error {
	for _, name := range []string{"crit", "b64"} { // RFC 7515 section 4.1.11, RFC 7797
		if _, ok := h[name]; ok {
			return fmt.Errorf("header has %s", name)
		}
	}
	typ, ok := h["typ"]
	if !ok && v.types == nil {
		return nil
	}
	// A token for another purpose, such as a logout token, is no access token
	// (RFC 8725 section 3.11).
	s, _ := typ.(string)
	switch s = mediaType(s); {
	case v.types == nil && (s == "jwt" || s == "at+jwt"), slices.Contains(v.types, s):
		return nil
	}
	return errors.New("typ is not that of an access token")
}

// mediaType returns a typ as it is compared (RFC 7515 section 4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
