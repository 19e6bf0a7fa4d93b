package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// account returns whom the user's password is to be checked for. For an unknown user it
// is nobody, with a hash for the time that it takes.
func (v *passwords) account(ctx context.Context, user string) (account, error) {
	if a, ok := v.users[user]; ok {
		return a, nil
	}
	if v.find == nil {
		return account{hash: v.decoyFor(user)}, nil
	}
	text, p, err := v.find(ctx, user)
	switch {
	case err != nil:
		return account{}, fmt.Errorf("find: %w", err)
	case text == "":
		return account{hash: v.decoyFor(user)}, nil
	case p == nil:
		p = &Principal{Subject: user}
	}
	hash, err := newPasswordHash(text)
	if err != nil {
		return account{}, fmt.Errorf("find: %w", err)
	}
	v.decoy.take(hash)
	return account{hash, v.own(*p)}, nil
}

// decoyFor returns the hash that an unknown user's password is compared with, always the
// same: names that are unknown then cost what known ones do, in the same proportion.
func (v *passwords) decoyFor(user string) passwordHash {
	if v.find == nil || v.decoy.none() && len(v.names) > 0 {
		sum := v.key.sum(user)
		return v.users[v.names[binary.BigEndian.Uint64(sum[:])%uint64(len(v.names))]].hash
	}
	return v.decoy.hash()
}

// decoy is a hash like the one that Find returned last.
type decoy struct{ last atomic.Pointer[passwordHash] }

func (d *decoy) none() bool { return d.last.Load() == nil }

func (d *decoy) take(h passwordHash) { d.last.Store(&h) }

// firstDecoy has the parameters of HashPassword. Nobody knows a password for it; if one
// did, it would still be nobody's.
const firstDecoy passwordHash = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func (d *decoy) hash() passwordHash {
	if h := d.last.Load(); h != nil {
		return *h
	}
	return firstDecoy
}

// matches reports whether password is a's, by memory if it can; an account without a
// principal has none that is right. It computes when there is a slot, and asks memory again
// then: many requests with a password that is new to us need it to be computed once.
func (v *passwords) matches(ctx context.Context, a account, user, password string) (bool, error) {
	sum := v.key.sum(user, password, string(a.hash))
	if a.principal != nil && v.right.has(sum, time.Now()) {
		return true, nil
	}
	if err := v.acquire(ctx); err != nil {
		return false, err
	}
	defer v.release()
	if a.principal != nil && v.right.has(sum, time.Now()) {
		return true, nil
	}
	right := a.hash.matches(password) && a.principal != nil
	if right {
		v.right.add(sum, time.Now())
	}
	return right, nil
}

func (v *passwords) acquire(ctx context.Context) error {
	select {
	case v.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.New("too many passwords are waiting to be checked")
	}
}

func (v *passwords) release() { <-v.slots }

// basicKey is random: what is hashed with it says nothing to who does not have it, so no
// passwords can be guessed from what leaks of memory without it.
type basicKey [sha256.Size]byte

func newBasicKey() (k basicKey) {
	_, _ = rand.Read(k[:]) // it never fails
	return k
}

// sum hashes texts that have no NUL in them.
func (k *basicKey) sum(texts ...string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k[:])
	for _, text := range texts {
		mac.Write([]byte(text))
		mac.Write([]byte{0})
	}
	mac.Sum(sum[:0])
	return sum
}

// rightPasswords remembers by their sums passwords that were right, those used last if
// there were too many. The hash that they were compared with is in the sum: a new password
// is a new hash, and the old one is wrong at once. A nil one remembers nothing.
type rightPasswords struct {
	keep  time.Duration
	mu    sync.Mutex
	until *simplelru.LRU[[sha256.Size]byte, time.Time]
}

func newRightPasswords(keep time.Duration) *rightPasswords {
	if keep < 0 {
		return nil
	}
	lru, err := simplelru.NewLRU[[sha256.Size]byte, time.Time](defaultRemember, nil)
	if err != nil {
		panic(err) // only a size of zero is refused
	}
	return &rightPasswords{keep: keep, until: lru}
}

func (p *rightPasswords) has(sum [sha256.Size]byte, now time.Time) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until.Get(sum)
	if ok && !now.Before(until) {
		p.until.Remove(sum)
		return false
	}
	return ok
}

func (p *rightPasswords) add(sum [sha256.Size]byte, now time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until.Add(sum, now.Add(p.keep))
}
