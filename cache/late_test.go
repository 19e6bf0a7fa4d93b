package cache

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// An invalidation marks a key and then deletes what is there. A flight that begins in
// between is not of before the change, so whoever joins it must not get what was.
func TestAFlightDoesNotLandWithWhatIsBeingInvalidated(t *testing.T) {
	tr := &Transport{Store: Memory(1 << 20)}
	g := tr.engine()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	key, _ := g.keyer.of(r)
	sought := time.Now()
	g.store(r, key, &entry{status: 200, born: time.Now(), received: time.Now(), lifetime: time.Hour, header: http.Header{}})
	late := func() bool {
		f := g.launch(r, &query{r: r, key: key, began: sought, why: fwdURIMiss})
		defer f.cancel()
		return g.foundLate(f)
	}
	assert.True(t, late())
	g.changed.mark(key) // invalidate, half done
	assert.False(t, late())
}
