package http1

import (
	"context"
	"net/url"
	"slices"
	"time"
)

// host is the connections to one address. It is guarded by the Transport's lock.
type host struct {
	idle    []*conn // the one used last is the last, and is used first
	active  int     // all there are, idle ones and those being dialed too
	waiting []chan *conn
}

// conn returns a connection to where u is: a kept one that is still good, or a new one.
//
// A connection that will be upgraded must be one of HTTP/1.1, so HTTP/2 is not offered
// for it.
func (t *Transport) conn(ctx context.Context, u *url.URL, upgrade bool) (*conn, error) {
	addr, secure, err := address(u)
	if err != nil {
		return nil, err
	}
	offer := t.OfferHTTP2 && !upgrade
	key := addr
	switch {
	case secure && offer:
		key = "h2 " + addr
	case secure:
		key = "s " + addr
	}
	for {
		c, wait := t.take(key)
		switch {
		case wait != nil:
			if c, err = t.await(ctx, key, wait); err != nil {
				return nil, err
			}
			if c != nil && c.usable() {
				return c, nil
			}
		case c != nil && c.usable():
			return c, nil
		case c == nil: // the place is ours
			nc, ahead, err := t.dial(ctx, addr, secure, offer)
			if err != nil {
				t.drop(key)
				return nil, err
			}
			return newConn(t, key, nc, ahead), nil
		}
		if c != nil {
			c.discard()
		}
	}
}

// take returns the idle connection used last; or nil, for a place to dial; or a
// channel to wait on, if there is no place.
func (t *Transport) take(key string) (*conn, chan *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[key]
	if h == nil {
		h = &host{}
		if t.hosts == nil {
			t.hosts = make(map[string]*host)
		}
		t.hosts[key] = h
	}
	if n := len(h.idle); n > 0 {
		c := h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		return c, nil
	}
	if t.MaxConns > 0 && h.active >= t.MaxConns {
		wait := make(chan *conn, 1)
		h.waiting = append(h.waiting, wait)
		return nil, wait
	}
	h.active++
	return nil, nil
}

// await returns a connection that was handed over, or nil if there may be a place now.
func (t *Transport) await(ctx context.Context, key string, wait chan *conn) (*conn, error) {
	select {
	case c := <-wait:
		return c, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	if h := t.hosts[key]; h != nil { // it may be gone, and another there by its name
		if i := slices.Index(h.waiting, wait); i >= 0 {
			h.waiting = slices.Delete(h.waiting, i, i+1)
			t.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	t.mu.Unlock()
	// It was served in the meantime; the next in line must not go without.
	if c := <-wait; c != nil {
		t.put(c)
	} else {
		t.wake(key)
	}
	return nil, context.Cause(ctx)
}

// put keeps c for another request, or gives it to one that waits.
func (t *Transport) put(c *conn) {
	t.mu.Lock()
	h := t.hosts[c.key]
	switch {
	case t.Lifetime > 0 && time.Since(c.born) > t.Lifetime:
	case len(h.waiting) > 0:
		wait := h.waiting[0]
		h.waiting = h.waiting[1:]
		wait <- c
		t.mu.Unlock()
		return
	case len(h.idle) < t.maxIdle():
		c.idleSince = time.Now()
		h.idle = append(h.idle, c)
		t.scheduleSweep()
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	c.discard()
}

// drop gives back the place of a connection that is no more.
func (t *Transport) drop(key string) {
	t.mu.Lock()
	h := t.hosts[key]
	if h.active--; h.active == 0 && len(h.waiting) == 0 {
		delete(t.hosts, key)
	}
	t.mu.Unlock()
	t.wake(key)
}

// wake lets the first that waits try again.
func (t *Transport) wake(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.hosts[key]; h != nil && len(h.waiting) > 0 && (t.MaxConns == 0 || h.active < t.MaxConns) {
		wait := h.waiting[0]
		h.waiting = h.waiting[1:]
		wait <- nil
	} else if h != nil && h.active == 0 && len(h.waiting) == 0 {
		delete(t.hosts, key)
	}
}

func (t *Transport) maxIdle() int {
	if t.MaxIdle == 0 {
		return defaultMaxIdle
	}
	return t.MaxIdle
}

func (t *Transport) idleTimeout() time.Duration {
	if t.IdleTimeout == 0 {
		return defaultIdleTimeout
	}
	return t.IdleTimeout
}

// scheduleSweep sees to it that what is idle is looked at: one timer for all
// connections, which is not there when none is idle. The lock is held.
func (t *Transport) scheduleSweep() {
	if t.sweep == nil {
		t.sweep = time.AfterFunc(t.idleTimeout(), t.closeExpired)
	}
}

// closeExpired closes the connections that were idle for too long, and those that the
// other side has closed.
func (t *Transport) closeExpired() {
	now := time.Now()
	limit := now.Add(-t.idleTimeout())
	var expired []*conn
	next := time.Duration(0)
	t.mu.Lock()
	for _, h := range t.hosts {
		h.idle = slices.DeleteFunc(h.idle, func(c *conn) bool {
			if !c.idleSince.After(limit) || !c.open(now) {
				expired = append(expired, c)
				return true
			}
			if left := c.idleSince.Sub(limit); next == 0 || left < next {
				next = left
			}
			return false
		})
	}
	t.sweep = nil
	if next > 0 {
		t.sweep = time.AfterFunc(next, t.closeExpired)
	}
	t.mu.Unlock()
	for _, c := range expired {
		c.discard()
	}
}
