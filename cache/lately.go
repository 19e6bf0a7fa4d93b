package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// lately is keys and when something happened to them, those of the last minutes and a
// bounded number. Once it is full the oldest is forgotten.
type lately struct {
	mu   sync.Mutex
	keys *simplelru.LRU[string, time.Time]
	lost time.Time // when that was marked which was last forgotten for want of room
}

const maxLately = 4096

func newLately() *lately {
	lru, err := simplelru.NewLRU[string, time.Time](maxLately, nil)
	if err != nil {
		panic(err) // only a size of zero is refused
	}
	return &lately{keys: lru}
}

func (c *lately) mark(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, oldest, _ := c.keys.GetOldest(); c.keys.Add(key, time.Now()) {
		c.lost = oldest
	}
}

// since reports whether key was marked at a time or after it.
func (c *lately) since(key string, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	marked, ok := c.keys.Peek(key)
	return ok && !marked.Before(at)
}

// mayBe is since, but for that it also holds if it was forgotten.
func (c *lately) mayBe(key string, at time.Time) bool {
	if c.since(key, at) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.lost.Before(at)
}

func (c *lately) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(key)
}
