package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// floor is the least that a handler of net/http's server can do to answer with what a
// backend says: it writes the same bytes on a kept connection, and looks in the answer
// for nothing but where its body begins. It is no proxy (nothing is parsed, passed on,
// checked, timed or cancelled), and no proxy can be cheaper.
func floor(s setup) (http.Handler, error) {
	u, err := url.Parse(s.Backends[0])
	if err != nil {
		return nil, err
	}
	length := []string{strconv.Itoa(documentSize)}
	kind := []string{"application/json"}
	f := &floorClient{addr: u.Host, request: []byte("GET " + path + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, err := f.take()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		body, err := c.exchange(f.request)
		if err != nil {
			c.nc.Close()
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = kind, length
		_, _ = w.Write(body) // the client checks what it got
		f.put(c)
	}), nil
}

type floorClient struct {
	addr    string
	request []byte
	mu      sync.Mutex
	idle    []*floorConn
}

type floorConn struct {
	nc  net.Conn
	buf [4096]byte
}

func (f *floorClient) take() (*floorConn, error) {
	f.mu.Lock()
	if n := len(f.idle); n > 0 {
		c := f.idle[n-1]
		f.idle = f.idle[:n-1]
		f.mu.Unlock()
		return c, nil
	}
	f.mu.Unlock()
	nc, err := net.Dial("tcp", f.addr)
	return &floorConn{nc: nc}, err
}

func (f *floorClient) put(c *floorConn) {
	f.mu.Lock()
	f.idle = append(f.idle, c)
	f.mu.Unlock()
}

func (c *floorConn) exchange(request []byte) ([]byte, error) {
	if _, err := c.nc.Write(request); err != nil {
		return nil, err
	}
	n := 0
	for {
		m, err := c.nc.Read(c.buf[n:])
		if err != nil {
			return nil, err
		}
		n += m
		if _, body, ok := bytes.Cut(c.buf[:n], []byte("\r\n\r\n")); ok && len(body) >= documentSize {
			return body, nil
		}
		if n == len(c.buf) {
			return nil, errors.Join(errors.New("floor"), io.ErrShortBuffer)
		}
	}
}
