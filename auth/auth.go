// Package auth says who a request speaks for and what that allows: it verifies
// credentials at the edge, keeps them there, lets the rest of the gateway ask for the
// [Principal], and gives backends credentials of their own.
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"os"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/balancer"
//	)
//
//	func main() {
//		orders := &auth.ClaimHeaders{Base: balancer.To("http://orders:8080"), Headers: map[string]string{"X-User": "sub"}}
//
//		gw := gateway.New()
//		app := gw.Group("/app", auth.Require(
//			auth.JWT{Issuer: "https://id.shop.test", Audience: "app"}, // its keys are found by discovery
//			auth.APIKey{Keys: map[string]*auth.Principal{
//				os.Getenv("REPORTS_KEY_HASH"): {Subject: "reports", Scopes: []string{"orders:read"}}, // by auth.HashKey
//			}},
//		))
//		app.Handle("GET /orders/", gateway.Proxy(orders), auth.Allow(auth.Scope("orders:read")))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// # Who it is
//
// Each authenticator looks for credentials of its own kind, and the first that
// finds some decides:
//
//	                nothing of my kind            nothing of my kind
//	request ──► JWT ───────────────────► APIKey ───────────────────► 401
//	             │                         │
//	             ├─ right ──► handler      ├─ right ──► handler
//	             └─ wrong ──► 401          └─ wrong ──► 401
//
// There are [JWT], [Introspection], [APIKey], [Certificate], [Basic], [Signature] (which
// HMAC is one kind of) and [ForwardAuth]; package oidc logs browsers in; a function of
// your own is an [AuthenticatorFunc], and [Map] adds to what another has found. What is wrong is answered with a generic
// [gateway.Problem]; the reason is in its Err, for the log. Neither ever holds a token, a
// key or a part of one.
//
// # What it may
//
// [Allow] puts rules to the request and its principal: [Scope], [Role], [Claim], [If] with
// the predicates that routes are chosen by, [Check] with a function, joined by [All], [Any]
// and [Not]; package celrule has them as expressions. [Rule.Holds] chooses by them between
// handlers, for limits by plan among other things.
//
// # What the backend gets
//
// Transports stand between the gateway and an upstream: [ClientCredentials],
// [TokenExchange], [Relay], [Static], [Password] and [Signer] bring credentials,
// [ClaimHeaders] and [Issuer] say who the request speaks for.
package auth

import "net/http"

// Authenticator finds out who a request speaks for. It returns nil, nil if the
// request has no credentials of its kind, and an error if it has but they do not
// hold: a [gateway.Problem] says how to answer, anything else is answered with
// 500, as an authenticator that cannot tell must let nobody in. It must not change
// the request, and may be called concurrently. The Principal may be that of other
// requests as well: who gets it must not change it.
type Authenticator interface {
	Authenticate(r *http.Request) (*Principal, error)
}

// AuthenticatorFunc is a function that is an [Authenticator].
type AuthenticatorFunc func(r *http.Request) (*Principal, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (*Principal, error) { return f(r) }

// Challenger is what an [Authenticator] may be as well. Challenge returns what a
// client without credentials is told in WWW-Authenticate (RFC 9110 section
// 11.6.1). One that is no Challenger is announced as Bearer realm="gateway".
type Challenger interface {
	Challenge() string
}
