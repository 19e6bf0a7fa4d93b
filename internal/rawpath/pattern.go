package rawpath

import (
	"fmt"
	"slices"
	"strings"
)

// Pattern is a path as patterns of [net/http.ServeMux] have it: "/a/{id}" is that one,
// "/a/" all below, "/a/{rest...}" as well.
type Pattern struct {
	segments []string // "" stands for any
	below    bool     // what is below belongs to it
}

// ParsePattern returns the pattern that s says, or what is wrong with it.
func ParsePattern(s string) (Pattern, error) {
	path, ok := strings.CutPrefix(s, "/")
	if !ok || Check(s) != nil {
		return Pattern{}, fmt.Errorf("%q is no path", s)
	}
	p := Pattern{segments: strings.Split(path, "/")}
	last := len(p.segments) - 1
	if seg := p.segments[last]; seg == "" || strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "...}") {
		p.segments, p.below = p.segments[:last], true
	}
	for i, seg := range p.segments {
		if strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") && !strings.HasSuffix(seg, "...}") {
			p.segments[i] = ""
		} else if strings.ContainsAny(seg, "{}") {
			return Pattern{}, fmt.Errorf("%q: wildcards are whole segments, and the rest is the last", s)
		}
	}
	return p, nil
}

// Matches reports whether escaped is a path of the pattern, or could be taken for one.
func (p Pattern) Matches(escaped string) bool {
	if !Ambiguous(escaped) {
		return p.matches(escaped)
	}
	for reading := range Readings(escaped) {
		if p.matches(reading) || p.matches(decode(reading)) {
			return true
		}
	}
	return false
}

// matches divides before it decodes, as ServeMux does: to that an encoded slash is part of
// a segment.
func (p Pattern) matches(escaped string) bool {
	got := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	if len(got) < len(p.segments) || !p.below && len(got) != len(p.segments) {
		return false
	}
	if p.below && len(got) == len(p.segments) {
		return false // "/a" is not below "/a/"
	}
	return slices.EqualFunc(p.segments, got[:len(p.segments)], func(want, seg string) bool {
		return seg != "" && (want == "" || want == decode(seg))
	})
}
