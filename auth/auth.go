// Package auth says who a request speaks for: it verifies credentials at the edge,
// keeps them there, and lets the rest of the gateway ask for the [Principal].
//
//	package main
//
//	import (
//		"context"
//		"crypto/x509"
//		"encoding/pem"
//		"log"
//		"os"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/balancer"
//	)
//
//	func main() {
//		data, err := os.ReadFile("issuer.pem")
//		if err != nil {
//			log.Fatal(err)
//		}
//		block, _ := pem.Decode(data)
//		if block == nil {
//			log.Fatal("issuer.pem holds no PEM block")
//		}
//		key, err := x509.ParsePKIXPublicKey(block.Bytes)
//		if err != nil {
//			log.Fatal(err)
//		}
//
//		gw := gateway.New()
//		app := gw.Group("/app", auth.Require(
//			auth.JWT{Issuer: "https://id.shop.test", Audience: "app", Key: key},
//			auth.APIKey{Keys: map[string]*auth.Principal{
//				os.Getenv("REPORTS_KEY_HASH"): {Subject: "reports"}, // by auth.HashKey
//			}},
//		))
//		app.Handle("GET /orders/", gateway.Proxy(balancer.To("http://orders:8080")))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
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
// What is wrong is answered with a generic [gateway.Problem]; the reason is in its
// Err, for the log. Neither ever holds a token, a key or a part of one.
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
