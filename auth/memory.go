package auth

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	defaultRemember = 10_000
	memoryShards    = 16       // at most
	minMemoryShard  = 64       // tokens: in fewer, those that happen to meet would push each other out
	maxFootprint    = 32 << 10 // bytes of claims and scopes
)

// verified is what verifying a token has found out: who it speaks for, and when. It
// is good from one time on, and until before the other, while its key is, if it has one.
type verified struct {
	principal   *Principal
	from, until time.Time
	key         *key
	signed      string // what of the token is no secret, see memory.signed
}

func (v verified) at(now time.Time) bool {
	return !now.Before(v.from) && now.Before(v.until) && (v.key == nil || !v.key.gone.Load())
}

// memory is the tokens that a compiled JWT has verified. It lives and dies with that
// one, whose issuer and audience never change: so a token that was right stays right
// until its time is over or its key is withdrawn.
//
// Only what was verified gets in: without a token of the issuer's nobody can fill it,
// and with many of them one can only make us verify those of others again.
//
// A nil memory remembers nothing.
type memory struct {
	shards []memoryShard

	// signed is for tokens whose last part is a signature: it alone is hashed, which takes
	// half the time, and what it signs is kept and compared. Without the signature that is
	// good for nothing, and with it there is one token. False: all of it is a secret.
	signed bool
}

// memoryShard is a part of the tokens under a lock of its own, those used last if
// there were too many. Of a token the hash is kept, so what leaks from memory opens
// no door. It must be one that nobody finds collisions in: a token that collides with
// a remembered one is let in without a signature.
type memoryShard struct {
	mu     sync.Mutex
	tokens *simplelru.LRU[[sha256.Size]byte, verified]
}

func newMemory(tokens int) *memory {
	switch {
	case tokens < 0:
		return nil
	case tokens == 0:
		tokens = defaultRemember
	}
	m := &memory{shards: make([]memoryShard, min(max(1, tokens/minMemoryShard), memoryShards))}
	for i := range m.shards {
		lru, err := simplelru.NewLRU[[sha256.Size]byte, verified](tokens/len(m.shards), nil)
		if err != nil {
			panic(err) // only a size of zero is refused
		}
		m.shards[i].tokens = lru
	}
	return m
}

// find returns where token is remembered, as what, and what of it is compared. One byte of
// the hash is as good as any for choosing: to steer it one would need tokens signed to
// measure.
func (m *memory) find(token string) (s *memoryShard, hash [sha256.Size]byte, signed string) {
	if m.signed { // what is behind the second dot signs what is before it
		dot := strings.IndexByte(token, '.') + 1
		dot += strings.IndexByte(token[dot:], '.') + 1
		signed, token = token[:dot], token[dot:]
	}
	// A conversion would allocate; the usual secret fits into this, on the stack.
	hash = sha256.Sum256(append(make([]byte, 0, 1<<10), token...))
	return &m.shards[int(hash[0])%len(m.shards)], hash, signed
}

// recall returns who token speaks for, or nil if that has to be verified. A token
// whose time is over, or whose time the clock has left by being set back, is forgotten.
func (m *memory) recall(token string, now time.Time) *Principal {
	if m == nil {
		return nil
	}
	s, hash, signed := m.find(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.tokens.Get(hash)
	if ok && !v.at(now) {
		s.tokens.Remove(hash)
		return nil
	}
	if v.signed != signed {
		return nil
	}
	return v.principal
}

// keep remembers token, unless its claims are large: in some thousands of bytes an
// issuer, or who tells it what to put in, can write what takes fifty times as much
// decoded. Such a token is verified each time.
func (m *memory) keep(token string, v verified) {
	if m == nil || v.footprint() > maxFootprint {
		return
	}
	s, hash, signed := m.find(token)
	v.signed = strings.Clone(signed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.Add(hash, v)
}

func (v verified) footprint() int {
	return footprint(v.principal.Claims) + 16*(cap(v.principal.Scopes)+cap(v.principal.Roles))
}

// footprint is how many bytes v takes, decoded from JSON: an estimate from above, as
// maps and arrays have room to spare and the allocator rounds up.
func footprint(v any) int {
	n := 0
	switch v := v.(type) {
	case claims:
		n = 336 // with room for eight members
		for name, e := range v {
			n += 96 + len(name) + footprint(e)
		}
	case []any:
		n = 24
		for _, e := range v {
			n += 40 + footprint(e)
		}
	case string:
		n = 24 + len(v)*5/4
	case json.Number:
		n = 24 + len(v)*5/4
	}
	return n
}
