// Package router matches requests to handlers by net/http's pattern language, and
// says what is wrong with those it finds no handler for instead of answering them.
package router

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gatewright/gateway/internal/rawpath"
)

// Table is a set of patterns with their handlers. Add and Match may be called
// concurrently. Make one with [New].
type Table struct{ mux *http.ServeMux }

// New returns an empty table.
func New() *Table { return &Table{http.NewServeMux()} }

// Miss is why there is no handler for a request.
type Miss struct {
	Status   int    // 400, 404, 405, or 307 where only the trailing slash is missing
	Detail   string // for the client; empty: the status says it all
	Allow    string // for a 405: the methods there are (RFC 9110 section 10.2.1)
	Location string // for a 307
}

// ordinary are the methods that a pattern without a method is taken to mean, for Allow.
const ordinary = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"

var registered = regexp.MustCompile(` \(registered at [^)]*\)`)

// Add registers h for pattern, or says what is wrong with the pattern.
func (t *Table) Add(pattern string, h http.Handler) (err error) {
	defer func() {
		if v := recover(); v != nil { // how ServeMux reports
			// Where it was registered is always here.
			err = errors.New(registered.ReplaceAllString(fmt.Sprint(v), ""))
		}
	}()
	method, _, ok := strings.Cut(pattern, " ")
	if !ok {
		method = ""
	}
	t.mux.Handle(pattern, &entry{handler: h, method: method})
	return nil
}

// Match returns the handler for r and sets r's Pattern and path values. If there
// is none it returns a nil handler and the reason.
func (t *Table) Match(r *http.Request) (http.Handler, Miss) {
	escaped := rawpath.Strict(r.URL)
	if err := rawpath.Check(escaped); err != nil {
		return nil, Miss{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	p := t.probe(r)
	if p.found == nil {
		miss := Miss{Status: p.status, Allow: p.header.Get("Allow")}
		if p.status == http.StatusTemporaryRedirect {
			miss.Location = withSlash(r.URL)
		}
		return nil, miss
	}
	// A pattern without a method is meant for requests that ask for the resource; a
	// tunnel, or an echo of the request's secrets, has to be asked for by name.
	if (r.Method == http.MethodConnect || r.Method == http.MethodTrace) && p.found.method != r.Method {
		return nil, Miss{Status: http.StatusMethodNotAllowed, Allow: ordinary}
	}
	if rawpath.Ambiguous(escaped) && t.disguises(escaped, r, p.found) {
		return nil, Miss{Status: http.StatusBadRequest, Detail: "the path can be read in two ways"}
	}
	return p.found.handler, Miss{}
}

// withSlash returns u with a slash behind its path, which is not decoded as ServeMux
// does it.
func withSlash(u *url.URL) string {
	location := u.EscapedPath() + "/"
	if u.ForceQuery || u.RawQuery != "" {
		location += "?" + u.RawQuery
	}
	return location
}

// disguises reports whether a backend that reads the path more leniently would
// see one that belongs to another route, with other policies.
func (t *Table) disguises(escaped string, r *http.Request, found *entry) bool {
	for reading := range rawpath.Readings(escaped) {
		u := &url.URL{Path: reading}
		rawpath.Set(u, reading) // if it can be decoded once more; if not, it stands for itself
		p := t.probe(&http.Request{Method: r.Method, Host: r.Host, URL: u})
		if p.found != nil && p.found != found {
			return true
		}
	}
	return false
}

func (t *Table) probe(r *http.Request) *probe {
	p := new(probe)
	t.mux.ServeHTTP(p, r)
	return p
}

// entry is what the mux holds for a pattern. It does not serve: it tells the probe
// that it was found. ServeMux offers no other way to learn the handler and have the
// path values set without matching twice.
type entry struct {
	handler http.Handler
	method  string // of the pattern; empty: any
}

func (e *entry) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.(*probe).found = e }

// probe is the ResponseWriter that takes the mux's finding, or what the mux would
// have answered where it finds nothing.
type probe struct {
	found  *entry
	status int
	header http.Header
}

func (p *probe) Header() http.Header {
	if p.header == nil {
		p.header = make(http.Header)
	}
	return p.header
}

func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
