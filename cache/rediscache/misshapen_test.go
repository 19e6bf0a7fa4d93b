package rediscache_test

import (
	"bytes"
	"context"
	"net"

	"github.com/redis/go-redis/v9"
)

// misshapen dials as o says, and makes the connections answer SUBSCRIBE with a list of
// numbers.
func misshapen(o *redis.Options) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, o.Network, o.Addr)
		return &misshapenConn{Conn: c}, err
	}
}

type misshapenConn struct {
	net.Conn
	asked bool
}

func (c *misshapenConn) Write(b []byte) (int, error) {
	c.asked = c.asked || bytes.Contains(bytes.ToLower(b), []byte("subscribe"))
	return c.Conn.Write(b)
}

func (c *misshapenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.asked && err == nil {
		return copy(b, "*3\r\n:1\r\n:2\r\n:3\r\n"), nil
	}
	return n, err
}
