package compose

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/rawjson"
)

// XML decodes XML 1.0: the document is an object with the root element as its member.
//
//	<order id="7"><item>tea</item><item>milk</item><total currency="EUR">7.95</total></order>
//	{"order":{"@id":"7","item":["tea","milk"],"total":{"@currency":"EUR","#text":"7.95"}}}
//
// An element is the string of its text, or, if it has attributes or elements in it, an
// object: of the attributes with @ before their names, the elements, and the text as
// "#text" unless there is none. Elements of one name are an array in the place of the first.
// White space around text, comments, processing instructions and namespace declarations are
// dropped, and so is where in mixed content a text was.
//
// A document is refused if it is not well-formed, has a DOCTYPE, and so entities of its own,
// nests elements deeper than 512, or is neither in UTF-8 nor, by its own declaration, in
// ISO-8859-1.
type XML struct {
	// Arrays are names of elements that are arrays even if there is only one. Nil means
	// that the number decides, with a single one not being an array.
	Arrays []string

	// Numbers are names of elements, and with @ before them of attributes, whose text is a
	// number if it is one of JSON, and then with every digit. Nil means that all are strings.
	Numbers []string

	// Bools are names as in Numbers, whose text is a boolean if it is true or false. Nil
	// means that all are strings.
	Bools []string

	// Prefixes keeps namespace prefixes in the names of elements: what they are is the
	// backend's choice. False means that they are dropped, and that elements are the same
	// if the rest of their names is. Attributes always keep theirs.
	Prefixes bool
}

// Accept is part of [Decoder].
func (XML) Accept() string { return "application/xml, text/xml;q=0.9" }

// Decode is part of [Decoder].
func (x XML) Decode(body []byte) ([]byte, error) {
	root, err := parseXML(body)
	if err != nil {
		return nil, err
	}
	return x.document(root, len(body)), nil
}

// SOAP decodes the envelopes of SOAP 1.1 and 1.2: what the first element of the body would
// be to [XML] as the root of a document, and null if there is none. A fault is an error; its
// code and string are for the log. The fields are those of XML.
type SOAP XML

// Accept is part of [Decoder].
func (SOAP) Accept() string { return "application/soap+xml, text/xml;q=0.9, application/xml;q=0.8" }

// Decode is part of [Decoder].
func (s SOAP) Decode(body []byte) ([]byte, error) {
	envelope, err := parseXML(body)
	if err != nil {
		return nil, err
	}
	inner := envelope.child("Body")
	switch {
	case envelope.name != "Envelope" || inner == nil:
		return nil, errors.New("it is no SOAP envelope with a body")
	case len(inner.children) == 0:
		return []byte("null"), nil
	}
	first := inner.children[0]
	if first.name == "Fault" {
		return nil, fault(first)
	}
	return XML(s).document(first, len(body)), nil
}

// fault returns a fault of SOAP 1.1, section 4.4, or 1.2, part 1 section 5.4, as an error.
func fault(f *element) error {
	code := cmp.Or(f.child("faultcode"), f.child("Code").child("Value"))
	reason := cmp.Or(f.child("faultstring"), f.child("Reason").child("Text"))
	return fmt.Errorf("SOAP fault %q: %q", clipped(code.content()), clipped(reason.content()))
}

// document returns root as the only member of an object.
func (x XML) document(root *element, size int) []byte {
	return x.append(make([]byte, 0, size), &element{children: []*element{root}}, "")
}

// append appends e, whose name is called name.
func (x XML) append(b []byte, e *element, name string) []byte {
	text := e.content()
	if len(e.attributes)+len(e.children) == 0 {
		return x.scalar(b, name, text)
	}
	b = append(b, '{')
	n := len(b)
	member := func(name string) {
		if len(b) > n {
			b = append(b, ',')
		}
		b = append(rawjson.AppendString(b, name), ':')
	}
	for _, a := range e.attributes {
		name := "@" + qualified(a.Name)
		member(name)
		b = x.scalar(b, name, a.Value)
	}
	for _, g := range x.groups(e.children) {
		member(g.name)
		b = x.group(b, g)
	}
	if text != "" {
		member("#text")
		b = x.scalar(b, name, text)
	}
	return append(b, '}')
}

// siblings are elements of one name.
type siblings struct {
	name     string
	elements []*element
}

// groups returns elements by name, in the order of the first of each.
func (x XML) groups(elements []*element) []siblings {
	var all []siblings
	index := make(map[string]int)
	for i, e := range elements {
		name := e.name
		if x.Prefixes && e.prefix != "" {
			name = e.prefix + ":" + e.name
		}
		k, ok := index[name]
		if !ok {
			index[name] = len(all)
			all = append(all, siblings{name, elements[i : i+1 : i+1]})
			continue
		}
		all[k].elements = append(all[k].elements, e)
	}
	return all
}

func (x XML) group(b []byte, g siblings) []byte {
	if len(g.elements) == 1 && !slices.Contains(x.Arrays, g.name) {
		return x.append(b, g.elements[0], g.name)
	}
	b = append(b, '[')
	for i, e := range g.elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.append(b, e, g.name)
	}
	return append(b, ']')
}

// scalar appends the text of an element, or of an attribute, as what its name says it is.
func (x XML) scalar(b []byte, name, text string) []byte {
	if slices.Contains(x.Numbers, name) {
		if v, err := rawjson.Check([]byte(text)); err == nil && rawjson.KindOf(v) == rawjson.Number {
			return append(b, v...)
		}
	}
	if (text == "true" || text == "false") && slices.Contains(x.Bools, name) {
		return append(b, text...)
	}
	return rawjson.AppendString(b, text)
}

// element is one of an XML document. Of a nil one there is nothing.
type element struct {
	prefix, name string
	attributes   []xml.Attr // without namespace declarations
	text         []byte     // all that is directly in it
	children     []*element
}

func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// content returns the text of e without the white space around it.
func (e *element) content() string {
	if e == nil {
		return ""
	}
	return string(bytes.Trim(e.text, spaceOfXML))
}

const spaceOfXML = " \t\r\n"

// parseXML returns the root element of a document.
func parseXML(document []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(document, []byte("\ufeff"))))
	d.CharsetReader = charsetReader
	p := xmlParser{open: []*element{{}}}
	for {
		// Not Token, which has a namespace for the prefix, keeps a stack without a limit, and
		// takes a text for a document.
		token, err := d.RawToken()
		if err == io.EOF {
			return p.root()
		}
		if err == nil {
			err = p.token(token)
		}
		if err != nil {
			return nil, err
		}
		p.begun = true
	}
}

// charsetReader returns input, which is in the encoding that its declaration says, as UTF-8.
func charsetReader(charset string, input io.Reader) (io.Reader, error) {
	if !strings.EqualFold(charset, "iso-8859-1") {
		return nil, fmt.Errorf("the encoding %.40q is not known", charset)
	}
	b, err := io.ReadAll(input) // which is in memory
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, string(rune(c))...)
	}
	return bytes.NewReader(out), err
}

// xmlParser holds what encoding/xml lets pass to the rules for documents.
type xmlParser struct {
	open  []*element // those that have not ended, after one for the document
	begun bool       // there was a token
}

func (p *xmlParser) token(token xml.Token) error {
	within := p.open[len(p.open)-1]
	switch t := token.(type) {
	case xml.StartElement:
		return p.start(within, t)
	case xml.EndElement:
		if len(p.open) == 1 || t.Name.Space != within.prefix || t.Name.Local != within.name {
			return fmt.Errorf("the end tag of %.40q has no start", t.Name.Local)
		}
		p.open = p.open[:len(p.open)-1]
	case xml.CharData:
		within.text = append(within.text, t...)
	case xml.Directive:
		// Entities can be a billion laughs, or the content of a file or an address.
		return errors.New("a document with a DOCTYPE is refused")
	case xml.ProcInst:
		if strings.EqualFold(t.Target, "xml") && p.begun {
			return errors.New("an XML declaration is not at the beginning")
		}
	}
	return nil
}

func (p *xmlParser) start(within *element, t xml.StartElement) error {
	switch {
	case len(p.open) > rawjson.MaxDepth:
		return errors.New("it is nested too deep")
	case len(p.open) == 1 && len(within.children) > 0:
		return errors.New("there is more than one root element")
	}
	e := &element{prefix: t.Name.Space, name: t.Name.Local}
	seen := make(map[xml.Name]bool, len(t.Attr))
	for _, a := range t.Attr {
		if seen[a.Name] {
			return fmt.Errorf("the attribute %.40q is given twice", a.Name.Local)
		}
		seen[a.Name] = true
		if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
			e.attributes = append(e.attributes, a)
		}
	}
	within.children = append(within.children, e)
	p.open = append(p.open, e)
	return nil
}

// root returns the root element of the document, which has ended.
func (p *xmlParser) root() (*element, error) {
	document := p.open[0]
	switch {
	case len(p.open) > 1:
		return nil, fmt.Errorf("the element %.40q does not end", p.open[len(p.open)-1].name)
	case len(document.children) == 0:
		return nil, errors.New("there is no element")
	case document.content() != "":
		return nil, errors.New("there is text outside of the root element")
	}
	return document.children[0], nil
}

// qualified returns a name as it is written.
func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}
