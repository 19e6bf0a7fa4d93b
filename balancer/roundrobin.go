package balancer

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// RoundRobin returns a balancer that takes the ready endpoints in turn, whatever their
// weights. It starts at a random place, so that gateways that are started together do not
// march in step. It is for endpoints that are alike and requests that cost the same: a slow
// endpoint gets as many as the others.
func RoundRobin() Balancer {
	b := &roundRobin{}
	b.next.Store(uint64(rand.Uint32()))
	return b
}

type roundRobin struct {
	_    [64]byte // every pick writes next: nobody else's data should be on its cache line
	next atomic.Uint64
	_    [56]byte
}

func (b *roundRobin) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	return ready[b.next.Add(1)%uint64(len(ready))]
}
