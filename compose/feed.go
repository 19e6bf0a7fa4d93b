package compose

import (
	"errors"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/rawjson"
)

// RSS decodes news feeds, RSS 2.0 and Atom (RFC 4287), to one form:
//
//	{"title":…,"link":…,"items":[{"id":…,"title":…,"link":…,"published":…,"summary":…},…]}
//
// Items is always there; any other member is left out if the feed does not have it. The
// values are strings: published is a time as in RFC 3339 in UTC, which is that of the last
// update if Atom does not say, and is left out if it cannot be read. Markup in a summary or
// title is the feed's own, not made safe for a page. Documents are refused as by [XML].
type RSS struct{}

// Accept is part of [Decoder].
func (RSS) Accept() string {
	return "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.8"
}

// Decode is part of [Decoder].
func (RSS) Decode(body []byte) ([]byte, error) {
	root, err := parseXML(body)
	if err != nil {
		return nil, err
	}
	f := &feed{prefix: root.prefix}
	switch channel := f.child(root, "channel"); {
	case root.name == "rss" && channel != nil:
		f.rss(channel)
	case root.name == "feed":
		f.atom(root)
	default:
		return nil, errors.New("it is neither RSS 2.0 nor Atom")
	}
	return f.json(), nil
}

// feed is one in the making.
type feed struct {
	prefix string // of the elements that count; others are of extensions, and may have the same names
	head   fields
	items  []fields
}

// fields are names and values by turns; one without a value is not there.
type fields []string

func (f *feed) child(e *element, name string) *element {
	for _, c := range e.children {
		if c.name == name && c.prefix == f.prefix {
			return c
		}
	}
	return nil
}

func (f *feed) text(e *element, name string) string { return f.child(e, name).content() }

func (f *feed) rss(channel *element) {
	f.head = fields{"title", f.text(channel, "title"), "link", f.text(channel, "link")}
	for _, e := range channel.children {
		if e.name != "item" || e.prefix != f.prefix {
			continue
		}
		f.items = append(f.items, fields{
			"id", f.text(e, "guid"), "title", f.text(e, "title"), "link", f.text(e, "link"),
			"published", timestamp(f.text(e, "pubDate")), "summary", f.text(e, "description"),
		})
	}
}

func (f *feed) atom(root *element) {
	f.head = fields{"title", f.construct(root, "title"), "link", f.alternate(root)}
	for _, e := range root.children {
		if e.name != "entry" || e.prefix != f.prefix {
			continue
		}
		published, summary := f.text(e, "published"), f.construct(e, "summary")
		if published == "" {
			published = f.text(e, "updated")
		}
		if summary == "" {
			summary = f.construct(e, "content")
		}
		f.items = append(f.items, fields{
			"id", f.text(e, "id"), "title", f.construct(e, "title"), "link", f.alternate(e),
			"published", timestamp(published), "summary", summary,
		})
	}
}

// construct returns what a text construct of Atom says: one that is XHTML has its text in
// elements (RFC 4287 section 3.1.1.3).
func (f *feed) construct(e *element, name string) string {
	c := f.child(e, name)
	if c == nil || len(c.children) == 0 {
		return c.content()
	}
	return strings.Join(c.words(nil), " ")
}

// words appends the texts in e and what is in it.
func (e *element) words(all []string) []string {
	if text := e.content(); text != "" {
		all = append(all, text)
	}
	for _, c := range e.children {
		all = c.words(all)
	}
	return all
}

// alternate returns the address of the page that e is the feed of (RFC 4287 section 4.2.7.2).
func (f *feed) alternate(e *element) string {
	for _, c := range e.children {
		if c.name != "link" || c.prefix != f.prefix {
			continue
		}
		if rel := c.attribute("rel"); rel == "" || rel == "alternate" {
			return c.attribute("href")
		}
	}
	return ""
}

func (e *element) attribute(name string) string {
	for _, a := range e.attributes {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// timeForms are of Atom, and of RSS, which has those of RFC 822, with years of four digits
// too.
var timeForms = []string{
	time.RFC3339, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04 -0700", "2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 06 15:04:05 -0700", "Mon, 2 Jan 06 15:04 -0700", "2 Jan 06 15:04:05 -0700",
}

// zones are those of RFC 822 section 5.1. Package time knows a name only where it is used.
var zones = map[string]string{
	"UT": "+0000", "GMT": "+0000", "UTC": "+0000", "Z": "+0000", "EST": "-0500", "EDT": "-0400",
	"CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}

// timestamp returns s as RFC 3339 has it, in UTC; empty if it cannot be read.
func timestamp(s string) string {
	if i := strings.LastIndexByte(s, ' '); i >= 0 && zones[s[i+1:]] != "" {
		s = s[:i+1] + zones[s[i+1:]]
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

func (f *feed) json() []byte {
	b := f.head.append([]byte{'{'})
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(b, `"items":[`...)
	for i, item := range f.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(item.append(append(b, '{')), '}')
	}
	return append(b, "]}"...)
}

// append appends the fields as members.
func (f fields) append(b []byte) []byte {
	n := len(b)
	for i := 0; i < len(f); i += 2 {
		if f[i+1] == "" {
			continue
		}
		if len(b) > n {
			b = append(b, ',')
		}
		b = append(rawjson.AppendString(b, f[i]), ':')
		b = rawjson.AppendString(b, f[i+1])
	}
	return b
}
