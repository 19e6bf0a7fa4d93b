package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tokens is a text as encoding/json reads it, numbers literally.
func tokens(t testing.TB, text string) (list []json.Token) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return list
		}
		require.NoError(t, err, text)
		list = append(list, token)
	}
}

// randomJSON is a text that shows what gets lost where it is decoded: integers of 64 bits,
// numbers that no float holds, the order of members, escapes, white space.
func randomJSON(r *rand.Rand, depth int) string {
	if depth > 0 {
		switch r.IntN(3) {
		case 0:
			var members []string
			for _, i := range r.Perm(r.IntN(6)) {
				names := []string{`"k%d"`, `"\u006b\/%d"`, "\"\u00e9\u2028%d\"", `"\"%d\\"`, `"<&>%d"`, "\"\x7f%d\""}
				members = append(members, fmt.Sprintf(names[r.IntN(len(names))], i)+" :\t"+randomJSON(r, depth-1))
			}
			return "{ " + strings.Join(members, " ,\n") + "}"
		case 1:
			var elements []string
			for range r.IntN(6) {
				elements = append(elements, randomJSON(r, depth-1))
			}
			return "[" + strings.Join(elements, ", ") + " ]"
		}
	}
	scalars := []string{
		"9007199254740993", "-9223372036854775808", "18446744073709551616", "1.0", "1e400", "-0.00", "1E+2",
		`"\u00e9\/\\\""`, `"\ud83d\ude00"`, "\"\U0001f600\u2028\"", `"\u0000"`, `"<script>&"`, `""`, "true", "false", "null", strconv.Itoa(r.Int()),
	}
	return scalars[r.IntN(len(scalars))]
}

func TestWhatABackendSentIsInTheAnswerByteForByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		a, b, c := randomJSON(r, 5), randomJSON(r, 4), randomJSON(r, 4)
		object := `{"first":` + c + `, "second" :` + b + `}`
		from := func(s string) compose.Part { return compose.Get("x", answering(200, s), "/") }
		named := func(name, s string) compose.Part { return compose.Get(name, answering(200, s), "/") }

		want := `{"x":` + a + `,"y":` + b + `}`
		w := get(t, compose.New(from(" "+a+"\n"), named("y", b)), "/", nil)
		require.Equal(t, want, w.Body.String())
		require.Equal(t, tokens(t, want), tokens(t, w.Body.String()))

		for _, on := range []compose.Collision{compose.Refuse, compose.First, compose.Last, compose.Deep, compose.Append} {
			w = get(t, compose.New(from(a).At("p.q"), named("y", object).Spread(on), named("z", b).At("p.z")), "/", nil)
			require.Equal(t, `{"p":{"q":`+a+`,"z":`+b+`},"first":`+c+`,"second":`+b+`}`, w.Body.String(), on)
		}

		w = get(t, compose.Must(compose.Config{Array: true, Parts: []compose.Part{from(a), named("y", "[ "+b+" , "+c+"]").Spread(compose.Append)}}), "/", nil)
		require.Equal(t, "["+a+","+b+","+c+"]", w.Body.String())
	}
}

func TestNamesOfObjectsThatAreTakenToPiecesStayAsTheyAreWritten(t *testing.T) {
	const object = `{"\u0061\/":1,"<&>":2,"` + "\x7f" + `":3}`
	w := get(t, compose.New(
		compose.Get("a", answering(200, object), "/").Spread(compose.First),
		compose.Get("b", answering(200, `{"a/":9,"n":{"\u006e":1}}`), "/").Spread(compose.Deep).At("deep"),
		compose.Get("c", answering(200, `{"n":{"x":2}}`), "/").Spread(compose.Deep).At("deep"),
	), "/", nil)
	assert.Equal(t, strings.TrimSuffix(object, "}")+`,"deep":{"a/":9,"n":{"\u006e":1,"x":2}}}`, w.Body.String())
}

// lura#391, lura#367: the slowest backend won.
func TestWhereNamesClashTheDeclaredRuleDecidesAndNotTheSlowest(t *testing.T) {
	const a, b = `{"k":1,"o":{"x":1},"l":[1],"\u006d":"a"}`, `{"k":2,"o":{"x":2,"y":2},"l":[2],"m":"b"}`
	tests := map[compose.Collision]struct {
		want string
		code int
	}{
		compose.First:  {`{"k":1,"o":{"x":1},"l":[1],"\u006d":"a"}`, 200},
		compose.Last:   {`{"k":2,"o":{"x":2,"y":2},"l":[2],"\u006d":"b"}`, 200},
		compose.Deep:   {`{"k":2,"o":{"x":2,"y":2},"l":[2],"\u006d":"b"}`, 200},
		compose.Append: {`{"k":2,"o":{"x":2,"y":2},"l":[1,2],"\u006d":"b"}`, 200},
		compose.Refuse: {`{"k":1,"o":{"x":1},"l":[1],"\u006d":"a"}`, 502},
	}
	for on, test := range tests {
		for _, slow := range []string{"/a", "/b"} {
			synctest.Test(t, func(t *testing.T) {
				backend := &backend{answers: map[string]string{"/a": a, "/b": b}, delay: map[string]time.Duration{slow: time.Second}}
				first := compose.Get("a", backend, "/a").Spread(on)
				second := compose.Get("b", backend, "/b").Spread(on)
				w := get(t, compose.New(first, second.Optional()), "/", nil)
				assert.Equal(t, test.want, w.Body.String(), "%s, %s is slow", on, slow)
				assert.Equal(t, test.code, get(t, compose.New(first, second), "/", nil).Code)
			})
		}
	}
}

func TestPlacesThatClashAreFaultsOfBuildAllAtOnce(t *testing.T) {
	from := answering(200, `{}`)
	part := func(name, place string) compose.Part { return compose.Get(name, from, "/").At(place) }
	_, err := compose.Build(compose.Config{Parts: []compose.Part{
		part("a", "x"), part("b", "x"), part("c", "y.z"), part("d", "y"), part("e", "y.z.w"), compose.Get("f", from, "/").At("g"),
		compose.Get("g", from, "/"), part("h", "p..q"), part("fine", "y2.z"), part("fine2", "y2.zz").Hide(), part("fine3", "x").Spread(compose.Last),
		compose.Get("list", from, "/").Hide(), compose.Get("lost", from, "/?x={each}").Each("list").Join("x"),
		compose.Get("w1", from, "/?x={w2.x}"), compose.Get("w2", from, "/?x={w3.x}"), compose.Get("w3", from, "/?x={w2.x}"),
		compose.Get("self", from, "/{self.x}"),
	}})
	require.Error(t, err)
	for _, fault := range []string{
		`part "b": it has the place of part "a"`, `part "d": it has the place of part "c"`, `part "e": it has the place of part "c"`,
		`part "e": it has the place of part "d"`, `part "g": it has the place of part "f"`, `part "h": the place "p..q"`,
		`part "lost": it is joined to part "list", which has no place`,
		`part "w2": it waits for itself: "w2" for "w3" for "w2"`, `part "self": it waits for itself`,
	} {
		assert.ErrorContains(t, err, fault)
	}
	assert.NotContains(t, err.Error(), "fine")
	assert.NotContains(t, err.Error(), `part "w1"`, "it waits for others that wait for each other")
}

func TestADefaultIsSplicedLikeAnAnswer(t *testing.T) {
	w := get(t, compose.New(
		compose.Get("a", answering(500, ``), "/").Default(" {\"list\" : [ 1.0 , 2 ]}\n"),
		compose.Get("b", answering(500, ``), "/").Default("\t{\"m\":1}").Spread(compose.First),
		compose.Get("c", answering(200, `"c"`), "/?id={each}").Each("a.list"),
	), "/", nil)
	assert.Equal(t, `{"a":{"list" : [ 1.0 , 2 ]},"m":1,"c":["c","c"]}`, w.Body.String())
}

func TestAPlaceWithinWhatIsNoObjectIsAFailureOfThePart(t *testing.T) {
	a := compose.Get("a", answering(200, `[1]`), "/").Spread(compose.First).At("x")
	b := compose.Get("b", answering(200, `2`), "/").At("x.b")
	c := compose.Get("c", answering(200, `{"x":5}`), "/").Spread(compose.First)
	assert.Equal(t, 502, get(t, compose.New(a), "/", nil).Code, "an array cannot be spread into an object")
	assert.Equal(t, `{"x":{"b":2}}`, get(t, compose.New(a.Optional(), b), "/", nil).Body.String())
	assert.Equal(t, 502, get(t, compose.New(c, b), "/", nil).Code)
	assert.Equal(t, `{"x":5}`, get(t, compose.New(c, b.Optional()), "/", nil).Body.String())
	assert.Equal(t, 502, get(t, compose.New(c, a.Optional(), compose.Get("o", answering(200, `{}`), "/").At("x").Spread(compose.Deep)), "/", nil).Code)
}

// hostileObject has n members with names of the attacker's choice.
func hostileObject(n int, value string) string {
	b := bytes.NewBufferString("{")
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `"%x":%s`, i, value)
	}
	return b.String() + "}"
}

// hostileNest is 1 MiB, most of it at the bottom of as many levels as there may be.
func hostileNest(levels int, before, after, bottom string) string {
	room := 1<<20 - levels*(len(before)+len(after)) - 16
	return strings.Repeat(before, levels) + "[" + strings.TrimSuffix(strings.Repeat(bottom+",", room/(len(bottom)+1)), ",") + "]" + strings.Repeat(after, levels)
}

func TestAHostileBackendDoesNotTakeTheProcessorForLong(t *testing.T) {
	wide := hostileObject(100_000, "1")
	deep := hostileNest(500, `{"a":`, "}", "1")
	arrays := hostileNest(500, "[", "]", "1")
	both := hostileNest(250, `[{"a":`, "}]", "{}")
	require.LessOrEqual(t, len(wide), 1<<20)
	from := func(name, s string) compose.Part { return compose.Get(name, answering(200, s), "/") }
	decoding := best(0, func() {
		var v [2]any
		require.NoError(t, json.Unmarshal([]byte(arrays), &v[0]))
		require.NoError(t, json.Unmarshal([]byte(wide), &v[1]))
	})
	tests := map[string][]compose.Part{
		"deep spread of many members": {from("a", wide).Spread(compose.Deep), from("b", wide).Spread(compose.Deep)},
		"spread of many members":      {from("a", wide).Spread(compose.Last), from("b", wide).Spread(compose.Append)},
		"deep spread of many levels":  {from("a", deep).Spread(compose.Deep), from("b", deep).Spread(compose.Deep)},
		"flatten of many members":     {from("a", `{"x":`+hostileObject(99_000, "1")+`}`).Flatten("x")},
		"rename among many members":   {from("a", wide).Rename("ff", "other")},
		"rename through many arrays":  {from("a", arrays).Rename("a", "b")},
		"rename through many levels":  {from("a", both).Rename("a.a.a.a.a.a.a.a", "b")},
		"allow through many arrays":   {from("a", arrays).Allow("a.b")},
		"deny through many arrays":    {from("a", arrays).Deny("a.b")},
		"deny through many levels":    {from("a", both).Deny("a.a.a.a.a.a.a.a.a.a.a.b")},
		"move among many members":     {from("a", wide).Move("ff", "x.y.z")},
		"join to many arrays":         {from("a", arrays), from("b", `1`).Each("a").Join("x")},
	}
	for name, parts := range tests {
		t.Run(name, func(t *testing.T) {
			a := compose.New(parts...)
			took := best(5*decoding, func() {
				w := get(t, a, "/", nil)
				assert.Equal(t, 200, w.Code, w.Body.String()[:min(200, w.Body.Len())])
			})
			// To compare with is a time on the same machine, with the same other work on it.
			assert.Less(t, took, 5*decoding, "what grows with the square of the levels takes ten times that of encoding/json and more")
		})
	}
}

// best is the least of the times that f takes, of three or until it is below enough.
func best(enough time.Duration, f func()) time.Duration {
	least := time.Duration(1<<63 - 1)
	for range 3 {
		start := time.Now()
		f()
		if least = min(least, time.Since(start)); least < enough {
			break
		}
	}
	return least
}
