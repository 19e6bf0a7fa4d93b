package main

// scenario is a way to answer a request, and what is compared with it. To add one,
// add it to the table, and its role beside the others.
type scenario struct {
	name    string
	serve   server       // in a process of its own
	path    string       // what is asked for
	tokens  bool         // clients send one
	body    int          // bytes of each answer's body
	header  string       // how a header line of each answer begins; empty: no matter
	against []comparison // the ratios that are reported
}

// comparison names the ratios of a scenario to another one: <name>_cpu_ratio and
// <name>_rps_ratio in the JSON object.
type comparison struct{ name, to string }

const (
	path       = "/v1/orders/42"
	cachedPath = "/cached/offers"
)

var scenarios = []scenario{
	{name: "reverseproxy", serve: overHTTP(reverseProxy), path: path, body: documentSize},
	{name: "reverseproxy-poolless", serve: overHTTP(poollessReverseProxy), path: path, body: documentSize},
	{name: "gatewright-plain", serve: overHTTP(plain), path: path, body: documentSize,
		against: []comparison{{"plain", "reverseproxy"}, {"plain_to_poolless", "reverseproxy-poolless"}}},
	{name: "floor", serve: overHTTP(floor), path: path, body: documentSize,
		against: []comparison{{"floor", "reverseproxy"}}},
	{name: "fasthttp", serve: fasthttpProxy, path: path, body: documentSize,
		against: []comparison{{"fasthttp", "reverseproxy"}}},
	{name: "handwired", serve: overHTTP(handwired), path: path, tokens: true, body: documentSize,
		against: []comparison{{"handwired", "reverseproxy"}}},
	{name: "gatewright-full", serve: overHTTP(full), path: path, tokens: true, body: documentSize,
		against: []comparison{{"full", "reverseproxy"}, {"full_to_handwired", "handwired"}}},
	{name: "gatewright-aggregate4", serve: overHTTP(aggregate4), path: "/home", body: aggregateSize,
		against: []comparison{{"aggregate4", "reverseproxy"}}},
	{name: "empty", serve: overHTTP(empty), path: path, body: documentSize},
	{name: "gatewright-cache", serve: overHTTP(cached), path: cachedPath, body: documentSize,
		header:  "Cache-Status: gateway; hit",
		against: []comparison{{"cache_hit", "empty"}}},
}

func names(scenarios []scenario) []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}
