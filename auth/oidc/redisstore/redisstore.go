// Package redisstore keeps the sessions of package oidc in Redis, or Valkey, where several
// gateways share them.
//
//	package main
//
//	import (
//		"os"
//
//		"github.com/redis/go-redis/v9"
//
//		"github.com/gatewright/gateway/auth/oidc"
//		"github.com/gatewright/gateway/auth/oidc/redisstore"
//	)
//
//	func main() {
//		client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//		defer client.Close()
//		oidc.Must(oidc.Config{
//			Issuer: "https://id.shop.test", ClientID: "shop", URL: "https://shop.test/auth",
//			Key:      []byte(os.Getenv("COOKIE_KEY")),
//			Sessions: redisstore.New(client, "shop:"),
//		})
//	}
//
// What is stored is encrypted before it comes here, and expires by itself. Give Redis a
// maxmemory-policy that evicts nothing, or users are logged out when it is full.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatewright/gateway/auth/oidc"
)

const (
	poll       = 25 * time.Millisecond // between attempts to take a lock
	unlockTime = 2 * time.Second
)

// replace writes ARGV[2] for ARGV[3] milliseconds if the key holds ARGV[1], or nothing for
// an empty ARGV[1].
var replace = redis.NewScript(`
local is = redis.call('GET', KEYS[1]) or ''
if is ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// release deletes a lock if it is still ours.
var release = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

// New returns a store that is an [oidc.Locker] as well. The client is the caller's to close;
// with its ContextTimeoutEnabled a call ends when its time is up, and does not go on behind
// a request that was answered with 503. The prefix is put before every key; "" is one, too.
// New calls nobody. It panics if client is nil.
func New(client redis.UniversalClient, prefix string) oidc.Store {
	if client == nil {
		panic(errors.New("redisstore: new: nil client"))
	}
	return &store{client, prefix}
}

type store struct {
	client redis.UniversalClient
	prefix string
}

func (s *store) key(id string) string  { return s.prefix + "session:" + id }
func (s *store) lock(id string) string { return s.prefix + "lock:" + id }

// Load is part of [oidc.Store].
func (s *store) Load(ctx context.Context, id string) ([]byte, error) {
	data, err := s.client.Get(ctx, s.key(id)).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("redisstore: get: %w", err)
	}
	return data, nil
}

// Save is part of [oidc.Store].
func (s *store) Save(ctx context.Context, id string, old, data []byte, ttl time.Duration) (bool, error) {
	n, err := replace.Run(ctx, s.client, []string{s.key(id)}, old, data, max(ttl.Milliseconds(), 1)).Int()
	if err != nil {
		return false, fmt.Errorf("redisstore: set: %w", err)
	}
	return n == 1, nil
}

// Delete is part of [oidc.Store].
func (s *store) Delete(ctx context.Context, id string) error {
	if err := s.client.Del(ctx, s.key(id)).Err(); err != nil {
		return fmt.Errorf("redisstore: del: %w", err)
	}
	return nil
}

// Lock is part of [oidc.Locker].
func (s *store) Lock(ctx context.Context, id string, ttl time.Duration) (func(), error) {
	key, owner := s.lock(id), rand.Text()
	for {
		ok, err := s.client.SetNX(ctx, key, owner, ttl).Result()
		switch {
		case err != nil:
			return nil, fmt.Errorf("redisstore: lock: %w", err)
		case ok:
			return func() { s.unlock(ctx, key, owner) }, nil
		}
		wait := time.NewTimer(poll)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("redisstore: lock: %w", ctx.Err())
		}
	}
}

// unlock is the end of the work that the lock was for, whose time may be up. If it fails
// the lock expires.
func (s *store) unlock(ctx context.Context, key, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTime)
	defer cancel()
	_ = release.Run(ctx, s.client, []string{key}, owner).Err()
}
