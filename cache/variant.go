package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

// index is what stands under the primary key of a resource whose responses vary
// (RFC 9111 section 4.1): by which request fields, and which variants there are.
//
// The variants' keys contain the index's generation. So whoever deletes the index
// has deleted them all, even one that somebody else is storing in that moment.
// Two that change an index at once may lose a variant, which is then a miss.
type index struct {
	key        string
	generation string
	until      time.Time // when the last of the variants expires
	names      []string  // of the selecting fields, canonical and sorted
	variants   []string  // the one stored last is the last
}

const (
	maxVariants  = 16 // of one resource; the one stored first goes
	maxVaryNames = 16
)

func (x *index) variantKey(id string) string { return x.key + " " + x.generation + " " + id }

func (x *index) size() int64 {
	n := 300 + len(x.key) + len(x.generation)
	for _, s := range x.names {
		n += len(s) + 24
	}
	for _, s := range x.variants {
		n += len(s) + 24
	}
	return int64(n)
}

// add makes room for the variant and returns the keys of those that had to go.
func (x *index) add(id string) (dropped []string) {
	x.variants = slices.DeleteFunc(x.variants, func(v string) bool { return v == id })
	x.variants = append(x.variants, id)
	for len(x.variants) > maxVariants {
		dropped = append(dropped, x.variantKey(x.variants[0]))
		x.variants = x.variants[1:]
	}
	return dropped
}

// varyNames returns the names in Vary, canonical and sorted. It is not ok if the
// response varies by something else, or by more than we are ready to compare.
func varyNames(h http.Header) (names []string, ok bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			switch {
			case name == "":
			case name == "*", !field.IsToken(name):
				return nil, false
			default:
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxVaryNames
}

// variantOf returns what identifies r among the variants that differ in the fields
// named. It is a hash, since the fields may be secrets and keys show up in logs.
//
// It is not ok if the request no longer has what the origin varied by: the
// gateway's authentication takes credentials away, and without them all users
// would look the same.
func variantOf(names []string, r *http.Request) (id string, ok bool) {
	var b []byte
	for _, name := range names {
		if (name == "Authorization" || name == "Cookie") && isAuthenticated(r) {
			return "", false
		}
		b = append(append(b, name...), ':')
		if lines := r.Header[name]; len(lines) > 0 { // one that is nil is how a proxy keeps a field from being added
			b = strconv.AppendQuote(b, normalised(name, lines))
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), true
}

// normalised returns the value by which requests are compared: without what cannot change
// its meaning (RFC 9111 section 4.1). Lines are joined, and space around commas does not
// count; of the fields by which content is negotiated neither do case and order (RFC 9110
// section 12.5), but for the weights.
func normalised(name string, lines []string) string {
	joined := lines[0]
	if len(lines) > 1 {
		joined = strings.Join(lines, ",")
	}
	if strings.IndexByte(joined, '"') >= 0 {
		return strings.TrimSpace(joined) // commas in quotes divide nothing
	}
	members := strings.Split(joined, ",")
	for i, m := range members {
		members[i] = strings.TrimSpace(m)
	}
	switch name {
	case "Accept", "Accept-Encoding", "Accept-Language", "Accept-Charset":
		members = preferences(members)
	}
	return strings.Join(members, ",")
}

// preferences returns the members in one spelling and in one order.
func preferences(members []string) []string {
	for i, m := range members {
		members[i] = strings.ToLower(strings.Map(func(c rune) rune {
			if c == ' ' || c == '\t' {
				return -1
			}
			return c
		}, m))
	}
	members = slices.DeleteFunc(members, func(m string) bool { return m == "" })
	slices.Sort(members)
	return slices.Compact(members)
}
