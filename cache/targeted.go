package cache

import (
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// defaultTargeted is the field for the caches of whoever runs the service (RFC 9213
// section 3.1).
var defaultTargeted = []string{"Cdn-Cache-Control"}

// responseControl reads what a response says of caching: in the first of the targeted
// fields that is there and is a structured field, and then nothing else counts; or else in
// Cache-Control (RFC 9213 section 2.2).
func responseControl(h http.Header, targeted []string) (cc directives, ours bool) {
	for _, name := range targeted {
		if lines := h[name]; lines != nil {
			if cc, ok := parseTargeted(lines); ok {
				return cc, true
			}
		}
	}
	return parseControl(h["Cache-Control"]), false
}

// parseTargeted is not ok if the field is empty or no dictionary. A directive whose
// parameter is of a wrong type is not there (RFC 9213 section 2.1).
func parseTargeted(lines []string) (d directives, ok bool) {
	dictionary, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dictionary.Names()) == 0 {
		return directives{}, false
	}
	flags := map[string]*bool{
		"no-store": &d.noStore, "no-cache": &d.noCache, "private": &d.private, "public": &d.public,
		"must-revalidate": &d.mustRevalidate, "proxy-revalidate": &d.proxyRevalidate, "must-understand": &d.mustUnderstand,
	}
	deltas := map[string]*delta{
		"max-age": &d.maxAge, "s-maxage": &d.sMaxAge,
		"stale-while-revalidate": &d.whileRevalidate, "stale-if-error": &d.ifError,
	}
	for _, name := range dictionary.Names() {
		member, _ := dictionary.Get(name)
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			continue
		}
		switch v := item.Value.(type) {
		case bool:
			if f := flags[name]; f != nil {
				*f = v
			}
		case int64:
			if f := deltas[name]; f != nil && v >= 0 {
				*f = delta{true, time.Duration(min(v, int64(maxDelta/time.Second))) * time.Second}
			}
		case string:
			if (name == "no-cache" || name == "private") && !d.name(`"`+v+`"`) {
				*flags[name] = true
			}
		}
	}
	return d, true
}
