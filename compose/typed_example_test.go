package compose_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/compose"
)

// Order is what a client asks for.
type Order struct {
	ID   string `json:"id"` // chosen by the client, so that asking twice is ordering once
	User string `json:"user"`
	SKU  string `json:"sku"`
}

// What the services answer, as far as anybody looks at it.
type (
	User    struct{ Card string }
	Price   struct{ Cents int64 }
	Payment struct{ ID string }
)

// Receipt is what the client gets.
type Receipt struct {
	Order   string `json:"order"`
	Cents   int64  `json:"cents"`
	Payment string `json:"payment"`
}

// checkout is the services; each is a balancer.Pool in earnest.
type checkout struct{ users, stock, prices, payments http.RoundTripper }

// place finds the user, then reserves stock and asks for the price at once, then has it
// paid. If anything fails after the reservation was begun, it is cancelled.
func (s *checkout) place(r *http.Request, o Order) (receipt Receipt, err error) {
	ctx := r.Context()
	var undo compose.Undo
	defer undo.OnError(ctx, &err)

	user, err := compose.Fetch[User](ctx, s.users, "/v1/users/{id}", o.User)
	if err != nil {
		return receipt, err
	}
	undo.Add("reservation", func(ctx context.Context) error { return s.cancel(ctx, o) })
	_, price, err := compose.Both(ctx,
		func(ctx context.Context) (compose.None, error) { return s.reserve(ctx, o) },
		func(ctx context.Context) (Price, error) {
			return compose.Fetch[Price](ctx, s.prices, "/v1/prices?sku={sku}", o.SKU)
		},
	)
	if err != nil {
		return receipt, err
	}
	payment, err := compose.Do[Payment](ctx, s.payments, compose.Request{
		Path:   "/v1/payments",
		Body:   map[string]any{"card": user.Card, "cents": price.Cents},
		Header: http.Header{"Idempotency-Key": {o.ID}},
	})
	if declined, ok := errors.AsType[*compose.StatusError](err); ok && declined.Status == http.StatusPaymentRequired {
		return receipt, &gateway.Problem{Status: http.StatusPaymentRequired, Detail: "the card was declined", Err: err}
	}
	return Receipt{o.ID, price.Cents, payment.ID}, err
}

func (s *checkout) reserve(ctx context.Context, o Order) (compose.None, error) {
	return compose.Do[compose.None](ctx, s.stock, compose.Request{
		Method: "PUT", Path: "/v1/reservations/{order}", Values: []any{o.ID}, Body: map[string]string{"sku": o.SKU},
	})
}

func (s *checkout) cancel(ctx context.Context, o Order) error {
	_, err := compose.Do[compose.None](ctx, s.stock, compose.Request{
		Method: "DELETE", Path: "/v1/reservations/{order}", Values: []any{o.ID},
	})
	return err
}

// demoCheckout is one whose services print what they are asked to do, in this process.
func demoCheckout() *checkout {
	said := func(r *http.Request) { fmt.Println(" ", r.Method, r.URL.RequestURI()) }
	return &checkout{
		users: gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"card":"card of %s"}`, strings.TrimPrefix(r.URL.Path, "/v1/users/"))
		})),
		stock: gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said(r)
			w.WriteHeader(http.StatusNoContent)
		})),
		prices: service(`{"cents":795}`),
		payments: gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said(r)
			if r.Header.Get("Idempotency-Key") == "o-2" {
				w.WriteHeader(http.StatusPaymentRequired)
				return
			}
			fmt.Fprint(w, `{"id":"p-1"}`)
		})),
	}
}

func ExampleHandler() {
	gw := gateway.New()
	gw.Handle("POST /orders", compose.Handler(demoCheckout().place).Strict().Status(http.StatusCreated))

	for _, order := range []string{
		`{"id":"o-1","user":"ada","sku":"tea"}`,
		`{"id":"o-2","user":"bob","sku":"tea"}`,
		`{"id":"o-3","user":"../admin","sku":"tea"}`,
		`{"id":"o-4","user":"ada","sku":7}`,
	} {
		r := httptest.NewRequest("POST", "/orders", strings.NewReader(order))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		gw.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	//   PUT /v1/reservations/o-1
	//   POST /v1/payments
	// 201 {"order":"o-1","cents":795,"payment":"p-1"}
	//   PUT /v1/reservations/o-2
	//   POST /v1/payments
	//   DELETE /v1/reservations/o-2
	// 402 {"type":"about:blank","title":"Payment Required","status":402,"detail":"the card was declined"}
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"a value cannot stand in a path"}
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"the member \"sku\" cannot be of the kind number"}
}

func ExampleFetch() {
	users := service(`{"card":"4711"}`)
	user, err := compose.Fetch[User](context.Background(), users, "/v1/users/{id}", 7)
	fmt.Println(user.Card, err)
	// Output: 4711 <nil>
}

func ExampleDo() {
	stock := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.RequestURI())
		w.WriteHeader(http.StatusConflict)
	}))
	_, err := compose.Do[compose.None](context.Background(), stock, compose.Request{
		Method: "PUT", Path: "/v1/reservations/{order}", Values: []any{"a/b"}, Body: Order{SKU: "tea"},
	})
	taken, ok := errors.AsType[*compose.StatusError](err)
	fmt.Println(ok, taken.Status)
	// Output:
	// PUT /v1/reservations/a%2Fb
	// true 409
}

func ExampleBoth() {
	names, ages := service(`"Ada"`), service(`36`)
	name, age, err := compose.Both(context.Background(),
		func(ctx context.Context) (string, error) { return compose.Fetch[string](ctx, names, "/") },
		func(ctx context.Context) (int, error) { return compose.Fetch[int](ctx, ages, "/") },
	)
	fmt.Println(name, age, err)
	// Output: Ada 36 <nil>
}

func ExampleAll() {
	names, ages, towns := service(`"Ada"`), service(`36`), service(`"London"`)
	var name, town string
	var age int
	err := compose.All(context.Background(),
		func(ctx context.Context) (err error) { name, err = compose.Fetch[string](ctx, names, "/"); return err },
		func(ctx context.Context) (err error) { age, err = compose.Fetch[int](ctx, ages, "/"); return err },
		func(ctx context.Context) (err error) { town, err = compose.Fetch[string](ctx, towns, "/"); return err },
	)
	fmt.Println(name, age, town, err)
	// Output: Ada 36 London <nil>
}

func ExampleEach() {
	prices := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.URL.Query().Get("sku")))
	}))
	cents, err := compose.Each(context.Background(), []string{"tea", "milk", "honey"}, func(ctx context.Context, sku string) (int, error) {
		return compose.Fetch[int](ctx, prices, "/v1/prices?sku={sku}", sku)
	})
	fmt.Println(cents, err)
	// Output: [3 4 5] <nil>
}
