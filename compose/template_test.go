package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// filling gives every hole of t the same text, whatever its bytes, by way of a header field.
func filling(t *template, text string) *scope {
	for i := range t.holes {
		t.holes[i].source, t.holes[i].name, t.holes[i].path = fromHeader, "V", nil
	}
	return &scope{r: &http.Request{Header: http.Header{"V": {text}}}}
}

// nasty are values that mean something where they might land.
var nasty = []string{
	"../admin", "..", ".", "%2e%2e", "..%2f", `..\`, "a/b", "a//b", "?x=1", "&y=2", "x=1&y=2", "#f", ";p=1", "a b", "a+b", "%", "%zz", "%00",
	"a\r\nX-Admin: 1", "a\nb", "a\x00b", "\t", " ", `"`, `\`, `\"`, `","admin":true,"x":"`, `"}`, `{}`, `null`, `{sub}`, `{claim:x}`, "\u2028\u2029", "\u00e9",
	"\U0001f600", "\xff\xfe", "\xed\xa0\x80", "\x7f", "<script>", "00", "1", "u0041", "\ufeff", "ſ", "//evil.example", "http://evil.example/", "@evil.example",
}

func TestAValueInAPathStaysItsSegment(t *testing.T) {
	for _, v := range nasty {
		tmpl, err := parseTarget("/u/{id}/x")
		require.NoError(t, err)
		u := new(url.URL)
		if err := tmpl.target(u, filling(&tmpl, v)); err != nil {
			assert.Equal(t, 400, gateway.ProblemOf(err).Status, "%q", v)
			continue
		}
		segments := strings.Split(u.EscapedPath(), "/")
		require.Len(t, segments, 4, "%q: %s", v, u)
		got, err := url.PathUnescape(segments[2])
		require.NoError(t, err)
		assert.Equal(t, v, got)
		assert.Empty(t, u.RawQuery+u.Fragment+u.Host, "%q", v)
	}
	tmpl, err := parseTarget("/u/{id}/x")
	require.NoError(t, err)
	for _, v := range []string{"..", ".", "../admin", "..%2fadmin", "%2e%2e", `..\admin`, "a\r\nX: y", "a\x00b", "..;/x", "%252e%252e"} {
		assert.Error(t, tmpl.target(new(url.URL), filling(&tmpl, v)), "%q may be read as something else", v)
	}
	tmpl, err = parseTarget("/{a}{b}")
	require.NoError(t, err)
	require.Error(t, tmpl.target(new(url.URL), filling(&tmpl, ".")), "two values may make a dot segment of each other")
}

func TestAValueInAQueryStaysItsParameter(t *testing.T) {
	for _, v := range nasty {
		tmpl, err := parseTarget("/u?a=1&v={id}&b=2")
		require.NoError(t, err)
		u := new(url.URL)
		require.NoError(t, tmpl.target(u, filling(&tmpl, v)))
		sent, err := url.ParseRequestURI(u.RequestURI())
		require.NoError(t, err)
		assert.Equal(t, url.Values{"a": {"1"}, "v": {v}, "b": {"2"}}, sent.Query(), u.RequestURI())
	}
}

func TestAValueInAFieldStaysInItsLine(t *testing.T) {
	for _, v := range nasty {
		tmpl, err := parseField("Bearer {id}!")
		require.NoError(t, err)
		got, err := tmpl.field(filling(&tmpl, v))
		if strings.ContainsAny(v, "\r\n\x00\x7f") {
			assert.Equal(t, 400, gateway.ProblemOf(err).Status, "%q", v)
			continue
		}
		require.NoError(t, err, "%q", v)
		assert.Equal(t, "Bearer "+v+"!", got)
	}
}

func TestAValueInABodyStaysAString(t *testing.T) {
	for _, v := range nasty {
		tmpl, err := parseBody(`{"before": "<{id}>", "list": [ {id} ], "after":{id}}`)
		require.NoError(t, err)
		b, err := tmpl.append(nil, filling(&tmpl, v))
		require.NoError(t, err)
		_, err = rawjson.Check(b)
		require.NoError(t, err, "%s", b)
		var got map[string]any
		require.NoError(t, json.Unmarshal(b, &got), "%s", b)
		text := strings.ToValidUTF8(v, "\ufffd")
		if !utf8.ValidString(v) {
			text = fmt.Sprint(got["after"]) // how many replacements there are is not ours to say
			assert.Contains(t, text, "\ufffd")
		}
		assert.Equal(t, map[string]any{"before": "<" + text + ">", "list": []any{text}, "after": text}, got)
	}
}

func TestJSONOfAPartIsAValueOfABodyAndNothingButScalarsIsText(t *testing.T) {
	element := []byte(`{"s":"a\"\u2028","n":9007199254740993,"f":1.0,"b":true,"o":{"x" : [1]},"l":[ 1e400 ],"null":null,"empty":""}`)
	fill := func(s string) (string, error) {
		tmpl, err := parseBody(s)
		require.NoError(t, err, s)
		b, err := tmpl.append(nil, &scope{element: element})
		return string(b), err
	}
	for in, want := range map[string]string{
		`[{each.s},{each.n},{each.f},{each.b}]`: `["a\"\u2028",9007199254740993,1.0,true]`,
		`[{each.o},{each.l},{each.l.0}]`:        `[{"x" : [1]},[ 1e400 ],1e400]`,
		`{each}`:                                string(element),
		`"{each.s}/{each.n}/{each.f}/{each.b}"`: "\"a\\\"\u2028/9007199254740993/1.0/true\"",
		`{each.empty}`:                          `""`,
		`{ "a" : {each.n} }`:                    `{ "a" : 9007199254740993 }`,
	} {
		got, err := fill(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got)
	}
	for _, in := range []string{`"{each.o}"`, `"{each.l}"`, `"{each.null}"`, `{each.null}`, `{each.none}`, `"{each.empty}"`, `{each.n.x}`, `"{each}"`} {
		got, err := fill(in)
		assert.ErrorAs(t, err, new(missing), "%s became %s", in, got)
	}
}

func TestValuesComeFromWhereTheHoleSays(t *testing.T) {
	r := httptest.NewRequest("GET", "/?q=first&q=second&empty=&bad;=1", nil)
	r.Header.Set("X-Tenant", "t1")
	r.SetPathValue("id", "a/b")
	r = r.WithContext(exchange.With(r.Context(), &exchange.State{Principal: claimsOf{"sub": "u?1", "email": "e&f=1"}}))
	s := &scope{r: r}
	tmpl, err := parseTarget("/{id}/{sub}?q={query:q}&h={header:x-tenant}&c={claim:email}")
	require.NoError(t, err)
	u := new(url.URL)
	require.NoError(t, tmpl.target(u, s))
	assert.Equal(t, "/a%2Fb/u%3F1?q=first&h=t1&c=e%26f%3D1", u.RequestURI())
	for hole, status := range map[string]int{
		"{query:none}": 400, "{query:empty}": 400, "{header:None}": 400, "{claim:none}": 403, "{none}": 500,
	} {
		tmpl, err := parseField(hole)
		require.NoError(t, err)
		_, err = tmpl.field(s)
		require.ErrorAs(t, err, new(missing))
		assert.Equal(t, status, gateway.ProblemOf(err).Status, hole)
	}
}

type claimsOf map[string]string

func (c claimsOf) Claim(name string) (string, bool) { v, ok := c[name]; return v, ok }

func TestTemplatesThatCannotBe(t *testing.T) {
	for _, s := range []string{
		"", "x", "http://h/", "//h/x", "//h/{id}", "/{", "/}", "/{}", "/{ id}", "/{{id}}", "/{id", "/a#f", "/a#", "/a?x#", "/{a.}", "/{a..b}", "/{a.b c}", "/{cookie:x}",
		"/{claim:}", "/{header:a b}", "/{header:a\r\nb}", "/a/../b", "/a//b", "/./", "/%zz", "/%2{id}", "/%{id}", "/%2e%2e/{id}", "/a?x=%2{id}", "/a?x=%{id}", "/a?x=a b", "/a?x=\u00e9", "/a\x00", "/a b/{id}", "/r\u00e9sum\u00e9/{id}", "/<{id}", "/a^b", "/a|b",
	} {
		_, err := parseTarget(s)
		assert.Error(t, err, "%q", s)
	}
	for _, s := range []string{"a\nb", "{", "{x", "\r", "{a b}", "\x00{sub}"} {
		_, err := parseField(s)
		assert.Error(t, err, "%q", s)
	}
	for _, s := range []string{
		"{", "", "}", `{"a":{id}`, `{"a":1{id}}`, `{"a":-{id}}`, `{"a":{id}.5}`, `{"a":{id}e5}`, `{"a":{id}{id}}`, `{"a":"x"{id}}`, `{"a":nul{id}}`, `{ {id}:1}`,
		`{"{id}":1}`, `{"a{id}" : 1}`, `{"a":1,"b":{"{id}b":2}}`, `"\{id}"`, `"\u{id}"`, `"\u00{id}1"`, `"\ud83d{id}"`, `{"a":1,"a":{id}}`, `[{id},]`, "\"\n{id}\"", `{id}{id}`, `{a.b} x`, `{"a":{x:y}}`,
	} {
		_, err := parseBody(s)
		assert.Error(t, err, "%q", s)
	}
	for _, s := range []string{`{id}`, `"{id}"`, `{"a":"{id}","b":"{id}:{id}"}`, `["{id}",{id}]`, `{"a":"\\{id}\"{id}"}`, `{"a":":","b":"{id}"}`, `{}`, `{"a" : "{ not a hole }"}`, `["{id}", {"x":1}]`} {
		_, err := parseBody(s)
		assert.NoError(t, err, "%q", s)
	}
}

func FuzzATargetKeepsItsShapeWhateverTheValue(f *testing.F) {
	for _, s := range []string{"/", "/v1/{id}?q={a.b}", "/{sub}/{claim:x}", "/{", "/{{a}}", "/a?b={query:x}#c", "//h/{x}", "/%zz{a.b}", "/x?{header:y}=1", "/a{x}b/{y}?p=%2{z}", "/a?x=%41{b}&{c}"} {
		for _, v := range nasty {
			f.Add(s, v)
		}
	}
	f.Add("/ {0}", "/") // found: a path that is escaped anew lost the escapes of the value
	f.Fuzz(func(t *testing.T, s, v string) {
		tmpl, err := parseTarget(s)
		if err != nil {
			return
		}
		u, plain := new(url.URL), new(url.URL)
		if err := tmpl.target(plain, filling(&tmpl, "x")); err != nil {
			t.Fatalf("%q cannot even have x: %v", s, err)
		}
		if err := tmpl.target(u, filling(&tmpl, v)); err != nil {
			return
		}
		for _, c := range []byte(u.RequestURI()) {
			if c <= ' ' || c > '~' || c == '#' {
				t.Fatalf("%q with %q has a byte that cannot be sent: %q", s, v, u.RequestURI())
			}
		}
		again, err := url.ParseRequestURI(u.RequestURI())
		if err != nil {
			t.Fatalf("%q with %q: %v", s, v, err)
		}
		if again.EscapedPath() != u.EscapedPath() || again.RawQuery != u.RawQuery || again.Host != "" {
			t.Fatalf("%q with %q is read as %v", s, v, again)
		}
		for _, sep := range []string{"/", "?"} {
			if strings.Count(u.EscapedPath(), sep) != strings.Count(plain.EscapedPath(), sep) {
				t.Fatalf("%q with %q has another path: %q", s, v, u.EscapedPath())
			}
		}
		for _, sep := range []string{"&", "=", ";", "?"} {
			if strings.Count(u.RawQuery, sep) != strings.Count(plain.RawQuery, sep) {
				t.Fatalf("%q with %q has another query: %q", s, v, u.RawQuery)
			}
		}
		// Each side of a hole means by itself what it means in the whole.
		want := ""
		for i, literal := range tmpl.literals {
			text, err := url.QueryUnescape(literal)
			if err != nil {
				return // of a path, where "%" and "+" are others; Check has seen it
			}
			want += text
			if i < len(tmpl.holes) {
				want += v
			}
		}
		whole := u.EscapedPath()
		if strings.Contains(s, "?") { // an empty query is not sent
			whole += "?" + u.RawQuery
		}
		if all, err := url.QueryUnescape(whole); !strings.ContainsAny(s+v, "+ ") && strings.IndexFunc(s, func(c rune) bool { return c > '~' }) < 0 && (err != nil || all != want) {
			t.Fatalf("%q with %q says %q", s, v, all)
		}
	})
}

func FuzzAFieldKeepsItsLineWhateverTheValue(f *testing.F) {
	for _, s := range []string{"", "{sub}", "Bearer {claim:x}", "{a.b}, {c}", "{", "a\nb{c}", "}{x}"} {
		for _, v := range nasty {
			f.Add(s, v)
		}
	}
	f.Fuzz(func(t *testing.T, s, v string) {
		tmpl, err := parseField(s)
		if err != nil {
			return
		}
		got, err := tmpl.field(filling(&tmpl, v))
		if err != nil {
			if status := gateway.ProblemOf(err).Status; status != 400 {
				t.Fatalf("%q with %q: %v", s, v, err)
			}
			return
		}
		if !field.IsValue(got) || got != strings.Join(tmpl.literals, v) {
			t.Fatalf("%q with %q became %q", s, v, got)
		}
	})
}

func FuzzABodyKeepsItsShapeWhateverTheValue(f *testing.F) {
	for _, s := range []string{
		`{"user": "{sub}", "note": "for {profile.name}", "items": {cart.items}}`, `{id}`, `"{id}"`, `{"{id}":1}`, `1{id}`, `"\u00{id}"`, `{"a":"x\\{a.b}"}`, `["{a}{b}",{c}]`, `{"a":{b},"b":{c}}`,
	} {
		for _, v := range nasty {
			f.Add(s, v)
		}
	}
	f.Fuzz(func(t *testing.T, s, v string) {
		tmpl, err := parseBody(s)
		if err != nil {
			return
		}
		for _, h := range tmpl.holes {
			if h.place != inJSON && h.place != inString {
				t.Fatalf("%q has a hole elsewhere", s)
			}
		}
		plain, err := tmpl.append(nil, filling(&tmpl, "x"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.append(nil, filling(&tmpl, v))
		if err != nil {
			if !errors.As(err, new(missing)) || v != "" {
				t.Fatalf("%q with %q: %v", s, v, err)
			}
			return
		}
		if _, err := rawjson.Check(got); err != nil {
			t.Fatalf("%q with %q became %q: %v", s, v, got, err)
		}
		if a, b := form(t, plain), form(t, got); a != b {
			t.Fatalf("%q with %q became %q: %s, and not %s", s, v, got, b, a)
		}
	})
}

// form is the structure of a text: its brackets and names, and the kinds of its values.
func form(t *testing.T, text []byte) string {
	var b strings.Builder
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return b.String()
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case json.Delim:
			b.WriteString(token.String())
		default:
			fmt.Fprintf(&b, "%T ", token)
		}
	}
}
