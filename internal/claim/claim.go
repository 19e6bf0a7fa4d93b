// Package claim reads what an issuer says of somebody, as decoded from JSON.
package claim

import "strings"

// At returns the claim at the end of a path of names with dots between, nil if there is
// none. A claim whose whole name has the dots comes first: some have URLs for names.
func At(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	name, rest, _ := strings.Cut(path, ".")
	inner, _ := claims[name].(map[string]any)
	if inner == nil {
		return nil
	}
	return At(inner, rest)
}

// Roles returns those that the claim at the path names or, if that is empty, those of the
// two that most issuers have them in (RFC 9068 section 2.2.3.1), and whether that is all:
// not if some stand there in a way that is not to be read.
func Roles(claims map[string]any, path string) (roles []string, all bool) {
	if path != "" {
		return Words(At(claims, path))
	}
	roles, all = Words(claims["roles"])
	groups, also := Words(claims["groups"])
	return append(roles, groups...), all && also
}

// Words returns the strings of a list, or of a text with spaces between, and whether there
// is nothing else that could be words: lists and objects could.
func Words(v any) (words []string, all bool) {
	switch v := v.(type) {
	case string:
		return strings.Fields(v), true
	case []any:
		all = true
		for _, e := range v {
			switch e := e.(type) {
			case string:
				words = append(words, e)
			case []any, map[string]any:
				all = false
			}
		}
		return words, all
	case map[string]any:
		return nil, false
	}
	return nil, true
}
