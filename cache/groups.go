package cache

import (
	"cmp"
	"net/http"

	"github.com/dunglas/httpsfv"
)

const (
	maxGroups    = 128 // of a response; more are ignored, as RFC 9875 section 2 allows from 128 on
	maxGroupName = 128 // bytes, likewise
)

// within returns the names of groups as those of the origin that r is for. Another may have
// others of the same names (RFC 9875 section 2.1), which it must not be able to empty.
func within(r *http.Request, groups []string) []string {
	origin := schemeOf(r) + "://" + lower(r.URL.Host) + " " + lower(cmp.Or(r.Host, r.URL.Host)) + "\x00"
	for i, name := range groups {
		groups[i] = origin + name
	}
	return groups
}

// groupsOf returns the groups that a field names: a list of strings (RFC 9875 section 2).
// Of what is no such list it takes nothing.
func groupsOf(h http.Header, field string) []string {
	lines := h[field]
	if lines == nil {
		return nil
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	var groups []string
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		name, isString := item.Value.(string)
		if !ok || !isString || len(name) > maxGroupName {
			continue
		}
		if groups = append(groups, name); len(groups) == maxGroups {
			break
		}
	}
	return groups
}
