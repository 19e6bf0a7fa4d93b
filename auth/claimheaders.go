package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatewright/gateway"
)

// ClaimHeaders is a [http.RoundTripper] that tells a backend who the caller is, in fields
// of the request's header. A backend can believe them only if nobody but the gateway can
// reach it; where that is not sure, use an [Issuer].
//
// What the client has sent by these names is always removed, in every spelling that a
// backend could take for the same, also as a trailer, and also for nobody.
//
// A value is what [Principal.Claim] returns; a list's are joined by commas; "scope" is the
// principal's scopes with spaces between, whatever its claims say. What is not there, and
// what has no text, leaves the field out. A value that could mean something else at the
// backend than it does here is never sent, and neither is the request: the round trip fails
// with 500 for one that is not printable ASCII, that begins or ends with a space, that is longer
// than 8 KiB, or with a comma within it, or within a member of a list, as it would be
// several in a list. Escape makes values of all of these but the longest.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type ClaimHeaders struct {
	// Base sends the requests. Required.
	Base http.RoundTripper

	// Headers says which field tells which claim: header field name -> claim name, as
	// [Principal.Claim] has it. Required.
	Headers map[string]string

	// Escape writes all but letters, digits and "-._~" as %XX (RFC 3986 section 2.1), which
	// the backend has to undo. False: values are sent as they are.
	Escape bool

	compiled compiled[*claimFields]
}

// claimFields is compiled ClaimHeaders.
type claimFields struct {
	base   http.RoundTripper
	names  []string // of the fields, canonical
	claims []string // at the same places
	escape bool
}

// RoundTrip sends r by Base with the claims.
func (c *ClaimHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	f, err := c.compiled.get(c.build)
	if err != nil {
		return refused(r, err)
	}
	out := without(r, f.names...)
	if err := f.tell(out.Header, From(r.Context())); err != nil {
		return refused(r, err)
	}
	return f.base.RoundTrip(out)
}

// Check returns what is wrong with c, or with its Base.
func (c *ClaimHeaders) Check() error {
	_, err := c.compiled.get(c.build)
	return err
}

func (c *ClaimHeaders) build() (*claimFields, error) {
	f := &claimFields{base: c.Base, escape: c.Escape}
	var faults []error
	faults = append(faults, checkBase(c.Base))
	if len(c.Headers) == 0 {
		faults = append(faults, errors.New("no Headers"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		claim := c.Headers[name]
		if claim == "" {
			faults = append(faults, fmt.Errorf("%q without a claim", name))
		}
		f.names = append(f.names, http.CanonicalHeaderKey(name))
		f.claims = append(f.claims, claim)
	}
	faults = append(faults, checkFields(f.names))
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: claim headers: %w", err)
	}
	return f, nil
}

// tell puts p's claims into h.
func (f *claimFields) tell(h http.Header, p *Principal) error {
	if p == nil {
		return nil
	}
	for i, name := range f.names {
		value, found, err := f.value(p, f.claims[i])
		if err != nil {
			return &gateway.Problem{Err: fmt.Errorf("auth: claim headers: claim %q: %w", f.claims[i], err)}
		}
		if found {
			h[name] = []string{value}
		}
	}
	return nil
}

var errNoValue = errors.New("not a value for a field")

func (f *claimFields) value(p *Principal, claim string) (string, bool, error) {
	value, found, err := f.read(p, claim)
	if err != nil || !found || value == "" {
		return "", false, err
	}
	if !isPrintable(value) || len(value) > maxCredential {
		return "", false, errNoValue
	}
	return value, true, nil
}

func (f *claimFields) read(p *Principal, claim string) (string, bool, error) {
	if claim == "scope" {
		scopes := scopesOf(p)
		return f.write(scopes), scopes != "", nil
	}
	if s, ok := p.Claim(claim); ok {
		s = f.write(s)
		if strings.Contains(s, ",") { // one that could be several to a reader of lists
			return "", false, errNoValue
		}
		return s, true, nil
	}
	return f.list(p.claim(claim))
}

// list returns the members of a claim that is a list, if all have a text.
func (f *claimFields) list(claim any) (string, bool, error) {
	var members []string
	switch v := claim.(type) {
	case []string:
		members = slices.Clone(v)
	case []any:
		for _, e := range v {
			s, ok := text(e)
			if !ok {
				return "", false, nil
			}
			members = append(members, s)
		}
	}
	for i, s := range members {
		// Who may choose the name of one group must not be in two.
		if members[i] = f.write(s); strings.Contains(members[i], ",") || !isPrintable(members[i]) {
			return "", false, errNoValue
		}
	}
	return strings.Join(members, ","), len(members) > 0, nil
}

// scopesOf returns the scopes of p with spaces between. One that is none, and so perhaps
// several, is left out.
func scopesOf(p *Principal) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(p.Scopes), func(s string) bool { return !isScope(s) }), " ")
}

func (f *claimFields) write(s string) string {
	if !f.escape {
		return s
	}
	return percent(s)
}

// isPrintable reports whether every reader of a field takes s for what it is. Beyond ASCII
// some read Latin-1 and some drop the upper bits, which can make a line break.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// percent escapes all bytes of s but the unreserved ones.
func percent(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
