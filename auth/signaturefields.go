package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

const (
	maxStructured = 16 << 10 // bytes of a field
	maxSignatures = 8        // each may cost a call of Find
	maxComponents = 64
	maxKeyID      = 256
)

// dictionary parses a field that is a dictionary (RFC 9651 section 3.2). Parsers take the
// last of members, and of parameters, with the same name; but one that takes the first
// would read another signature than we verify, so having one twice is an error.
func dictionary(lines []string) (*httpsfv.Dictionary, error) {
	size := 0
	for _, line := range lines {
		size += len(line) + len(", ")
	}
	if size > maxStructured {
		return nil, fmt.Errorf("longer than %d bytes", maxStructured)
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, errors.New("no dictionary")
	}
	commas, semicolons, ok := delimiters(lines)
	if !ok || commas != max(0, len(d.Names())-1) || semicolons != parameters(d) {
		return nil, errors.New("a member or a parameter is there twice")
	}
	return d, nil
}

// delimiters counts the commas and semicolons outside of strings in a valid dictionary: in
// one with nothing twice, there is a comma between members and a semicolon to a parameter.
// It reports false for a display string, whose quoting is another; nothing we read has one.
func delimiters(lines []string) (commas, semicolons int, ok bool) {
	quoted := false
	s := strings.Join(lines, ", ")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '%':
			return 0, 0, false
		case c == ',':
			commas++
		case c == ';':
			semicolons++
		}
	}
	return commas, semicolons, true
}

// parameters counts the parameters of all members, and of what is in them.
func parameters(d *httpsfv.Dictionary) int {
	n := 0
	for _, name := range d.Names() {
		m, _ := d.Get(name)
		switch m := m.(type) {
		case httpsfv.Item:
			n += len(m.Params.Names())
		case httpsfv.InnerList:
			n += len(m.Params.Names())
			for _, item := range m.Items {
				n += len(item.Params.Names())
			}
		}
	}
	return n
}

// isLabel reports whether a member of a dictionary can have that name.
func isLabel(s string) bool {
	d, err := httpsfv.UnmarshalDictionary([]string{s})
	return err == nil && len(d.Names()) == 1 && d.Names()[0] == s
}

// signed is a signature of a request, and the key that is to verify it.
type signed struct {
	value      []byte
	list       httpsfv.InnerList // its member of Signature-Input
	params     string            // list, serialized: the value of @signature-params
	components []component
	key        *signatureKey
}

// choose returns the one signature of r that is ours to verify. There being several is
// no reason to try them: which of them speaks for the request is not for us to guess.
func (v *signatureVerifier) choose(r *http.Request) (*signed, error) {
	inputs, err := dictionary(r.Header[signatureInput])
	if err != nil {
		return nil, invalid("%s: %w", signatureInput, err)
	}
	values, err := dictionary(r.Header[signatureValue])
	if err != nil {
		return nil, invalid("%s: %w", signatureValue, err)
	}
	if n := len(inputs.Names()); n > maxSignatures || n != len(values.Names()) {
		return nil, invalid("more than %d signatures, or not one for each input", maxSignatures)
	}
	limited, cancel := context.WithTimeout(r.Context(), hookTimeout) // for all of them
	defer cancel()
	var chosen *signed
	for _, label := range inputs.Names() {
		s, err := v.candidate(limited, label, inputs, values)
		switch {
		case errors.As(err, new(*signatureError)):
			return nil, err
		case err != nil:
			return nil, undecided(r.Context(), "signature", err)
		case s != nil && chosen != nil:
			return nil, invalid("several signatures by known keys")
		case s != nil:
			chosen = s
		}
	}
	if chosen == nil {
		return nil, invalid("no signature by a known key, with the label and the tag asked for")
	}
	return chosen, chosen.parse()
}

// candidate returns the signature with that label; nil if it is not one for us.
func (v *signatureVerifier) candidate(ctx context.Context, label string, inputs, values *httpsfv.Dictionary) (*signed, error) {
	input, _ := inputs.Get(label)
	value, _ := values.Get(label)
	list, ok := input.(httpsfv.InnerList)
	item, _ := value.(httpsfv.Item)
	sig, found := item.Value.([]byte)
	if !ok || !found {
		return nil, invalid("an input that is no inner list, or without a signature that is a byte sequence")
	}
	if tag, _ := list.Params.Get("tag"); v.tag != "" && tag != v.tag || v.label != "" && label != v.label {
		return nil, nil
	}
	name, _ := list.Params.Get("keyid")
	id, _ := name.(string)
	k, err := v.key(ctx, id)
	if k == nil || err != nil {
		return nil, err
	}
	return &signed{value: sig, list: list, key: k}, nil
}

// key returns the key of that id, or nil. An id is a name in a table and nothing else.
func (v *signatureVerifier) key(ctx context.Context, id string) (*signatureKey, error) {
	k := v.keys[id]
	if k != nil || v.find == nil || id == "" || len(id) > maxKeyID {
		return k, nil
	}
	found, err := v.find(ctx, id)
	if err == nil && found != nil {
		k, err = found.compile(v.forward)
	}
	if err != nil {
		return nil, fmt.Errorf("find key: %w", err)
	}
	return k, nil
}

// parse reads what was signed, and by which algorithm.
func (s *signed) parse() (err error) {
	if alg, ok := s.list.Params.Get("alg"); ok && alg != s.key.alg {
		return invalid("alg is not that of the key")
	}
	if s.components, err = parseComponents(s.list.Items); err != nil {
		return invalid("%w", err)
	}
	if s.params, err = httpsfv.Marshal(s.list); err != nil {
		return invalid("not to be serialized")
	}
	return nil
}

// until returns when the signature ceases to be good, if now it is.
func (s *signed) until(window time.Duration) (time.Time, error) {
	now := time.Now()
	created, there, ok := s.date("created")
	if !there || !ok {
		return time.Time{}, invalid("no created")
	}
	until := created.Add(window)
	expires, there, ok := s.date("expires")
	switch {
	case there && (!ok || !expires.After(created)):
		return time.Time{}, invalid("expires before it was created")
	case there && expires.Before(until):
		until = expires
	}
	if created.After(now.Add(window)) || !now.Before(until) {
		return time.Time{}, invalid("made too long ago, or in the future")
	}
	return until, nil
}

// date returns a parameter that is a time in seconds: whether it is there, and is one.
func (s *signed) date(name string) (date time.Time, there, ok bool) {
	v, there := s.list.Params.Get(name)
	n, ok := v.(int64)
	return time.Unix(n, 0), there, ok && 0 <= n && n <= maxDate
}
