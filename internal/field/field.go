// Package field knows the header fields of HTTP: what a name and a value may consist
// of, and which fields belong to a connection and not to a message.
package field

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Classes of bytes.
const (
	tokenByte = 1 << iota // RFC 9110 section 5.6.2
	valueByte             // RFC 9110 section 5.5: no control but tab
)

var class = func() (table [256]uint8) {
	for c := range table {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			table[c] |= tokenByte
		}
		if c >= 0x20 && c != 0x7f || c == '\t' {
			table[c] |= valueByte
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] |= tokenByte
	}
	return table
}()

// IsToken reports whether s is a token, as methods and field names have to be (RFC
// 9110 section 5.6.2).
func IsToken(s string) bool {
	for i := range len(s) {
		if class[s[i]]&tokenByte == 0 {
			return false
		}
	}
	return s != ""
}

// IsValue reports whether s can stand in a field's value: nothing in it could end the
// line (RFC 9110 section 5.5).
func IsValue(s string) bool {
	for i := range len(s) {
		if class[s[i]]&valueByte == 0 {
			return false
		}
	}
	return true
}

// OfConnection reports whether a field, by its canonical name, always belongs to one
// connection (RFC 9110 section 7.6.1). Some are only still seen.
func OfConnection(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// Guards reports whether a field, by its canonical name, says who may be given a stored
// response. No sender may declare it to belong to the connection (RFC 9110 section 7.6.1):
// without it, what is one person's would be stored for all.
func Guards(name string) bool {
	return name == "Vary" || name == "Expires" || strings.HasSuffix(name, "Cache-Control")
}

// Listed returns the canonical names that h's Connection field declares to belong to
// the connection, or nil. "close", "keep-alive" and "upgrade" are no field names, and
// those that [Guards] is about cannot be declared so.
func Listed(h http.Header) map[string]bool {
	var listed map[string]bool
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			switch name {
			case "", "Close", "Keep-Alive", "Upgrade":
				continue
			}
			if Guards(name) {
				continue
			}
			if listed == nil {
				listed = make(map[string]bool)
			}
			listed[name] = true
		}
	}
	return listed
}

// StripListed removes the fields that h's Connection field lists, and their names
// from it. Done before anything else, it keeps a client from naming, and so having
// removed, a field that the gateway will add (golang/go#50580).
func StripListed(h http.Header) {
	listed := Listed(h)
	if listed == nil {
		return
	}
	for name := range listed {
		delete(h, name)
	}
	var kept []string
	for _, token := range []string{"close", "keep-alive", "upgrade"} {
		if HasToken(h["Connection"], token) {
			kept = append(kept, token)
		}
	}
	delete(h, "Connection")
	if len(kept) > 0 {
		h["Connection"] = kept
	}
}

// HasToken reports whether a list of tokens, over all lines of its field, has token,
// in any case.
func HasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}

// RetryAfter returns how long h asks to wait, in seconds or by a date (RFC 9110 section
// 10.2.3), and whether it does.
func RetryAfter(h http.Header) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(v)
	return max(0, time.Until(at)), err == nil
}

// Hex returns the number that c is as a hexadecimal digit; -1 if it is none.
func Hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
