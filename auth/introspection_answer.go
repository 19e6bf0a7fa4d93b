package auth

import (
	"errors"
	"fmt"
	"strings"
)

// parseIntrospection reads what an issuer says of a token (RFC 7662 section 2.2). It
// returns nil claims if the token is not active, and an error if it does not say so
// plainly: then nothing is known of the token.
func parseIntrospection(data []byte) (claims, error) {
	c, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	switch active, ok := c["active"].(bool); {
	case !ok:
		return nil, errors.New("active is not a boolean")
	case !active:
		return nil, nil
	}
	if err := checkClaims(c); err != nil {
		return nil, err
	}
	for _, name := range []string{"iss", "client_id", "username", "token_type", "jti"} {
		if v, ok := c[name]; ok {
			if _, ok := v.(string); !ok {
				return nil, fmt.Errorf("%s is not a string", name)
			}
		}
	}
	for _, name := range []string{"aud", "scope", "scp"} {
		if v, ok := c[name]; ok && !isWords(v) {
			return nil, fmt.Errorf("%s is neither a string nor an array of them", name)
		}
	}
	return c, nil
}

// isRefresh reports whether an issuer says that a token is a refresh token. Some answer for
// these too, and who has one may have had it longer than anybody was to have access.
func isRefresh(c claims) bool {
	for _, name := range []string{"token_type", "token_use", "typ"} {
		if s, _ := c[name].(string); strings.HasPrefix(strings.ToLower(s), "refresh") {
			return true
		}
	}
	return false
}

func isWords(v any) bool {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, e := range list {
		if _, ok := e.(string); !ok {
			return false
		}
	}
	return true
}
