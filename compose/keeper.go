package compose

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatewright/gateway"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// keeper keeps a part's last good answers. It may be nil, which keeps none.
type keeper struct {
	limit time.Duration

	mu      sync.Mutex
	entries *simplelru.LRU[string, kept]
	size    int
}

type kept struct {
	json []byte
	at   time.Time
}

// Limits of what is kept of a part.
const (
	maxKept      = 1000
	maxKeptBytes = 16 << 20
)

func newKeeper(limit time.Duration) *keeper {
	k := &keeper{limit: limit}
	k.entries, _ = simplelru.NewLRU(maxKept, func(key string, e kept) { k.size -= len(key) + len(e.json) }) // its size is positive
	return k
}

// put keeps a, which is a good answer to what x has asked, if its backend allows that.
func (k *keeper) put(x *run, a *answer) {
	keep, shared := keepable(a.header)
	owner, known := x.owner()
	if !keep || !shared && !known {
		return
	}
	key := a.key
	if !shared {
		key = owner + key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries.Remove(key)
	k.entries.Add(key, kept{bytes.Clone(a.json), time.Now()})
	k.size += len(key) + len(a.json)
	for k.size > maxKeptBytes {
		k.entries.RemoveOldest()
	}
}

// get returns the answer to what s would ask for x, in the place of failed, if there is one
// that is not too old. Where the backend has said that there is nothing any more, or nothing
// for whoever asks, that is its answer, and the one it gave before is forgotten (RFC 5861
// section 4 has stale answers for other errors only).
func (k *keeper) get(x *run, s *step, failed *partError) ([]byte, bool) {
	if k == nil {
		return nil, false
	}
	r, err := x.newRequest(x.ctx, s, &scope{r: x.request, results: x.results})
	if err != nil {
		return nil, false
	}
	asked := keyOf(r)
	owner, known := x.owner()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range []string{owner + asked, asked} {
		e, ok := k.entries.Get(key)
		switch {
		case !ok || !known && key != asked:
		case failed.final():
			k.entries.Remove(key)
		case time.Since(e.at) <= k.limit:
			return e.json, true
		}
	}
	return nil, false
}

// final reports whether the failure is what the backend means to say.
func (e *partError) final() bool {
	if e.problem.Fault != gateway.UpstreamStatus {
		return false
	}
	switch e.problem.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// owner is who the backend may take x to be from, though nothing in the request says so: the
// principal goes with it, and a route in process or a transport that adds credentials can
// look at that. It reports false for one that cannot be told from others.
func (x *run) owner() (string, bool) {
	if x.state == nil || x.state.Principal == nil {
		return "", true
	}
	var b strings.Builder
	for _, claim := range []string{"sub", "iss", "scope"} {
		v, ok := x.state.Principal.Claim(claim)
		if claim == "sub" && !ok {
			return "", false
		}
		b.WriteString(strconv.Quote(v))
	}
	return b.String(), true
}

// keepable reports whether an answer may be kept, and then for others than whoever asked
// (RFC 9111 sections 3 and 3.5).
func keepable(h http.Header) (keep, shared bool) {
	keep = true
	for directive := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store":
			keep = false
		case "public", "s-maxage":
			shared = true
		}
	}
	return keep, shared
}
