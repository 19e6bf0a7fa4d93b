package compose_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/gatewright/gateway/internal/rawjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTextIsOneString(t *testing.T) {
	for body, want := range map[string]string{
		"": `""`, "pong\n": `"pong\n"`, `a "quote" \ `: `"a \"quote\" \\ "`, "größer \U0001F600": "\"größer \U0001F600\"", "null": `"null"`,
	} {
		got, err := compose.Text{}.Decode([]byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	for _, body := range []string{"caf\xe9", "\xff\xfep\x00", "\xed\xa0\x80"} {
		_, err := compose.Text{}.Decode([]byte(body))
		assert.ErrorContains(t, err, "UTF-8", "%q", body)
	}
}

func TestAPartAsksForWhatItsDecoderReads(t *testing.T) {
	for _, d := range []compose.Decoder{compose.XML{}, compose.SOAP{}, compose.RSS{}, compose.Text{}, compose.GraphQLAnswer{}} {
		b := &recorded{answer: response(500, "")}
		get(t, compose.New(compose.Get("a", b, "/").Decode(d)), "/", nil)
		assert.Equal(t, d.Accept(), b.request.Header.Get("Accept"))
	}
}

func TestWhatCannotBeDecodedIsAFailureOfThePartAlone(t *testing.T) {
	for _, d := range []compose.Decoder{compose.XML{}, compose.SOAP{}, compose.RSS{}, compose.Text{}, compose.GraphQLAnswer{}} {
		garbage := answering(200, "<a>\xff")
		w := get(t, compose.New(compose.Get("a", garbage, "/").Decode(d)), "/", nil)
		assert.Equal(t, 502, w.Code, "%T", d)
		w = get(t, compose.New(compose.Get("a", garbage, "/").Decode(d).Optional(), compose.Get("b", answering(200, `1`), "/")), "/", nil)
		assert.Equal(t, `{"b":1}`, w.Body.String(), "%T", d)
		w = get(t, compose.New(compose.Get("a", garbage, "/").Decode(d).Default(`"none"`)), "/", nil)
		assert.Equal(t, `{"a":"none"}`, w.Body.String(), "%T", d)
	}
}

func TestTheProblemDoesNotSayWhatTheBackendSaid(t *testing.T) {
	fault := `<e:Envelope xmlns:e="x"><e:Body><e:Fault><faultcode>Server</faultcode><faultstring>db-7.internal is down</faultstring></e:Fault></e:Body></e:Envelope>`
	w := get(t, compose.New(compose.Get("a", answering(200, fault), "/").Decode(compose.SOAP{})), "/", nil)
	assert.Equal(t, 502, w.Code)
	assert.NotContains(t, w.Body.String(), "db-7")
	w = get(t, compose.New(compose.GraphQL("a", answering(200, `{"errors":[{"message":"db-7.internal is down"}]}`), "/", "{a}", "")), "/", nil)
	assert.Equal(t, 502, w.Code)
	assert.NotContains(t, w.Body.String(), "db-7")
}

func FuzzDecodersMakeJSONOrRefuse(f *testing.F) {
	for _, s := range []string{
		`<a b="1">x<c/><c>1.50</c></a>`, `<?xml version="1.0" encoding="ISO-8859-1"?><a>` + "\xe9</a>", `<!DOCTYPE a><a/>`,
		`<e:Envelope><e:Body><r><x>1</x></r></e:Body></e:Envelope>`, `<Envelope><Body><Fault><Code><Value>a</Value></Code></Fault></Body></Envelope>`,
		`<rss><channel><title>t</title><item><guid>1</guid><pubDate>Sun, 22 Nov 2026 10:00:00 GMT</pubDate></item></channel></rss>`,
		`<feed><link href="/"/><entry><title type="xhtml"><div>a <b>b</b></div></title></entry></feed>`,
		`{"data":{"a":1},"errors":[]}`, `{"errors":[{"message":"no"}]}`, strings.Repeat("<a>", 600), `<a x:b="1" y:b="2" xmlns:x="x" xmlns="y"><![CDATA[<]]>&#0;</a>`,
	} {
		f.Add([]byte(s))
	}
	decoders := []compose.Decoder{
		compose.XML{}, compose.XML{Arrays: []string{"a", "c"}, Numbers: []string{"c", "@b", "a"}, Bools: []string{"a"}, Prefixes: true},
		compose.SOAP{}, compose.RSS{}, compose.Text{}, compose.GraphQLAnswer{}, compose.GraphQLAnswer{Partial: true},
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range decoders {
			out, err := d.Decode(body)
			if err != nil {
				continue
			}
			if _, err := rawjson.Check(out); err != nil && !strings.Contains(err.Error(), "deep") || !json.Valid(out) {
				t.Fatalf("%T made %q of %q: %v", d, out, body, err)
			}
			again, err := d.Decode(body)
			if err != nil || string(again) != string(out) {
				t.Fatalf("%T is not deterministic with %q", d, body)
			}
		}
	})
}
