package compose_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shaped is what becomes of doc, and the status where that is a failure.
func shaped(t *testing.T, doc string, shape func(compose.Part) compose.Part) (string, int) {
	t.Helper()
	w := get(t, compose.New(shape(compose.Get("a", answering(200, doc), "/"))), "/", nil)
	if w.Code != 200 {
		return "", w.Code
	}
	return strings.TrimSuffix(strings.TrimPrefix(w.Body.String(), `{"a":`), "}"), 200
}

func TestShapes(t *testing.T) {
	const user = `{"id":9007199254740993,"name":"Ada","tags":["x","y"],"address":{"city":"London","zip":"N1","geo":{"lat":51.50}},"friends":[{"id":1,"name":"B"},{"id":2,"name":"C","secret":true}]}`
	type part = compose.Part
	tests := map[string]struct {
		doc, want string // no want: it fails
		shape     func(part) part
	}{
		"pick a member":                  {user, `51.50`, func(p part) part { return p.Pick("address.geo.lat") }},
		"pick an element":                {user, `{"id":2,"name":"C","secret":true}`, func(p part) part { return p.Pick("friends.1") }},
		"pick null":                      {`{"a":null}`, `null`, func(p part) part { return p.Pick("a") }},
		"pick nothing":                   {user, ``, func(p part) part { return p.Pick("address.street") }},
		"pick beyond":                    {user, ``, func(p part) part { return p.Pick("friends.2") }},
		"wrap and collect":               {` 1.0 `, `[{"n\"":1.0}]`, func(p part) part { return p.Wrap(`n"`).Collect() }},
		"collect an array":               {`[1]`, `[1]`, func(p part) part { return p.Collect() }},
		"allow":                          {user, `{"id":9007199254740993,"address":{"geo":{"lat":51.50}},"friends":[{"name":"B"},{"name":"C"}]}`, func(p part) part { return p.Allow("friends.name", "id", "address.geo") }},
		"allow a shorter path as well":   {user, `{"address":{"city":"London","zip":"N1","geo":{"lat":51.50}}}`, func(p part) part { return p.Allow("address.city", "address", "address.geo.lat") }},
		"allow nothing":                  {user, `{}`, func(p part) part { return p.Allow() }},
		"allow in a root array":          {`[{"a":1,"b":2},[{"b":3}],null]`, `[{"a":1},[{}],null]`, func(p part) part { return p.Allow("a") }},
		"deny":                           {user, `{"id":9007199254740993,"name":"Ada","tags":["x","y"],"address":{"city":"London","geo":{}},"friends":[{"id":1,"name":"B"},{"id":2,"name":"C"}]}`, func(p part) part { return p.Deny("friends.secret", "address.zip", "address.geo.lat", "none.x") }},
		"deny a shorter path as well":    {`{"a":{"b":1,"c":2},"d":3}`, `{"d":3}`, func(p part) part { return p.Deny("a.b", "a") }},
		"rename":                         {`{"a":1,"b":2,"c":3}`, `{"a":1,"x\n":2,"c":3}`, func(p part) part { return p.Rename("b", "x\n") }},
		"rename onto another":            {`{"a":1,"b":2,"c":3}`, `{"a":3}`, func(p part) part { return p.Rename("b", "a").Rename("c", "a") }},
		"rename to the same":             {`{"a":1, "b":2}`, `{"a":1, "b":2}`, func(p part) part { return p.Rename("b", "b") }},
		"rename in elements":             {`{"l":[{"a":1},{"b":1},5,[{"a":2}]]}`, `{"l":[{"z":1},{"b":1},5,[{"z":2}]]}`, func(p part) part { return p.Rename("l.a", "z") }},
		"rename what is written anew":    {`{"\u0061":1}`, `{"z":1}`, func(p part) part { return p.Rename("a", "z") }},
		"a name with dots":               {`{"a":1}`, `{"x..y":1}`, func(p part) part { return p.Rename("a", "x..y") }},
		"move":                           {`{"a":{"b":1,"c":2},"d":3}`, `{"a":{"c":2},"d":3,"x":{"y":1}}`, func(p part) part { return p.Move("a.b", "x.y") }},
		"move onto another":              {`{"a":1,"b":2}`, `{"b":1}`, func(p part) part { return p.Move("a", "b") }},
		"move into itself":               {`{"a":{"b":1}}`, `{"a":{"c":{"b":1}}}`, func(p part) part { return p.Move("a", "a.c") }},
		"move up":                        {`{"a":{"a":1}}`, `{"a":1}`, func(p part) part { return p.Move("a.a", "a") }},
		"move an element":                {`{"l":[{"x":1},{"x":2},3]}`, `{"l":[{"x":1},3],"second":{"x":2}}`, func(p part) part { return p.Move("l.1", "second") }},
		"move out of an element":         {`{"l":[{"x":1},{"x":2}]}`, `{"l":[{"x":1},{}],"y":2}`, func(p part) part { return p.Move("l.1.x", "y") }},
		"move what is not there":         {`{"l":[{"x":1}] }`, `{"l":[{"x":1}] }`, func(p part) part { return p.Move("l.x", "y").Move("a.b", "c").Move("l.7", "d") }},
		"move through what is no object": {`{"a":1,"b":[]}`, ``, func(p part) part { return p.Move("a", "b.c") }},
		"flatten":                        {`{"a":1,"b":{"x":2,"a":3,"b":4},"c":5}`, `{"a":1,"x":2,"b":4,"c":5}`, func(p part) part { return p.Flatten("b") }},
		"flatten in elements":            {`[{"b":{"x":1}},{"b":2},{}]`, `[{"x":1},{"b":2},{}]`, func(p part) part { return p.Flatten("b") }},
		"one after the other":            {user, `[{"town":"London"}]`, func(p part) part { return p.Pick("address").Allow("city").Rename("city", "town").Collect() }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, status := shaped(t, test.doc, test.shape)
			if test.want == "" {
				assert.Equal(t, 502, status)
				return
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// An allow list that lets pass what is not of the form it was written for is none.
func TestAllowLeavesOutWhatIsNotWhereThePathLeads(t *testing.T) {
	allow := func(p compose.Part) compose.Part { return p.Allow("user.id", "n") }
	for doc, want := range map[string]string{
		`{"user":"Ada, born 1815","n":1}`:            `{"n":1}`,
		`{"user":["Ada",{"id":1,"born":1815},1815]}`: `{"user":[{"id":1}]}`,
		`{"user":null}`:                       `{"user":null}`,
		`["Ada",{"user":{"born":1815}},true]`: `[{"user":{}}]`,
		`null`:                                `null`,
		`{"\u0075ser":{"i\u0064":1,"born":1815}}`: `{"\u0075ser":{"i\u0064":1}}`,
	} {
		got, _ := shaped(t, doc, allow)
		assert.Equal(t, want, got, doc)
	}
	for _, doc := range []string{`"Ada, born 1815"`, `1815`, `true`} {
		_, status := shaped(t, doc, allow)
		assert.Equal(t, 502, status, doc)
	}
}

func TestWhatAShapeDoesNotTouchStaysByteForByte(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		x, y, z := randomJSON(r, 4), randomJSON(r, 4), randomJSON(r, 4)
		doc := `{"x":` + x + `,"in":{"y":` + y + `,"gone":1},"z\/\u007a":` + z + `,"list":[` + x + `,` + y + `]}`
		for _, test := range []struct {
			shape func(compose.Part) compose.Part
			want  string
		}{
			{func(p compose.Part) compose.Part { return p.Pick("in.y") }, y},
			{func(p compose.Part) compose.Part { return p.Pick("list.1") }, y},
			{func(p compose.Part) compose.Part { return p.Allow("x", "in.y") }, `{"x":` + x + `,"in":{"y":` + y + `}}`},
			{func(p compose.Part) compose.Part { return p.Deny("in.gone", "list") }, `{"x":` + x + `,"in":{"y":` + y + `},"z\/\u007a":` + z + `}`},
			{
				func(p compose.Part) compose.Part { return p.Rename("in.gone", "here").Deny("x") },
				`{"in":{"y":` + y + `,"here":1},"z\/\u007a":` + z + `,"list":[` + x + `,` + y + `]}`,
			},
			{
				func(p compose.Part) compose.Part { return p.Move("in.y", "new.y").Move("list.0", "x") },
				`{"x":` + x + `,"in":{"gone":1},"z\/\u007a":` + z + `,"list":[` + y + `],"new":{"y":` + y + `}}`,
			},
			{
				func(p compose.Part) compose.Part { return p.Flatten("in") },
				`{"x":` + x + `,"y":` + y + `,"gone":1,"z\/\u007a":` + z + `,"list":[` + x + `,` + y + `]}`,
			},
			{func(p compose.Part) compose.Part { return p.Wrap("w").Collect() }, `[{"w":` + doc + `}]`},
		} {
			got, _ := shaped(t, doc, test.shape)
			require.Equal(t, test.want, got)
			require.Equal(t, tokens(t, test.want), tokens(t, got))
		}
	}
}

func TestBuildRefusesPathsWithEmptySteps(t *testing.T) {
	p := compose.Get("a", answering(200, `{}`), "/")
	for _, bad := range []compose.Part{
		p.Pick(""), p.Pick("a..b"), p.Allow("a."), p.Deny(".a"), p.Rename("", "x"), p.Rename("a", ""), p.Move("a", ""), p.Move("", "a"), p.Flatten("."), p.At("a."),
		p.Each("x.").Hide(), p.Each(""), p.Each("a..b"),
	} {
		_, err := compose.Build(compose.Config{Parts: []compose.Part{bad, compose.Get("x", answering(200, `[]`), "/")}})
		assert.Error(t, err)
	}
}

func TestMethodsReturnCopies(t *testing.T) {
	p := compose.Get("a", answering(200, `{"x":1,"y":{"z":2}}`), "/").Rename("x", "first")
	one, other := p.Pick("y"), p.Deny("y")
	got, _ := shaped(t, "", func(compose.Part) compose.Part { return one })
	assert.Equal(t, `{"z":2}`, got)
	got, _ = shaped(t, "", func(compose.Part) compose.Part { return other })
	assert.Equal(t, `{"first":1}`, got)
}
