package compose

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const declaration = `<?xml version="1.0" encoding="UTF-8"?>`

func TestJSONBecomesXML(t *testing.T) {
	for json, want := range map[string]string{
		`null`:                    `<r null="true"/>`,
		`""`:                      `<r></r>`,
		`{}`:                      `<r></r>`,
		` [ ] `:                   `<r></r>`,
		`"a"`:                     `<r>a</r>`,
		`true`:                    `<r>true</r>`,
		`-9007199254740993.10e+7`: `<r>-9007199254740993.10e+7</r>`,
		`{ "a" : 1 , "b" : [ 1 , null , [ "x" ] , { "c" : false } ] , "d" : null }`: `<r><a>1</a><b><item>1</item><item null="true"/>` +
			`<item><item>x</item></item><item><c>false</c></item></b><d null="true"/></r>`,
		`{"":1,"a b":2,"1a":null,"größe":3,"a:b":4,"xml":5,"XmlX":6,"_-.1":7,"-":8}`: `<r><member name="">1</member><member name="a b">2</member>` +
			`<member name="1a" null="true"/><member name="größe">3</member><member name="a:b">4</member><member name="xml">5</member>` +
			`<member name="XmlX">6</member><_-.1>7</_-.1><member name="-">8</member></r>`,
		`{"a":"</a><b x=\"1\">&amp;]]><!--","x\"/><script>":"y"}`: `<r><a>&lt;/a&gt;&lt;b x=&quot;1&quot;&gt;&amp;amp;]]&gt;&lt;!--</a>` +
			`<member name="x&quot;/&gt;&lt;script&gt;">y</member></r>`,
		`"\u0000\u001f\ufffe\uffff\u007f\t\r\n\ud83d\ude00"`: "<r>\ufffd\ufffd\ufffd\ufffd\u007f&#9;&#13;&#10;\U0001F600</r>",
		`"\\\"\\"`: `<r>\&quot;\</r>`,
	} {
		checked, err := rawjson.Check([]byte(json))
		require.NoError(t, err, json)
		assert.Equal(t, declaration+want, string(asXML("r", checked)), json)
	}
}

func TestNamesOfElements(t *testing.T) {
	for _, s := range []string{"a", "_", "Ab-1._", "item"} {
		assert.True(t, isXMLName(s), s)
	}
	for _, s := range []string{"", "1", "-a", ".a", "a b", "a:b", "a>", "xml", "XMLa", "é", "a\x00", "a/", "a="} {
		assert.False(t, isXMLName(s), s)
	}
}

// values reads a document back: the texts, and what elements and nulls there are, in order.
func values(t testing.TB, document []byte) (list []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%q is not XML: %v", document, err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			for _, a := range e.Attr {
				if a.Name.Local == "name" {
					name = a.Value
				}
				if a.Name.Local == "null" {
					name += "=null"
				}
			}
			list = append(list, "<"+name)
		case xml.EndElement:
			list = append(list, ">")
		case xml.CharData:
			list = append(list, string(e))
		case xml.ProcInst:
		default:
			t.Fatalf("%q has a %T", document, token)
		}
	}
}

// expected is what values has to find for json.
func expected(list []string, name string, json []byte) []string {
	safe := strings.NewReplacer("\ufffe", "\ufffd", "\uffff", "\ufffd")
	clean := func(s string) string {
		return strings.Map(func(c rune) rune {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
				return '\ufffd'
			}
			return c
		}, safe.Replace(s))
	}
	kind := rawjson.KindOf(json)
	if kind == rawjson.Null {
		return append(list, "<"+clean(name)+"=null", ">")
	}
	list = append(list, "<"+clean(name))
	switch kind {
	case rawjson.Object:
		for name, v := range rawjson.Members(json) {
			list = expected(list, rawjson.Text(name), v)
		}
	case rawjson.Array:
		for v := range rawjson.Elements(json) {
			list = expected(list, "item", v)
		}
	case rawjson.String:
		if text := clean(rawjson.Text(json)); text != "" {
			list = append(list, text)
		}
	default:
		list = append(list, string(json))
	}
	return append(list, ">")
}

func FuzzAnswersAsXMLAreReadBack(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,{"b":null}],"x y":"<&>\"'"}`, `"\u0000\ud83d\ude00\r\n"`, `{"<a/>":1,"xml":{},"":[]}`, `[[[]],-1e5,true]`, `{"]]>":"]]>"}`, `{"member":{"item":"a"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		json, err := rawjson.Check(b)
		if err != nil {
			return
		}
		document := asXML("root", json)
		assert.Equal(t, expected(nil, "root", json), values(t, document), "%q", document)
		if d, err := (XML{}).Decode(document); err == nil {
			if _, err := rawjson.Check(d); err != nil && !strings.Contains(err.Error(), "deep") {
				t.Fatalf("%q became %q: %v", document, d, err)
			}
		} else if !strings.Contains(err.Error(), "deep") {
			t.Fatalf("our own decoder refuses %q: %v", document, err)
		}
	})
}

func TestDeepAnswersAreReadOnce(t *testing.T) {
	json := []byte(strings.Repeat("[", 512) + `"` + strings.Repeat("x", 1<<20) + `"` + strings.Repeat("]", 512))
	document := asXML("r", json)
	assert.Equal(t, declaration+"<r>"+strings.Repeat("<item>", 512)+strings.Repeat("x", 1<<20)+strings.Repeat("</item>", 512)+"</r>", string(document))
}

type canned string

func (f canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(f)))}, nil
}

func TestTheClientChoosesBetweenJSONAndXML(t *testing.T) {
	a := Must(Config{XML: "home", Parts: []Part{Get("a", canned(`{"id":9007199254740993,"tags":["x","y"]}`), "/"), Get("b b", canned(`null`), "/")}})
	ask := func(accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	w := ask("application/xml")
	assert.Equal(t, declaration+`<home><a><id>9007199254740993</id><tags><item>x</item><item>y</item></tags></a><member name="b b" null="true"/></home>`, w.Body.String())
	assert.Equal(t, "application/xml; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, "Accept", w.Header().Get("Vary"))
	w = ask("*/*")
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	assert.Equal(t, "Accept", w.Header().Get("Vary"), "caches must know it of either answer")
	_, err := Build(Config{XML: "a b", Parts: []Part{Get("a", canned(""), "/")}})
	assert.ErrorContains(t, err, "root element")
}
