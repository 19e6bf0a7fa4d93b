package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/rawpath"
)

const queryParam = "@query-param"

// derived are the components that are not fields (RFC 9421 section 2.2), but for
// @query-param. Path and query are those that the gateway forwards, byte for byte: never
// r.RequestURI, which stays what it was when another handler has changed r.URL.
var derived = map[string]func(*message) (string, error){
	"@method":         func(m *message) (string, error) { return m.Method, nil },
	"@scheme":         func(m *message) (string, error) { return m.scheme, nil },
	"@authority":      (*message).authority,
	"@path":           (*message).path,
	"@query":          func(m *message) (string, error) { return "?" + m.URL.RawQuery, nil },
	"@request-target": (*message).requestTarget,
	"@target-uri":     (*message).targetURI,
}

// received returns r as the other side has sent it.
func received(r *http.Request) *message {
	return &message{Request: r, scheme: seenScheme(r), host: r.Host, length: r.ContentLength}
}

// authority returns the host, normalized (RFC 9421 section 2.2.3).
func (m *message) authority() (string, error) {
	if m.host == "" || strings.ContainsAny(m.host, "/?#@\\ ") {
		return "", errors.New("no host")
	}
	port := ":80"
	if m.scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(strings.ToLower(m.host), port), nil
}

// path ends where the query begins: there is no other "?" in a path that is escaped.
func (m *message) path() (string, error) {
	target, err := m.requestTarget()
	path, _, _ := strings.Cut(target, "?")
	return path, err
}

func (m *message) requestTarget() (string, error) {
	if m.URL.Opaque != "" {
		return "", errors.New("no path")
	}
	return rawpath.Target(m.URL), nil
}

func (m *message) targetURI() (string, error) {
	authority, noHost := m.authority()
	target, noPath := m.requestTarget()
	return m.scheme + "://" + authority + target, errors.Join(noHost, noPath)
}

// maxQuery is how many parameters a query may have of which a signature covers single ones.
// Who has no key makes us read them all.
const maxQuery = 1000

// queryIndex is the parameters of a query, not decoded, by their names as signed.
type queryIndex map[string][]string

// queryParam returns the one parameter of the query that has that name, which is encoded
// as the value will be (RFC 9421 section 2.2.8).
func (m *message) queryParam(name string) (string, error) {
	if m.query == nil { // as many as there may be asked for, the query is read once
		m.query = sync.OnceValues(func() (queryIndex, error) { return indexQuery(m.URL.RawQuery) })
	}
	index, err := m.query()
	if err != nil {
		return "", err
	}
	values := index[name]
	if len(values) != 1 { // of several, the backend may take another than we did
		return "", errors.New("not there, or more than once")
	}
	return reencode(values[0])
}

func indexQuery(query string) (queryIndex, error) {
	if strings.Count(query, "&") >= maxQuery {
		return nil, fmt.Errorf("a query of more than %d parameters", maxQuery)
	}
	index := make(queryIndex)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := reencode(name)
		if err != nil {
			return nil, err
		}
		index[name] = append(index[name], value)
	}
	return index, nil
}

// encodeMore is where the URL Standard's set differs from that of QueryEscape.
var encodeMore = strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E")

// reencode returns a part of a query in the one encoding that its value has. What the
// decoder of the URL Standard would replace by U+FFFD has none.
func reencode(s string) (string, error) {
	s, err := url.QueryUnescape(s)
	if err != nil || !utf8.ValidString(s) {
		return "", errors.New("a query that does not decode")
	}
	return encodeMore.Replace(url.QueryEscape(s)), nil
}
