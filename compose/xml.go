package compose

import (
	"strings"
	"unicode/utf8"

	"github.com/gatewright/gateway/internal/rawjson"
)

// isXMLName reports whether an element may be called s. There are more names than these,
// but not the same ones in every edition of XML 1.0, nor to every parser.
func isXMLName(s string) bool {
	if s == "" || len(s) >= 3 && strings.EqualFold(s[:3], "xml") { // which is reserved
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// asXML returns json, which has been checked, as a document of XML 1.0. A member is an
// element of its name, or <member name="…"> if no element may be called so; an element of
// an array is an <item>; null is an empty element with null="true", and so differs from an
// empty text, object or array. Characters that XML cannot hold become U+FFFD.
func asXML(root string, json []byte) []byte {
	w := xmlWriter{out: make([]byte, 0, 2*len(json)+64), json: json}
	w.out = append(w.out, `<?xml version="1.0" encoding="UTF-8"?>`...)
	w.element(root)
	return w.out
}

// xmlWriter reads json from i on, once, however deep it is nested.
type xmlWriter struct {
	out  []byte
	json []byte
	i    int
}

func (w *xmlWriter) element(name string) {
	tag := name
	w.out = append(w.out, '<')
	if isXMLName(name) {
		w.out = append(w.out, name...)
	} else {
		tag = "member"
		w.out = append(w.out, `member name="`...)
		w.out = append(appendEscaped(w.out, name), '"')
	}
	if w.next() == 'n' {
		w.i += len("null")
		w.out = append(w.out, ` null="true"/>`...)
		return
	}
	w.out = append(w.out, '>')
	w.content()
	w.out = append(w.out, "</"...)
	w.out = append(append(w.out, tag...), '>')
}

func (w *xmlWriter) content() {
	switch w.next() {
	case '{':
		for w.i++; w.next() != '}'; {
			name := w.str()
			w.next()
			w.i++ // the colon
			w.element(name)
			w.comma()
		}
		w.i++
	case '[':
		for w.i++; w.next() != ']'; {
			w.element("item")
			w.comma()
		}
		w.i++
	case '"':
		w.out = appendEscaped(w.out, w.str())
	default: // a number or boolean
		for w.i < len(w.json) && strings.IndexByte(",]} \t\r\n", w.json[w.i]) < 0 {
			w.out = append(w.out, w.json[w.i])
			w.i++
		}
	}
}

// next returns the first byte that is no white space, which it skips.
func (w *xmlWriter) next() byte {
	for {
		switch c := w.json[w.i]; c {
		case ' ', '\t', '\r', '\n':
			w.i++
		default:
			return c
		}
	}
}

func (w *xmlWriter) comma() {
	if w.next() == ',' {
		w.i++
	}
}

// str reads the string at i.
func (w *xmlWriter) str() string {
	from := w.i
	for w.i++; w.json[w.i] != '"'; w.i++ {
		if w.json[w.i] == '\\' {
			w.i++
		}
	}
	w.i++
	return rawjson.Text(w.json[from:w.i])
}

// appendEscaped appends s as it may stand in the content of an element or in an attribute.
func appendEscaped(b []byte, s string) []byte {
	for _, c := range s {
		switch c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '"':
			b = append(b, "&quot;"...)
		case '\t':
			b = append(b, "&#9;"...) // which an attribute would have as a space
		case '\n':
			b = append(b, "&#10;"...)
		case '\r':
			b = append(b, "&#13;"...) // which would be read as a line feed
		default:
			if c < 0x20 || c == 0xfffe || c == 0xffff {
				c = utf8.RuneError
			}
			b = utf8.AppendRune(b, c)
		}
	}
	return b
}
