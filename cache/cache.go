// Package cache keeps responses and answers with them while HTTP allows it: a
// shared cache after RFC 9111, over a store of bytes of your choice.
//
// The same engine comes as a [Transport], in front of one upstream, and as a
// [Middleware], in front of a handler:
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"time"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/balancer"
//		"github.com/gatewright/gateway/cache"
//	)
//
//	func main() {
//		offers := &cache.Transport{
//			Base:         balancer.To("http://offers:8080"),
//			Store:        cache.Memory(64 << 20),
//			StaleIfError: time.Hour, // what we have is better than nothing
//		}
//		pages := &cache.Transport{Store: cache.Memory(64 << 20), Key: cache.Key{IgnoreQuery: []string{"utm_*"}}}
//
//		gw := gateway.New()
//		gw.Handle("/offers/", gateway.Proxy(offers))
//		gw.Handle("GET /pages/", gateway.Proxy(balancer.To("http://pages:8080")), pages.Wrap)
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// # What is stored
//
// A response to GET that says how long it is fresh (s-maxage, max-age, Expires, or a
// targeted field such as CDN-Cache-Control, RFC 9213); or one with a status that is
// cacheable by default (RFC 9110 section 15.1) that has a validator (ETag, Last-Modified)
// to ask the origin by. If it only says when it was modified, it is taken for fresh for a
// tenth of the time since then, a day at most. Only what arrived whole is stored; never
// a part of a response.
//
// Never stored is what may belong to one person: no-store, private, Set-Cookie,
// Vary: *. A response to a request with credentials is only stored if the origin
// says that it is for everybody: by public or s-maxage, and for Authorization also
// by must-revalidate (RFC 9111 section 3.5). Credentials are Authorization, Cookie,
// a client certificate, and a principal that the gateway has authenticated. The
// cache knows no others: an origin that goes by an API key in a field of its own
// has to say private, or name the field in Vary.
//
// # One fetch for many
//
// Requests for the same that find nothing fresh wait for one fetch, and get its body as it
// arrives. The fetch is nobody's: it goes on when who began it leaves, and ends when all
// have. If the response turns out to be for one only, the others ask themselves, and for
// some seconds nobody waits for its like.
//
// # When the origin fails
//
// What is stale is served while the origin is asked in the background, or if it fails, for
// as long as the response allows (RFC 5861) or the Transport says; and never if it must be
// revalidated. A store that is late or fails makes a miss.
//
// # Stores
//
// [Memory] is in this process, and keeps responses decoded; [OpenDisk] outlives it; package
// rediscache shares them between gateways; [Tiered] puts one in front of another; and
// anything of yours is a [Cache]. All but the first cost a hit a goroutine and the decoding.
//
// # Order
//
// Write the cache inside authentication: what stands inside the cache is not
// asked when a stored response answers. Do not put the cache inside anything that
// personalises requests without their credentials or Vary showing it.
//
// # What can be seen
//
// Responses carry Cache-Status (RFC 9211), and Age if they were stored; [Transport.Observe]
// is told what became of each request, and [Transport.Explain] says what would. The
// requirements of RFC 9111 and their tests are listed in CONFORMANCE.md.
package cache

import (
	"context"
	"time"
)

// Cache is a store of bytes. It may lose what it was given at any time. Its
// methods are called concurrently, and never with a lock held.
//
// A slice belongs to nobody once it was passed to Set or returned by Get: neither
// side changes it any more, so that neither has to copy it.
//
// A [Transport] does not trust its store: what is late, an error or rubbish counts
// as a miss, and so does another key's value.
type Cache interface {
	// Get returns the value of key and whether there is one. What has expired is not there.
	Get(ctx context.Context, key string) ([]byte, bool, error)

	// Set gives key a value that expires after ttl. With a ttl of zero or less it
	// is expired already, which is what Delete does.
	Set(ctx context.Context, key string, val []byte, ttl time.Duration) error

	// Delete removes key; that it is not there is no error.
	Delete(ctx context.Context, key string) error
}
