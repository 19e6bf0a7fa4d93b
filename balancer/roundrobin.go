package balancer

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
)

// RoundRobin returns a balancer that takes the ready endpoints in turn. It starts at
// a random place, so that gateways that are started together do not march in step.
// It is for endpoints that are alike and requests that cost the same: a slow
// endpoint gets as many as the others.
func RoundRobin() Balancer {
	b := &roundRobin{}
	b.next.Store(uint64(rand.Uint32()))
	return b
}

type roundRobin struct{ next atomic.Uint64 }

func (b *roundRobin) Pick(_ *http.Request, ready []*Endpoint) *Endpoint {
	return ready[b.next.Add(1)%uint64(len(ready))]
}
