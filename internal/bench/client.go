package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is one connection that sends one request after the other. It shares the
// machine with what it measures, so it does no more than it has to: the requests are
// ready to be sent, and of an answer it reads what it checks.
type client struct {
	conn     net.Conn
	in       *bufio.Reader
	requests [][]byte // sent in turn
	next     int
	body     int    // bytes that every body must have
	header   []byte // how a header line of every answer must begin; empty: no matter
}

// drive sends requests until a time, and counts how long each took.
func (c *client) drive(until time.Time, took *histogram) error {
	for start := time.Now(); start.Before(until); {
		if err := c.exchange(); err != nil {
			return err
		}
		end := time.Now()
		took.add(end.Sub(start))
		start = end
	}
	return nil
}

// exchange sends the next request and checks the answer.
func (c *client) exchange() error {
	if _, err := c.conn.Write(c.requests[c.next]); err != nil {
		return err
	}
	c.next = (c.next + 1) % len(c.requests)
	a, err := c.readHeader()
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	size, err := c.skipBody(a)
	switch {
	case err != nil:
		return fmt.Errorf("read body: %w", err)
	case !a.ok:
		return fmt.Errorf("answered %q", a.status)
	case size != c.body:
		return fmt.Errorf("a body of %d bytes instead of %d", size, c.body)
	case !a.marked && len(c.header) > 0:
		return fmt.Errorf("an answer without %q", c.header)
	}
	return nil
}

// answer is what the client has to know of a response's header.
type answer struct {
	ok      bool
	status  string // if it is not ok
	length  int
	chunked bool
	marked  bool // has the header line that is asked for
}

var (
	okLine        = []byte("HTTP/1.1 200 ")
	contentLength = []byte("content-length:")
	chunkedLine   = []byte("transfer-encoding: chunked")
)

func (c *client) readHeader() (a answer, err error) {
	line, err := c.readLine()
	if err != nil {
		return a, err
	}
	if a.ok = bytes.HasPrefix(line, okLine); !a.ok {
		a.status = string(line)
	}
	for {
		line, err = c.readLine()
		if err != nil || len(line) == 0 {
			return a, err
		}
		switch {
		case len(c.header) > 0 && bytes.HasPrefix(line, c.header):
			a.marked = true
		case hasPrefixFold(line, contentLength):
			if a.length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return a, err
			}
		case bytes.EqualFold(line, chunkedLine):
			a.chunked = true
		}
	}
}

func hasPrefixFold(line, prefix []byte) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], prefix)
}

// skipBody reads the body and returns its length.
func (c *client) skipBody(a answer) (int, error) {
	if !a.chunked {
		return c.in.Discard(a.length)
	}
	for size := 0; ; {
		line, err := c.readLine()
		if err != nil {
			return size, err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return size, err
		}
		if _, err := c.in.Discard(int(n)); err != nil {
			return size, err
		}
		size += int(n)
		switch line, err := c.readLine(); { // nobody here sends trailers
		case err != nil:
			return size, err
		case len(line) > 0:
			return size, fmt.Errorf("a chunk ends in %q", line)
		case n == 0:
			return size, nil
		}
	}
}

// readLine returns the next line without its end. It is valid until the next read.
func (c *client) readLine() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return bytes.TrimRight(line, "\r\n"), err
}
