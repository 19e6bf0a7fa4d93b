package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const patience = 10 * time.Second // with an answer

// load is the clients of one measurement.
type load []*client

// dial connects as many clients, each with its share of the tokens, if there are any.
func dial(addr string, conns int, s scenario, tokens []string) (load, error) {
	var l load
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			l.close()
			return nil, err
		}
		c := &client{conn: conn, in: bufio.NewReader(conn), body: s.body, header: []byte(s.header)}
		if len(tokens) == 0 {
			c.requests = [][]byte{newRequest(s.path, "")}
		}
		for t := i; t < len(tokens); t += conns {
			c.requests = append(c.requests, newRequest(s.path, tokens[t]))
		}
		l = append(l, c)
	}
	return l, nil
}

func newRequest(path, token string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: gatewright-bench\r\nAccept: application/json\r\n", path)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// prime makes one request whose answer needs not have the header line: what is asked
// for may have to be there first.
func (l load) prime() error {
	c := *l[0]
	c.header = nil
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return c.exchange()
}

// tally is what a load has done.
type tally struct {
	took    histogram
	elapsed time.Duration
}

// run drives all clients at once, and returns when each has its last answer: so
// whatever work there was for the requests is done. A client that fails stops.
func (l load) run(d time.Duration) (tally, error) {
	var wg sync.WaitGroup
	took := make([]histogram, len(l))
	errs := make([]error, len(l))
	start := time.Now()
	for i, c := range l {
		if err := c.conn.SetDeadline(start.Add(d + patience)); err != nil {
			return tally{}, err
		}
		wg.Go(func() { errs[i] = c.drive(start.Add(d), &took[i]) })
	}
	wg.Wait()
	t := tally{elapsed: time.Since(start)}
	for i := range took {
		t.took.merge(&took[i])
	}
	return t, failure(errs)
}

// failure is nil if all errs are. One of them will do: what fails, fails for many.
func failure(errs []error) error {
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d clients failed: %w", len(failed), len(errs), failed[0])
}

func (l load) close() {
	for _, c := range l {
		c.conn.Close()
	}
}
