package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/field"
)

// Static is a [http.RoundTripper] that sends a backend fields that are always the same,
// such as an API key. They replace what the client has sent by these names, in every
// spelling that a backend could take for the same.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type Static struct {
	Base http.RoundTripper // sends the requests; required
	Set  map[string]Secret // the values by the names of their fields; required

	compiled compiled[*fixed]
}

// fixed is a compiled Static or Password.
type fixed struct {
	base   http.RoundTripper
	names  []string
	values map[string][]string
}

// RoundTrip sends r by Base with the fields.
func (s *Static) RoundTrip(r *http.Request) (*http.Response, error) {
	f, err := s.compiled.get(s.build)
	if err != nil {
		return refused(r, err)
	}
	return f.send(r)
}

func (f *fixed) send(r *http.Request) (*http.Response, error) {
	out := without(r, f.names...)
	for name, values := range f.values {
		out.Header[name] = values[:1:1]
	}
	return f.base.RoundTrip(out)
}

// Check returns what is wrong with s, or with its Base.
func (s *Static) Check() error {
	_, err := s.compiled.get(s.build)
	return err
}

func (s *Static) build() (*fixed, error) {
	f := &fixed{base: s.Base, names: slices.Sorted(maps.Keys(s.Set)), values: make(map[string][]string, len(s.Set))}
	faults := []error{checkFields(f.names)}
	faults = append(faults, checkBase(s.Base))
	if len(s.Set) == 0 {
		faults = append(faults, errors.New("nothing to Set"))
	}
	for _, name := range f.names {
		value := s.Set[name]
		// What is read from a file ends with a line break, and what is not there is empty.
		if v := string(value); v == "" || !field.IsValue(v) || strings.TrimSpace(v) != v {
			faults = append(faults, fmt.Errorf("the value of %q is not one", name))
		}
		f.values[http.CanonicalHeaderKey(name)] = []string{string(value)}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: static: %w", err)
	}
	return f, nil
}
