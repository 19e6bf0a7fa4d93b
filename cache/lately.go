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
	c.keys.Add(key, time.Now())
}

// since reports whether key was marked at a time or after it.
func (c *lately) since(key string, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	marked, ok := c.keys.Peek(key)
	return ok && !marked.Before(at)
}

func (c *lately) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys.Remove(key)
}
