package compose_test

import (
	"fmt"
	"time"

	"github.com/gatewright/gateway/compose"
)

// home is the aggregate of the package comment.
func home() *compose.Aggregator {
	users, orders, offers := service(`{"segment":"gold"}`), service(`[]`), service(`[]`)
	return compose.New(
		compose.Get("profile", users, "/v1/users/{id}"),
		compose.Get("orders", orders, "/v1/orders?user={id}").Timeout(300*time.Millisecond).Default(`[]`),
		compose.Get("offers", offers, "/v1/offers?segment={profile.segment}").Optional(),
	)
}

func ExampleAggregator_Explain() {
	fmt.Print(home().Explain())
	// Output:
	// at once:
	//   profile: GET /v1/users/{id}
	//     required
	//   orders: GET /v1/orders?user={id}
	//     default []
	//     timeout 300ms
	// then, each as soon as what it waits for is there:
	//   offers: GET /v1/offers?segment={profile.segment}
	//     optional
	//     waits for profile because of {profile.segment}
	// answer: an object
}

func ExampleAggregator_Mermaid() {
	fmt.Print(home().Mermaid())
	// Output:
	// flowchart LR
	//   request([request])
	//   p0["profile<br/>GET /v1/users/{id}"]
	//   p1["orders<br/>GET /v1/orders?user={id}"]
	//   p2["offers<br/>GET /v1/offers?segment={profile.segment}"]
	//   answer([answer])
	//   request --> p0
	//   p0 --> answer
	//   request --> p1
	//   p1 -.-> answer
	//   p0 -->|"{profile.segment}"| p2
	//   p2 -.-> answer
}
