package auth

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// place is where in a request a key is.
type place interface {
	find(r *http.Request) []string // all that are there: one too many is for the caller to refuse
	clean(r *http.Request)
}

// headerPlace is a field by its canonical name. To clean it is the guard's: see reader.
type headerPlace string

func (p headerPlace) find(r *http.Request) []string { return r.Header[string(p)] }
func (p headerPlace) clean(*http.Request)           {}

// queryPlace is a query parameter by its decoded name.
type queryPlace string

func (p queryPlace) find(r *http.Request) (keys []string) {
	if r.URL.RawQuery == "" {
		return nil
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !p.is(name) {
			continue
		}
		key, err := url.QueryUnescape(value)
		if err != nil {
			key = "" // as wrong as an empty one
		}
		keys = append(keys, key)
	}
	return keys
}

// is reports whether a name as it is written decodes to this one.
func (p queryPlace) is(written string) bool {
	if !strings.ContainsAny(written, "%+") {
		return written == string(p)
	}
	name, err := url.QueryUnescape(written)
	return err == nil && name == string(p)
}

// clean also cleans what has been made of the query before: the target as it was
// received, and a form that somebody has parsed.
func (p queryPlace) clean(r *http.Request) {
	r.URL.RawQuery = p.without(r.URL.RawQuery)
	if target, query, ok := strings.Cut(r.RequestURI, "?"); ok {
		if kept := p.without(query); kept != "" {
			target += "?" + kept
		}
		r.RequestURI = target
	}
	delete(r.Form, string(p))
}

// without returns a query without the parameter, the others byte for byte.
func (p queryPlace) without(query string) string {
	return removePieces(query, "&", func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return p.is(name)
	})
}

// cookiePlace is a cookie by its name.
type cookiePlace string

const cookieField = "Cookie"

func (p cookiePlace) find(r *http.Request) (keys []string) {
	for _, line := range r.Header[cookieField] {
		for pair := range strings.SplitSeq(line, ";") {
			if name, value, _ := strings.Cut(pair, "="); p.is(name) {
				keys = append(keys, textproto.TrimString(value))
			}
		}
	}
	return keys
}

func (p cookiePlace) is(written string) bool { return textproto.TrimString(written) == string(p) }

// clean leaves the values of the header as they are, which others may have as well, and
// puts new ones in their place.
func (p cookiePlace) clean(r *http.Request) {
	for name, lines := range r.Header {
		if !sameField(name, cookieField) {
			continue
		}
		kept := make([]string, 0, len(lines))
		for _, line := range lines {
			if rest := p.without(line); rest == line || strings.Trim(rest, " \t;") != "" {
				kept = append(kept, rest)
			}
		}
		switch {
		case len(kept) == 0:
			delete(r.Header, name)
		case !slices.Equal(kept, lines):
			r.Header[name] = kept
		}
	}
}

// without returns a line of cookies without this one, the others byte for byte.
func (p cookiePlace) without(line string) string {
	kept := removePieces(line, ";", func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return p.is(name)
	})
	if kept != line {
		kept = strings.TrimLeft(kept, " \t") // that stood after a cookie that is gone
	}
	return kept
}

// removePieces returns s without the pieces that drop is true of, and without one
// separator for each. The usual s has none of them, and is returned as it is.
func removePieces(s, separator string, drop func(piece string) bool) string {
	for piece := range strings.SplitSeq(s, separator) {
		if drop(piece) {
			return strings.Join(slices.DeleteFunc(strings.Split(s, separator), drop), separator)
		}
	}
	return s
}
