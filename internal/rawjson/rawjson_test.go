package rawjson

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsOneText(t *testing.T) {
	for _, s := range []string{
		`{}`, ` [ ] `, `null`, `"a"`, `0`, `-0`, `1e400`, `-1.50E+07`, `9007199254740993`, `{"a":{"a":[1,{"a":2}]}}`,
		"[\"\U0001F600\"]", `["\ud83d\ude00"]`, `"\u0000"`, `{"":0}`, "\t{\"a\" : [ 1 , 2 ] }\r\n",
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		got, err := Check([]byte(s))
		require.NoError(t, err, s)
		assert.Equal(t, strings.TrimSpace(s), string(got))
		assert.True(t, json.Valid([]byte(s)), s)
	}
}

func TestWhatIsNone(t *testing.T) {
	for s, reason := range map[string]string{
		"": "nothing", " ": "nothing", "{": "name", `{"a"}`: "colon", `{"a":}`: "value", `{"a":1,}`: "name", `[1,]`: "value",
		`[1 2]`: "comma", `{"a":1 "b":2}`: "comma", "nul": "value", "NaN": "value", "Infinity": "value", "01": "follows", "1.": "digit",
		"-": "digit", "+1": "value", "1e": "digit", ".5": "value", `"`: "end", `"\`: "end", `"\x"`: "escape", `"\u12"`: "escape", "\"\n\"": "control",
		`{}{}`: "follows", "\xef\xbb\xbf{}": "mark", "\"\xff\"": "UTF-8", "\"\xc0\x80\"": "UTF-8", "\"\xed\xa0\x80\"": "UTF-8",
		`"\ud800"`: "surrogate", `"\udc00"`: "surrogate", `"\ud800\u0041"`: "surrogate", `"\ud800x"`: "surrogate",
		`{"a":1,"a":2}`: "twice", `{"a":1,"\u0061":2}`: "twice", `{"b":{"a":1},"a":{"b":1,"b":2}}`: "twice",
		strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1): "deep", strings.Repeat("[", 100_000): "deep",
		"'a'": "value", "{a:1}": "name", "[1]//": "follows", "<html>": "value",
	} {
		_, err := Check([]byte(s))
		var syntax *SyntaxError
		require.ErrorAs(t, err, &syntax, "%.40q", s)
		assert.Contains(t, syntax.Reason, reason, "%.40q", s)
	}
}

func TestNamesGivenTwiceAreFoundInLargeObjectsToo(t *testing.T) {
	object := func(last string) []byte {
		b := []byte(`{"x":{"0":1}`)
		for i := range 1000 {
			b = append(b, `,"`+strconv.Itoa(i)+`":0`...)
		}
		return append(b, `,"`+last+`":0}`...)
	}
	_, err := Check(object("1000"))
	require.NoError(t, err)
	for _, again := range []string{"0", "999", "\\u0039\\u0039", "x"} {
		_, err = Check(object(again))
		require.ErrorContains(t, err, "twice", again)
	}
}

func TestGet(t *testing.T) {
	v := []byte(`{ "a" : { "b\n" : [ 1.50 , { "c" : null } , "x\\\"" ] } , "a.b":1, "é":true }`)
	for path, want := range map[string]string{
		"a.b\n.0": "1.50", "a.b\n.1.c": "null", "a.b\n.2": `"x\\\""`, "é": "true", "": string(v),
		"a.x": "", "a.b\n.3": "", "a.b\n.-1": "", "a.b\n.x": "", "é.x": "",
	} {
		assert.Equal(t, want, string(Get(v, ParsePath(path))), path)
	}
	assert.Equal(t, "x\\\"", Text(Get(v, ParsePath("a.b\n.2"))))
	assert.Equal(t, "\U0001F600\b\f\n\r\t/é", Text([]byte(`"\ud83d\ude00\b\f\n\r\t\/\u00e9"`)))
}

// tokens is a text as encoding/json reads it, numbers literally.
func tokens(t testing.TB, b []byte) (list []json.Token) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return list
		}
		require.NoError(t, err)
		list = append(list, token)
	}
}

// rebuilt is v, taken to pieces and put together again.
func rebuilt(v []byte) []byte {
	switch KindOf(v) {
	case Object:
		out := []byte("{")
		for name, member := range Members(v) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(AppendString(out, Text(name)), ':'), rebuilt(member)...)
		}
		return append(out, '}')
	case Array:
		out := []byte("[")
		for e := range Elements(v) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, rebuilt(e)...)
		}
		return append(out, ']')
	case String:
		return AppendString(nil, Text(v))
	}
	return v
}

// ambiguous reports whether two parsers could differ on b, which is valid to encoding/json.
func ambiguous(b []byte) bool {
	if !utf8.Valid(b) || bytes.Contains(b, []byte(`\u`)) && strings.ContainsRune(string(jsonRoundTrip(b)), utf8.RuneError) {
		return true
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return twice(d)
}

func jsonRoundTrip(b []byte) []byte {
	var v any
	_ = json.Unmarshal(b, &v)
	out, _ := json.Marshal(v)
	return out
}

func twice(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		return false
	}
	names := map[any]bool{}
	for d.More() {
		if token == json.Delim('{') {
			name, _ := d.Token()
			if names[name] {
				return true
			}
			names[name] = true
		}
		if twice(d) {
			return true
		}
	}
	_, _ = d.Token() // its end
	return false
}

func FuzzCheckAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"\ud83d\ude00",null,true]}`, `{"a":1,"a":2}`, `"\ud800"`, `[[[]]]`, ` 1 `, "\"\xff\"", `{"b":{},"":"\\\""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Check(b)
		if err != nil {
			if json.Valid(b) && !ambiguous(b) && !strings.Contains(err.Error(), "deep") {
				t.Fatalf("%q is refused: %v", b, err)
			}
			return
		}
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%q is taken", b)
		}
		if !slices.Equal(tokens(t, b), tokens(t, rebuilt(v))) {
			t.Fatalf("%q became %q", b, rebuilt(v))
		}
	})
}

// random is a text that shows what gets lost elsewhere.
func random(r *rand.Rand, depth int) string {
	if depth > 0 {
		switch r.IntN(3) {
		case 0:
			var members []string
			for i := range r.IntN(6) {
				members = append(members, strconv.Quote("k"+strconv.Itoa(i))+" : "+random(r, depth-1))
			}
			return "{" + strings.Join(members, " ,\n") + "}"
		case 1:
			var elements []string
			for range r.IntN(6) {
				elements = append(elements, random(r, depth-1))
			}
			return "[" + strings.Join(elements, ",") + " ]"
		}
	}
	scalars := []string{"9007199254740993", "1.0", "1e400", "-0.00", `"\u00e9\/\\\""`, `"\ud83d\ude00"`, "true", "false", "null", `"é"`, strconv.Itoa(r.Int())}
	return scalars[r.IntN(len(scalars))]
}

func TestRandomTextsSurvive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s := random(r, 5)
		v, err := Check([]byte(s))
		require.NoError(t, err, s)
		require.Equal(t, tokens(t, []byte(s)), tokens(t, rebuilt(v)), s)
	}
}

func BenchmarkCheck(b *testing.B) {
	text := []byte(`{"user":"u-42","orders":[` + strings.Repeat(`{"id":1000,"state":"shipped","total":7.95,"items":["tea","milk"]},`, 14) + `{}],"note":"` + strings.Repeat(".", 60) + `"}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidOfEncodingJSON(b *testing.B) {
	text := []byte(`{"user":"u-42","orders":[` + strings.Repeat(`{"id":1000,"state":"shipped","total":7.95,"items":["tea","milk"]},`, 14) + `{}],"note":"` + strings.Repeat(".", 60) + `"}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !json.Valid(text) {
			b.Fatal()
		}
	}
}
