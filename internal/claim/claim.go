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
// two that most issuers have them in (RFC 9068 section 2.2.3.1).
func Roles(claims map[string]any, path string) []string {
	if path != "" {
		return Words(At(claims, path))
	}
	return append(Words(claims["roles"]), Words(claims["groups"])...)
}

// Words returns the strings of a list, or of a text with spaces between.
func Words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
