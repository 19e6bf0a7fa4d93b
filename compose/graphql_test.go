package compose_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded keeps the last request and its body.
type recorded struct {
	answer  *http.Response
	request *http.Request
	body    string
}

func (b *recorded) RoundTrip(r *http.Request) (*http.Response, error) {
	b.request = r
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b.body = string(text)
	}
	return b.answer, nil
}

const userQuery = "query($id: ID!, $n: Int) {\n\tuser(id: $id) {name friends(first: $n) {sub}}\n} # \"{sub}\""

func TestGraphQLSendsTheQueryAsItIsAndValuesAsVariables(t *testing.T) {
	nasty := "7\"}},\"query\":\"mutation{deleteAll}\\{x}\n"
	b := &recorded{answer: response(200, `{"data":{"user":{"name":"Ada"}}}`)}
	a := compose.New(compose.GraphQL("user", b, "/graphql", userQuery, `{"id": "{sub}", "n": 10, "by": {"note": "for {query:note}"}}`))
	w := get(t, a, "/?note=%22%7D", claims{"sub": nasty})
	assert.Equal(t, `{"user":{"user":{"name":"Ada"}}}`, w.Body.String())

	var sent struct {
		Query     string
		Variables map[string]any
	}
	d := json.NewDecoder(strings.NewReader(b.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&sent), b.body)
	assert.Equal(t, userQuery, sent.Query)
	assert.Equal(t, map[string]any{"id": nasty, "n": 10.0, "by": map[string]any{"note": `for "}`}}, sent.Variables)
	assert.Equal(t, "POST", b.request.Method)
	assert.Equal(t, "/graphql", b.request.URL.Path)
	assert.Equal(t, "application/json", b.request.Header.Get("Content-Type"))
}

func TestGraphQLTakesWholeValuesOfOtherParts(t *testing.T) {
	b := &recorded{answer: response(200, `{"data":{"ok":true}}`)}
	a := compose.New(
		compose.GraphQL("stock", b, "/graphql", `query($ids: [ID!]!) {stock(ids: $ids)}`, `{"ids":{cart.ids}}`),
		compose.Get("cart", answering(200, `{"ids":[9007199254740993,"b"]}`), "/cart").Hide())
	w := get(t, a, "/", nil)
	assert.Equal(t, `{"stock":{"ok":true}}`, w.Body.String())
	assert.Contains(t, b.body, `"variables":{"ids":[9007199254740993,"b"]}`)
}

func TestGraphQLWithoutVariablesSendsNone(t *testing.T) {
	b := &recorded{answer: response(200, `{"data":{}}`)}
	get(t, compose.New(compose.GraphQL("a", b, "/", "{a}", "")), "/", nil)
	assert.JSONEq(t, `{"query":"{a}"}`, b.body)
}

func TestGraphQLAnswers(t *testing.T) {
	for body, want := range map[string]struct{ whole, partial, why string }{
		`{"data":{"a":1.50}}`:                                  {whole: `{"a":1.50}`, partial: `{"a":1.50}`},
		`{"data":{"a":1},"errors":[]}`:                         {whole: `{"a":1}`, partial: `{"a":1}`},
		`{"errors":null,"data":{},"extensions":{}}`:            {whole: `{}`, partial: `{}`},
		`{"data":{"a":null},"errors":[{"message":"no a"},{}]}`: {partial: `{"a":null}`, why: `2 errors of GraphQL, first "no a"`},
		`{"data":null,"errors":[{"message":"bad\nquery"}]}`:    {why: `"bad\nquery"`},
		`{"errors":[{"message":"denied"}]}`:                    {why: `"denied"`},
		`{"errors":[{"message":7},{"message":"second"}]}`:      {why: `first ""`},
		`{"errors":[7]}`:                                       {why: `1 errors`},
		`{"errors":"x","data":null}`:                           {why: "no array"},
		`{"data":null}`:                                        {why: "no data"},
		`{"data":[1]}`:                                         {why: "no data"},
		`{}`:                                                   {why: "no data"},
		`[]`:                                                   {why: "no data"},
		`7`:                                                    {why: "no data"},
		``:                                                     {why: "nothing"},
		`{"data":{"a":1}`:                                      {why: "missing"},
		`{"data":{"a":1},"data":{"a":2}}`:                      {why: "twice"},
		`{"errors":[{"message":"` + strings.Repeat("x", 999) + `"}]}`: {why: "…"},
	} {
		got, err := compose.GraphQLAnswer{}.Decode([]byte(body))
		assert.Equal(t, want.whole, string(got), body)
		if want.whole == "" {
			require.ErrorContains(t, err, want.why, body)
			assert.Less(t, len(err.Error()), 300)
		}
		got, err = compose.GraphQLAnswer{Partial: true}.Decode([]byte(body))
		assert.Equal(t, want.partial, string(got), body)
		assert.Equal(t, want.partial == "", err != nil, body)
	}
}

func TestGraphQLCanTakeWhatThereIs(t *testing.T) {
	half := answering(200, `{"data":{"a":1,"b":null},"errors":[{"message":"no b"}]}`)
	part := compose.GraphQL("x", half, "/", "{a b}", "")
	assert.Equal(t, 502, get(t, compose.New(part), "/", nil).Code)
	assert.Equal(t, `{"x":{"a":1,"b":null}}`, get(t, compose.New(part.Decode(compose.GraphQLAnswer{Partial: true})), "/", nil).Body.String())
}

func TestGraphQLRefusesWhatIsNoQueryWithVariables(t *testing.T) {
	for _, c := range []struct{ query, variables, why string }{
		{" ", "", "query is empty"},
		{"{a}", "[1]", "template of an object"},
		{"{a}", `"{sub}"`, "template of an object"},
		{"{a}", `{sub}`, "template of an object"},
		{"{a}", `{}, "query": "{b}"`, "template of an object"},
		{"{a}", `{}} , {`, "template of an object"},
		{"{a}", `{"a": {x.b}}`, `no part "x"`},
	} {
		_, err := compose.Build(compose.Config{Parts: []compose.Part{compose.GraphQL("a", answering(200, ""), "/", c.query, c.variables)}})
		assert.ErrorContains(t, err, c.why, "%q", c.variables)
	}
}
