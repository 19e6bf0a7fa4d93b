package compose

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gatewright/gateway/internal/rawjson"
)

// GraphQL returns a part for the answer to a query, or a mutation, that from serves at the
// path that the template makes: what is under "data". Variables is the template of a JSON
// object, with holes as in [Post]; empty means that there are none.
//
//	compose.GraphQL("user", users, "/graphql",
//		`query($id: ID!) { user(id: $id) { name } }`, `{"id": "{sub}"}`)
//
// The query is sent as it is, braces and all: there are no holes in it, so that a value can
// never become part of it. The part fails if there are errors in the answer, of which the log
// has the first message, even if there is data beside them, unless it says otherwise by
// [GraphQLAnswer].
func GraphQL(name string, from http.RoundTripper, template, query, variables string) Part {
	// A brace in the query is no hole, and is escaped lest it be taken for one.
	text := rawjson.AppendString(nil, query)
	body := `{"query":` + strings.NewReplacer("{", `\u007b`, "}", `\u007d`).Replace(string(text))
	if variables != "" {
		body += `,"variables":` + variables
	}
	p := Post(name, from, template, body+"}").Decode(GraphQLAnswer{})
	if strings.TrimSpace(query) == "" {
		p.faults = append(slices.Clip(p.faults), errors.New("the query is empty"))
	}
	if t, err := parseBody(variables); variables != "" && (err != nil || !strings.HasPrefix(strings.TrimLeft(t.literals[0], " \t\r\n"), "{")) {
		p.faults = append(slices.Clip(p.faults), errors.New("the variables are not the template of an object"))
	}
	return p
}

// GraphQLAnswer decodes an answer to GraphQL: what is under "data". [GraphQL] has it with its
// zero value.
type GraphQLAnswer struct {
	// Partial takes data with errors beside it, where what failed is null, for success.
	// False means that any error fails the part. Without data, it always has failed.
	Partial bool
}

// Accept is part of [Decoder].
func (GraphQLAnswer) Accept() string {
	return "application/graphql-response+json, application/json;q=0.9"
}

// Decode is part of [Decoder].
func (g GraphQLAnswer) Decode(body []byte) ([]byte, error) {
	answer, err := rawjson.Check(body)
	if err != nil {
		return nil, err
	}
	if rawjson.KindOf(answer) != rawjson.Object {
		return nil, errNoData
	}
	data := rawjson.Member(answer, "data")
	none := data == nil || rawjson.KindOf(data) != rawjson.Object
	if err := errorOf(answer); err != nil && (none || !g.Partial) {
		return nil, err
	}
	if none {
		return nil, errNoData
	}
	return data, nil
}

var errNoData = errors.New("the answer to GraphQL has no data")

// errorOf returns the errors of an answer, by the message of the first; nil if there are none.
func errorOf(answer []byte) error {
	errs := rawjson.Member(answer, "errors")
	if errs == nil || rawjson.KindOf(errs) == rawjson.Null {
		return nil
	}
	if rawjson.KindOf(errs) != rawjson.Array {
		return errors.New("the errors of GraphQL are no array")
	}
	n, message := 0, ""
	for e := range rawjson.Elements(errs) {
		if m := rawjson.Get(e, rawjson.Path{"message"}); n == 0 && m != nil && rawjson.KindOf(m) == rawjson.String {
			message = rawjson.Text(m)
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d errors of GraphQL, first %q", n, clipped(message))
}
