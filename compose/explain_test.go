package compose_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everything is an aggregate with all that a plan can say.
func everything() *compose.Aggregator {
	b := answering(200, `1`)
	return compose.Must(compose.Config{
		Parts: []compose.Part{
			compose.Get("offers", b, "/v1/offers?segment={profile.segment}&n={profile.segment}&c={cart.total}").Optional().Timeout(300 * time.Millisecond),
			compose.Get("profile", b, "/v1/users/{sub}").Stale(5 * time.Minute).Default(`{"segment":"new"}`).At("user.profile"),
			compose.Get("cart", b, "/v1/carts/{sub}").Stale(time.Minute).Header("X-Api-Key", "secret-42"),
			compose.Get("products", b, "/v1/products?id={each.id}").Each("cart.items").Batch(50, "id").Join("product").Default(`null`),
			compose.Get("stock", b, "/v1/stock/{each.id}").Each("products").Optional().SkipMissing(),
			compose.Post("prices", b, "/v1/prices", `{"items":{cart},"for":"{profile.id}"}`).Hide().Pick("data").Wrap("x"),
			compose.Call(http.MethodPut, "seen", b, "/v1/seen/{prices.id}").Spread(compose.Deep).Optional().Default(`{"x":"` + strings.Repeat("x", 44) + `"}`),
			compose.Get("more", b, "/v1/more").Spread(compose.First).At("user"),
		},
		Timeout: 2 * time.Second, PartialStatus: 203, Errors: "errors", Headers: []string{"Set-Cookie", "Link"}, ServerTiming: true, Progressive: true,
	})
}

func TestExplainTellsThePlanAndEveryPolicy(t *testing.T) {
	const want = `at once:
  profile: GET /v1/users/{sub}
    stale up to 5m0s, else default {"segment":"new"}
    at user.profile
  cart: GET /v1/carts/{sub}
    stale up to 1m0s, else required
    sends X-Api-Key
  more: GET /v1/more
    required
    spread at user, on collision first
then, each as soon as what it waits for is there:
  offers: GET /v1/offers?segment={profile.segment}&n={profile.segment}&c={cart.total}
    optional
    waits for profile because of {profile.segment}
    waits for cart because of {cart.total}
    timeout 300ms
  products: GET /v1/products?id={each.id}
    required
    waits for cart because of {cart.items}
    a call for up to 50 elements of {cart.items}, told apart by id; default of an element null
    joined to the elements of cart as product
  prices: POST /v1/prices
    required
    waits for cart because of {cart}
    waits for profile because of {profile.id}
    sends a body
    changes made to its answer: 2
    hidden
then, each as soon as what it waits for is there:
  stock: GET /v1/stock/{each.id}
    optional
    waits for products because of {products}
    a call for each element of {products}; null for an element that fails
    skipped if a value is missing
  seen: PUT /v1/seen/{prices.id}
    default (52 bytes)
    waits for prices because of {prices.id}
    spread, on collision deep
answer: an object, timeout 2s, status 203 if a part has failed, failures under errors, passes on Set-Cookie, Link, with Server-Timing, or progressive
`
	for range 10 {
		assert.Equal(t, want, everything().Explain())
	}
}

func TestMermaidDrawsThePlan(t *testing.T) {
	const want = `flowchart LR
  request([request])
  p0["offers<br/>GET /v1/offers?segment={profile.segment}#38;n={profile.segment}#38;c={cart.total}"]
  p1["profile<br/>GET /v1/users/{sub}"]
  p2["cart<br/>GET /v1/carts/{sub}"]
  p3["products<br/>GET /v1/products?id={each.id}"]
  p4["stock<br/>GET /v1/stock/{each.id}"]
  p5["prices<br/>POST /v1/prices"]
  p6["seen<br/>PUT /v1/seen/{prices.id}"]
  p7["more<br/>GET /v1/more"]
  answer([answer])
  p1 -->|"{profile.segment}"| p0
  p2 -->|"{cart.total}"| p0
  p0 -.-> answer
  request --> p1
  p1 -.->|"at user.profile"| answer
  request --> p2
  p2 --> answer
  p2 -->|"{cart.items}"| p3
  p3 -->|"joined to the elements of cart as product"| answer
  p3 -->|"{products}"| p4
  p4 -.-> answer
  p2 -->|"{cart}"| p5
  p1 -->|"{profile.id}"| p5
  p5 -->|"{prices.id}"| p6
  p6 -.->|"spread, on collision deep"| answer
  request --> p7
  p7 -->|"spread at user, on collision first"| answer
`
	for range 10 {
		assert.Equal(t, want, everything().Mermaid())
	}
}

func TestAPlanTellsNoSecretAndNoUpstream(t *testing.T) {
	for _, text := range []string{everything().Explain(), everything().Mermaid()} {
		assert.NotContains(t, text, "secret-42")
	}
}

// drawn are the lines that a picture may have: of what parts are named, nothing is left
// that means something to Mermaid.
var drawn = regexp.MustCompile(`^(flowchart LR|  (request|answer)\(\[\w+\]\)|  p\d+\["(?:[^"#&<>%$` + "`" + `*\\:]|#\d+;|<br/>)*"\]|  (request|p\d+) -\.?->(\|"(?:[^"#&<>%$` + "`" + `*\\:]|#\d+;)+"\|)? (p\d+|answer))$`)

func TestNamesCannotBreakOutOfThePicture(t *testing.T) {
	b := answering(200, `1`)
	for _, name := range []string{
		`a"]; click p0 "javascript:alert(1)"`, "a\n  end\n  b", "%%{init: {}}%%", "#quot;", "<script>", "`**x**`", "$$x$$", "end", `\`, "\u202e", "- x", "ü",
	} {
		a := compose.New(
			compose.Get(name, b, "/a%20b?x={claim:\"]\n}"),
			compose.Get("items", b, "/{each.id}").Each(name+".items").Join(name),
		)
		text := a.Mermaid()
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		assert.Len(t, lines, 9, text)
		for _, line := range lines {
			assert.Regexp(t, drawn, line)
		}
		require.Contains(t, text, "p0", text)
		assert.Equal(t, strings.Count(a.Explain(), "\n"), strings.Count(compose.New(
			compose.Get("plain", b, "/a%20b?x={claim:x}"),
			compose.Get("items", b, "/{each.id}").Each("plain.items").Join("plain"),
		).Explain(), "\n"), "no name ends a line")
	}
}
