package auth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gatewright/gateway/internal/rawpath"
)

var (
	errReadings = errors.New("the path can be read in several ways, and not all are judged alike")
	errShape    = errors.New("a claim of a shape that has no values to compare")
)

// ofEveryReading asks holds of r, and of what a backend could take r for: whether it
// permits or denies, no spelling of a path gets round it then.
func ofEveryReading(r *http.Request, holds func(*http.Request) (bool, error)) verdict {
	passed, err := holds(r)
	if err != nil {
		return verdict{err: err}
	}
	escaped := r.URL.EscapedPath()
	if !rawpath.Ambiguous(escaped) {
		return verdict{passed: passed}
	}
	for reading := range rawpath.Readings(escaped) {
		u := *r.URL
		if !rawpath.Set(&u, reading) { // decoded as far as it goes
			u.Path, u.RawPath = reading, ""
		}
		other := r.WithContext(r.Context())
		other.URL = &u
		switch is, err := holds(other); {
		case err != nil:
			return verdict{err: err}
		case is != passed:
			return verdict{err: errReadings}
		}
	}
	return verdict{passed: passed}
}

// among is the verdict that a value was found among those of the claims, or not; if not,
// it is none if one of the claims cannot be read, since the value could be within.
func among(found bool, claims ...any) verdict {
	if !found && slices.ContainsFunc(claims, func(v any) bool { return !isReadable(v) }) {
		return verdict{err: errShape}
	}
	return verdict{passed: found}
}

// isReadable reports whether a claim has values that can be compared, or none.
func isReadable(claim any) bool {
	list, ok := claim.([]any)
	if !ok {
		list = []any{claim}
	}
	return !slices.ContainsFunc(list, func(v any) bool {
		_, isText := text(v)
		_, isList := v.([]string)
		return v != nil && !isText && !isList
	})
}
