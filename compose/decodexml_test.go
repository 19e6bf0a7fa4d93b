package compose_test

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestXMLBecomesJSON(t *testing.T) {
	for document, want := range map[string]string{
		`<a/>`:                            `{"a":""}`,
		`<a></a>`:                         `{"a":""}`,
		`<a> x </a>`:                      `{"a":"x"}`,
		`<a b="1"/>`:                      `{"a":{"@b":"1"}}`,
		`<a b="1">x</a>`:                  `{"a":{"@b":"1","#text":"x"}}`,
		`<a b=" 1 ">` + "\n</a>":          `{"a":{"@b":" 1 "}}`,
		`<a><b/></a>`:                     `{"a":{"b":""}}`,
		`<a><b>1</b><c>2</c><b>3</b></a>`: `{"a":{"b":["1","3"],"c":"2"}}`,
		`<a>x<b>1</b>y</a>`:               `{"a":{"b":"1","#text":"xy"}}`,
		`<a><b><c>1</c></b><b><c>2</c><c>3</c></b></a>`:                                     `{"a":{"b":[{"c":"1"},{"c":["2","3"]}]}}`,
		`<a>&lt;&amp;&#x1F600;&#233;<![CDATA[<b>&amp;]]></a>`:                               "{\"a\":\"<&\U0001F600é<b>&amp;\"}",
		`<?xml version="1.0"?><!-- c --><?p i?><a>1<!-- c -->2<?p i?></a><!-- c -->` + "\n": `{"a":"12"}`,
		"\ufeff<a>\"\\</a>":                            `{"a":"\"\\"}`,
		`<a><b/><b/><b/></a>`:                          `{"a":{"b":["","",""]}}`,
		`<x:a xmlns:x="u" xmlns="v"><x:b/><b/></x:a>`:  `{"a":{"b":["",""]}}`,
		`<a xlink:type="s" type="t" xmlns:xlink="u"/>`: `{"a":{"@xlink:type":"s","@type":"t"}}`,
		`<größe Maß="1">2</größe>`:                     `{"größe":{"@Maß":"1","#text":"2"}}`,
		"<a>1\r\n2</a>":                                `{"a":"1\n2"}`,
		`<a>9007199254740993</a>`:                      `{"a":"9007199254740993"}`,
		`<?xml version="1.0" encoding="ISO-8859-1"?><a b="` + "\xe9\">\xa0\xff</a>":     "{\"a\":{\"@b\":\"é\",\"#text\":\"\u00a0ÿ\"}}",
		`<?xml version="1.0" encoding="utf-8" standalone="yes"?>` + "<a>\u00e9</a>\r\n": `{"a":"é"}`,
	} {
		got, err := compose.XML{}.Decode([]byte(document))
		require.NoError(t, err, document)
		assert.Equal(t, want, string(got), document)
	}
}

func TestTheProgramSaysWhatXMLDoesNot(t *testing.T) {
	x := compose.XML{
		Arrays: []string{"item"}, Numbers: []string{"price", "@id"}, Bools: []string{"sold", "@new"}, Prefixes: true,
	}
	for document, want := range map[string]string{
		`<list><item/></list>`:                      `{"list":{"item":[""]}}`,
		`<item/>`:                                   `{"item":[""]}`,
		`<price>9007199254740993.10</price>`:        `{"price":9007199254740993.10}`,
		`<price c="EUR">1e3</price>`:                `{"price":{"@c":"EUR","#text":1e3}}`,
		`<a><price>1</price><price>2</price></a>`:   `{"a":{"price":[1,2]}}`,
		`<price>007</price>`:                        `{"price":"007"}`,
		`<price>1,5</price>`:                        `{"price":"1,5"}`,
		`<price>{"a":1}</price>`:                    `{"price":"{\"a\":1}"}`,
		`<price/>`:                                  `{"price":""}`,
		`<price>true</price>`:                       `{"price":"true"}`,
		`<a id="7" n="7"><id>7</id></a>`:            `{"a":{"@id":7,"@n":"7","id":"7"}}`,
		`<sold>true</sold>`:                         `{"sold":true}`,
		`<sold>TRUE</sold>`:                         `{"sold":"TRUE"}`,
		`<a new="false"/>`:                          `{"a":{"@new":false}}`,
		`<x:a xmlns:x="u"><x:b/><b/><y:b/></x:a>`:   `{"x:a":{"x:b":"","b":"","y:b":""}}`,
		`<a><x:price>1</x:price><item>1</item></a>`: `{"a":{"x:price":"1","item":["1"]}}`,
		`<a><item>1</item><b/><item>2</item></a>`:   `{"a":{"item":["1","2"],"b":""}}`,
		`<a><item><item>1</item></item><item/></a>`: `{"a":{"item":[{"item":["1"]},""]}}`,
	} {
		got, err := x.Decode([]byte(document))
		require.NoError(t, err, document)
		assert.Equal(t, want, string(got), document)
	}
}

func TestXMLThatIsRefused(t *testing.T) {
	laughs := `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>`
	file := `<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>`
	for document, why := range map[string]string{
		laughs: "DOCTYPE", file: "DOCTYPE", `<!DOCTYPE html><html/>`: "DOCTYPE", `<a/><!DOCTYPE a>`: "DOCTYPE", `<a><!ENTITY b "c"></a>`: "DOCTYPE",
		`<a>&b;</a>`: "entity", `<a>&nbsp;</a>`: "entity", `<a b="&b;"/>`: "entity",
		``: "no element", ` `: "no element", `text`: "no element", `<!-- c -->`: "no element",
		`<a/><b/>`: "more than one", `<a/>x`: "outside", `x<a/>`: "outside", `<a/>&amp;`: "outside",
		`<a>`: "does not end", `<a><b></a></b>`: "no start", `</a>`: "no start", `<a></b>`: "no start", `<x:a></a>`: "no start", `<a></x:a>`: "no start",
		`<a`: "EOF", `<a b="1" b="2"/>`: "twice", `<a x:b="1" x:b="2"/>`: "twice", `<a b=1/>`: "unquoted", `<a b/>`: "without =",
		"<a>\xe9</a>": "UTF-8", "<a>\x00</a>": "character", "<a>&#0;</a>": "character", `<a>]]></a>`: "]]>", `<a><!-- -- --></a>`: "--",
		`<?xml version="1.1"?><a/>`: "version", `<a/><?xml version="1.0"?>`: "declaration", ` <?xml version="1.0"?><a/>`: "declaration",
		`<?xml version="1.0" encoding="UTF-7"?><a>+AGE-</a>`: "UTF-7", `<?xml version="1.0" encoding="IBM037"?><a/>`: "IBM037",
		"\xff\xfe<\x00a\x00/\x00>\x00": "UTF-8",
		strings.Repeat("<a>", 513):     "too deep",
		strings.Repeat("<a>", 1<<20/3): "too deep",
		`{"error":"maintenance"}`:      "no element",
	} {
		_, err := compose.XML{}.Decode([]byte(document))
		require.ErrorContains(t, err, why, "%.60q", document)
	}
}

func TestXMLAsDeepAsAllowedIsRead(t *testing.T) {
	got, err := compose.XML{}.Decode([]byte(strings.Repeat("<a>", 511) + strings.Repeat("</a>", 511)))
	require.NoError(t, err)
	_, err = rawjson.Check(got)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat(`{"a":`, 511)+`""`+strings.Repeat(`}`, 511), string(got))
}

// Where a name costs a comparison with each that was before it, a megabyte of names is minutes.
func TestXMLOfAMegabyteOfTinyElementsIsBounded(t *testing.T) {
	var distinct strings.Builder
	distinct.WriteString("<a>")
	for i := 0; distinct.Len() < 1<<20-20; i++ {
		distinct.WriteString("<e" + strconv.Itoa(i) + "/>")
	}
	distinct.WriteString("</a>")
	var many strings.Builder
	many.WriteString("<a")
	for i := 0; many.Len() < 1<<20-20; i++ {
		many.WriteString(" e" + strconv.Itoa(i) + `=""`)
	}
	many.WriteString("/>")
	for _, document := range []string{distinct.String(), many.String(), "<a>" + strings.Repeat("<b/>", 1<<18-2) + "</a>"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := compose.XML{}.Decode([]byte(document))
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		assert.Less(t, len(got), 2<<20)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<20), "%.20s", document)
	}
}

func TestSOAPIsTheFirstElementOfItsBody(t *testing.T) {
	const envelope = `<?xml version="1.0"?><soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Header><t>1</t></soap:Header><soap:Body>`
	const end = `</soap:Body></soap:Envelope>`
	s := compose.SOAP{Numbers: []string{"Price"}, Arrays: []string{"Item"}}
	for body, want := range map[string]string{
		`<m:Reply xmlns:m="u"><m:Price>1.90</m:Price><m:Item>tea</m:Item></m:Reply>`: `{"Reply":{"Price":1.90,"Item":["tea"]}}`,
		`<a>1</a><multiRef id="1"/>`: `{"a":"1"}`,
		``:                           `null`,
		"\n":                         `null`,
	} {
		got, err := s.Decode([]byte(envelope + body + end))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	for document, why := range map[string]string{
		envelope + `<soap:Fault><faultcode>soap:Server</faultcode><faultstring xml:lang="en">out of stock</faultstring></soap:Fault>` + end: `"soap:Server": "out of stock"`,
		envelope + `<soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code><soap:Reason><soap:Text>no
such item</soap:Text></soap:Reason></soap:Fault>` + end: `"soap:Sender": "no\nsuch item"`,
		envelope + `<soap:Fault/>` + end: `fault "": ""`,
		envelope + `<soap:Fault><faultstring>` + strings.Repeat("x", 1000) + `</faultstring></soap:Fault>` + end: strings.Repeat("x", 200) + `…"`,
		`<html><Body/></html>`: "no SOAP envelope", `<e:Envelope/>`: "no SOAP envelope", envelope: "does not end",
	} {
		_, err := s.Decode([]byte(document))
		require.ErrorContains(t, err, why)
		assert.Less(t, len(err.Error()), 300)
	}
}
