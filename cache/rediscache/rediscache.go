// Package rediscache keeps what package cache stores in Redis or Valkey, where all
// gateways find it, and by choice the most wanted of it in this process, too.
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
//		"github.com/gatewright/gateway/cache/rediscache"
//		"github.com/redis/go-redis/v9"
//	)
//
//	func main() {
//		client := redis.NewUniversalClient(&redis.UniversalOptions{
//			Addrs:                 []string{"redis:6379"},
//			ContextTimeoutEnabled: true,
//			DialTimeout:           time.Second,
//			DialerRetries:         1,
//			MaxRetries:            1,
//		})
//		store := rediscache.New(client, rediscache.Config{Local: cache.Memory(64 << 20)})
//		defer store.Close()
//		offers := &cache.Transport{Base: balancer.To("http://offers:8080"), Store: store}
//		gw := gateway.New()
//		gw.Handle("/offers/", gateway.Proxy(offers))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// # The client
//
// It is any of go-redis's, for one server, for Sentinel or for a cluster; Redis from
// version 6 on, or Valkey. These of its settings decide what a request has to wait for:
//
//   - ContextTimeoutEnabled: without it no deadline holds, and New panics. It is the
//     deadline of a context that ends a call which waits for Redis, not its
//     cancellation. A context without one waits as long as the client's timeouts say.
//   - ReadTimeout, WriteTimeout: as they are, but for -2, which switches deadlines off.
//   - DialTimeout and DialerRetries: a dial goes on after the call that wanted it has
//     ended, and takes a place in the pool for as long. With the defaults, five times
//     five seconds, a Redis that was cut off is not asked again for half a minute.
//     Say a second, and once.
//   - MaxRetries: while Redis is down each retry is more to wait for. Once is enough for
//     connections that Redis has closed.
//   - PoolSize: a call waits for a connection, too, until its deadline. The default is
//     ten for each processor.
//
// # What Redis sees
//
// A key is Config.Prefix and the SHA-256 of the cache's own key in base64url: it has a
// length, and URLs do not show in Redis's logs. Before the value stands a byte for the
// format. A user of Redis needs the commands GETRANGE, SET, UNLINK and PUBLISH, and for a
// local tier PTTL and SUBSCRIBE, for keys that begin with the prefix and for the one
// channel of that name with "changes" after it.
//
// # The local tier
//
// A gateway that sets or deletes a value tells the others over the channel, and they
// forget theirs within milliseconds. To miss messages is to have to forget everything:
// when the connection is lost, or silent for two seconds though asked, the local tier is
// emptied, and once more when it is back. Meanwhile it keeps what it gets for a
// second at most. If Set or Delete returns an error, others may have an old value for up
// to Config.LocalTTL.
package rediscache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatewright/gateway/cache"
)

// Config is how a [Store] keeps values.
type Config struct {
	// Prefix begins every key, and the name of the channel. Stores with the same
	// one are one store. In a cluster, a part in braces puts all keys on one node.
	// Empty means "gatewright:cache:".
	Prefix string

	// MaxValue is the most bytes of a value. What is larger is not kept, which is no
	// error. Zero means 8 MiB.
	MaxValue int

	// Local is a tier in front of Redis, in this process. Nil means none.
	Local cache.Cache

	// LocalTTL is how long Local keeps a value at most, which is also how long the
	// loss of a message can go unnoticed. Zero means 10 seconds.
	LocalTTL time.Duration

	// Quiet tells nobody of changes, which saves a round trip. It is right when no
	// store with this prefix has a Local, and refused with one. False means that
	// changes are told.
	Quiet bool
}

// Store is a [cache.Cache] in Redis.
type Store struct {
	tier   cache.Cache // a remote, or tiers
	remote *remote
	ear    *ear // nil without a local tier
}

// New returns a Store that goes by client. The client remains the caller's, who closes
// it after the Store.
//
// It panics if there is no client, if the client does not heed deadlines, if the
// configuration has negative numbers, or if a local tier could not be kept right:
// with a client that reads from replicas, which are late, with a Ring, and with one
// whose settings cannot be seen because it is none of go-redis's own.
func New(client redis.UniversalClient, config Config) *Store {
	if err := errors.Join(append(config.faults(), clientFaults(client, config.Local != nil)...)...); err != nil {
		panic(fmt.Errorf("rediscache: %w", err))
	}
	if config.Prefix == "" {
		config.Prefix = "gatewright:cache:"
	}
	if config.MaxValue == 0 {
		config.MaxValue = 8 << 20
	}
	r := &remote{
		client:  client,
		prefix:  config.Prefix,
		channel: config.Prefix + "changes",
		max:     config.MaxValue,
		quiet:   config.Quiet,
		sender:  rand.Text(),
	}
	s := &Store{tier: r, remote: r}
	if config.Local != nil {
		near := &shortened{Cache: config.Local}
		near.most.Store(int64(deafTTL))
		tiers := cache.Tiered(near, r, config.LocalTTL)
		s.tier, s.ear = tiers, startEar(r, near, tiers)
	}
	return s
}

func (c Config) faults() (faults []error) {
	if c.MaxValue < 0 {
		faults = append(faults, errors.New("MaxValue is negative"))
	}
	if c.LocalTTL < 0 {
		faults = append(faults, errors.New("LocalTTL is negative"))
	}
	if c.Local != nil && c.Quiet {
		faults = append(faults, errors.New("quiet, with a local tier that would need to hear"))
	}
	return faults
}

// Get is part of [cache.Cache].
func (s *Store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.tier.Get(ctx, name(key))
}

// Set is part of [cache.Cache]. Redis counts in milliseconds, of which ttl is rounded
// down.
func (s *Store) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if len(val) > s.remote.max {
		ttl = 0
	}
	return s.tier.Set(ctx, name(key), val, ttl.Truncate(time.Millisecond))
}

// Delete is part of [cache.Cache].
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.tier.Delete(ctx, name(key))
}

// Listening reports whether other stores' changes are heard of. Without a local tier
// nobody listens. If it stays false, Redis is away or forbids the channel, and the local
// tier is of little use.
func (s *Store) Listening() bool { return s.ear != nil && s.ear.hears.Load() }

// Close stops listening and waits until that is done. If Redis hangs that takes up to
// two seconds, and the client's DialTimeout if it is a Sentinel that hangs. What is local
// is kept for no more than a second from then on. It returns nil, and may be called
// more than once.
func (s *Store) Close() error {
	if s.ear != nil {
		s.ear.close()
	}
	return nil
}

// name returns what stands for key, in Redis and in messages.
func name(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// shortened is a local tier that keeps values for no longer than most, in nanoseconds.
type shortened struct {
	cache.Cache
	most atomic.Int64
}

// Set is part of [cache.Cache].
func (s *shortened) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	return s.Cache.Set(ctx, key, val, min(ttl, time.Duration(s.most.Load())))
}
