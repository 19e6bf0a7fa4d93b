package compose_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
)

// showAs prints the answer of h to a client with this Accept field.
func showAs(h http.Handler, accept string) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Body)
}

func ExampleXML() {
	catalog := service(`<catalog><item sku="T1"><name>Green tea</name><price>7.90</price></item></catalog>`)
	showAs(compose.New(
		compose.Get("catalog", catalog, "/items").
			Decode(compose.XML{Arrays: []string{"item"}, Numbers: []string{"price"}}).
			Pick("catalog"),
	), "application/json")
	// Output: {"catalog":{"item":[{"@sku":"T1","name":"Green tea","price":7.90}]}}
}

func ExampleSOAP() {
	stock := service(`<?xml version="1.0"?>
		<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
			<m:StockReply xmlns:m="urn:stock"><m:Count>12</m:Count></m:StockReply>
		</s:Body></s:Envelope>`)
	showAs(compose.New(
		compose.Get("stock", stock, "/stock").Decode(compose.SOAP{Numbers: []string{"Count"}}).Pick("StockReply"),
	), "application/json")
	// Output: {"stock":{"Count":12}}
}

func ExampleRSS() {
	blog := service(`<rss version="2.0"><channel><title>Tea news</title>
		<item><title>First flush</title><link>https://shop.test/1</link><pubDate>Sat, 21 Nov 2026 09:00:00 +0100</pubDate></item>
		</channel></rss>`)
	showAs(compose.New(compose.Get("news", blog, "/feed").Decode(compose.RSS{})), "application/json")
	// Output: {"news":{"title":"Tea news","items":[{"title":"First flush","link":"https://shop.test/1","published":"2026-11-21T08:00:00Z"}]}}
}

func ExampleText() {
	motd := service("Closed on \"Sunday\"\n")
	showAs(compose.New(compose.Get("notice", motd, "/motd.txt").Decode(compose.Text{})), "application/json")
	// Output: {"notice":"Closed on \"Sunday\"\n"}
}

func ExampleGraphQL() {
	users := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s\n", body)
		fmt.Fprint(w, `{"data":{"user":{"name":"Ada"}}}`)
	}))
	gw := gateway.New()
	gw.Handle("GET /users/{id}", compose.New(
		compose.GraphQL("profile", users, "/graphql", `query($id: ID!) { user(id: $id) { name } }`, `{"id": "{id}"}`).Pick("user"),
	))
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, httptest.NewRequest("GET", `/users/7%22%7D`, nil))
	fmt.Println(w.Body)
	// Output:
	// {"query":"query($id: ID!) \u007b user(id: $id) \u007b name \u007d \u007d","variables":{"id": "7\"}"}}
	// {"profile":{"name":"Ada"}}
}

func ExampleGraphQLAnswer() {
	users := service(`{"data":{"name":"Ada","credit":null},"errors":[{"message":"billing is down"}]}`)
	showAs(compose.New(
		compose.GraphQL("user", users, "/graphql", `{ name credit }`, "").Decode(compose.GraphQLAnswer{Partial: true}),
	), "application/json")
	// Output: {"user":{"name":"Ada","credit":null}}
}

func ExamplePart_Header() {
	catalog := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, `["tea","milk"]`)
		if err := z.Close(); err != nil {
			panic(err)
		}
	}))
	showAs(compose.New(compose.Get("catalog", catalog, "/items").Header("Accept-Encoding", "gzip")), "application/json")
	// Output:
	// gzip
	// {"catalog":["tea","milk"]}
}

func ExampleConfig_xml() {
	orders := service(`[{"id":9007199254740993,"note":"<fragile>"},null]`)
	a := compose.Must(compose.Config{XML: "home", Parts: []compose.Part{compose.Get("orders", orders, "/orders")}})
	showAs(a, "application/json")
	showAs(a, "application/xml")
	// Output:
	// {"orders":[{"id":9007199254740993,"note":"<fragile>"},null]}
	// <?xml version="1.0" encoding="UTF-8"?><home><orders><item><id>9007199254740993</id><note>&lt;fragile&gt;</note></item><item null="true"/></orders></home>
}
