package compose

import (
	"strconv"
	"strings"
)

// prefersXML reports whether a client with these fields would rather have XML than JSON, by
// RFC 9110 section 12.5.1. JSON it is if both are as good, as with */*, or neither is.
func prefersXML(accept []string) bool {
	if len(accept) == 0 {
		return false
	}
	return quality(accept, "application/xml") > quality(accept, "application/json")
}

// quality returns the weight, in thousandths, that the fields give the media type in UTF-8:
// that of the most specific range that it is in, and 0 if it is in none.
func quality(accept []string, media string) int {
	kind, _, _ := strings.Cut(media, "/")
	best, weight := 0, 0
	for _, field := range accept {
		for item := range strings.SplitSeq(field, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			specific := 0
			switch strings.ToLower(strings.Trim(name, " \t")) {
			case media:
				specific = 3
			case kind + "/*":
				specific = 2
			case "*/*":
				specific = 1
			}
			q, ok := weightOf(parameters)
			if !ok || specific == 0 || specific < best {
				continue
			}
			if specific > best {
				best, weight = specific, 0
			}
			weight = max(weight, q)
		}
	}
	return weight
}

// weightOf returns the weight among the parameters of a range, 1000 if there is none. It
// reports false if the range is not to be read, or is of other things by another parameter.
func weightOf(parameters string) (q int, ok bool) {
	q = 1000
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		switch name, value = strings.ToLower(name), strings.ToLower(strings.Trim(value, `"`)); {
		case name == "": // as after a semicolon at the end
		case name == "q":
			// What follows the weight says nothing about the type (RFC 7231 section 5.3.2).
			return thousandths(value)
		case name == "charset" && value == "utf-8":
		default:
			return 0, false
		}
	}
	return q, true
}

// thousandths reads a weight, of which there are up to three digits behind the point.
func thousandths(s string) (int, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+(fraction + "000")[:3], 10, 16)
	return int(n), err == nil && n <= 1000
}
