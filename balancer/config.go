package balancer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway/internal/rawpath"
)

// Config is what a [Pool] is made from.
type Config struct {
	// Targets are absolute URLs; a path is put before the path of each request. The
	// scheme is http for HTTP/1.1, https for HTTP/1.1 or HTTP/2 as the server chooses,
	// or h2c for HTTP/2 without TLS. At least one; the zero value is an error.
	Targets []string

	// Balancer chooses among the endpoints that are ready. Nil means PowerOfTwo.
	Balancer Balancer

	// Base carries the attempts and the health checks. It stays the caller's to
	// close. Nil means a transport of the pool's own, which goes through no proxy: 3 s
	// to connect (6 s with TLS), 30 s to the response's header, both of which a Base
	// should limit as well.
	Base http.RoundTripper

	// TLS is for https targets, where the pool has a transport of its own: other roots,
	// say, or a client certificate. Nil means the zero value.
	TLS *tls.Config

	// Connections limits those of the pool's own transport. Zero means its defaults.
	Connections Connections

	Health  Health  // active checks. Zero means none.
	Retry   Retry   // when another attempt is made. Zero means up to two more.
	Breaker Breaker // keeps requests from an endpoint that fails. Zero means none.
}

// Connections are the limits of a pool's own transport, for each endpoint. Max, MaxIdle
// and Lifetime are for HTTP/1.1: over HTTP/2 an endpoint has as few connections as its
// server allows. With a Base of the caller's they must be zero.
type Connections struct {
	Max         int           // how many there are at a time; a request that finds none free waits until its context ends. Zero: any number
	MaxIdle     int           // how many are kept unused. Zero: 256
	IdleTimeout time.Duration // how long one is kept unused. Zero: a minute
	Lifetime    time.Duration // how old one may be that takes another request. Zero: any age
}

func (c Connections) check(base http.RoundTripper) []error {
	faults := []error{
		notNegative("Connections.Max", c.Max),
		notNegative("Connections.MaxIdle", c.MaxIdle),
		notNegative("Connections.IdleTimeout", c.IdleTimeout),
		notNegative("Connections.Lifetime", c.Lifetime),
	}
	if base != nil && c != (Connections{}) {
		faults = append(faults, errors.New("balancer: Connections has no effect on a Base"))
	}
	return faults
}

// check returns the endpoints, or every fault of c.
func (c *Config) check() ([]*Endpoint, error) {
	endpoints, faults := c.endpoints()
	faults = append(faults, c.Health.check()...)
	faults = append(faults, c.Connections.check(c.Base)...)
	faults = append(faults,
		notNegative("Retry.Attempts", c.Retry.Attempts),
		notNegative("Breaker.Failures", c.Breaker.Failures),
		notNegative("Breaker.Cooldown", c.Breaker.Cooldown))
	return endpoints, errors.Join(faults...)
}

func (c *Config) endpoints() (endpoints []*Endpoint, faults []error) {
	if len(c.Targets) == 0 {
		faults = append(faults, errors.New("balancer: no target"))
	}
	seen := make(map[string]int)
	for i, target := range c.Targets {
		base, err := parseTarget(target)
		if err != nil {
			faults = append(faults, fmt.Errorf("balancer: target %d: %w", i+1, err))
			continue
		}
		id := identity(base)
		if first, ok := seen[id]; ok {
			faults = append(faults, fmt.Errorf("balancer: target %d: %q is target %d again", i+1, target, first))
			continue
		}
		seen[id] = i + 1
		endpoints = append(endpoints, newEndpoint(target, base, c.Breaker))
	}
	return endpoints, faults
}

// parseTarget does not quote what it cannot parse, nor userinfo: there may be a
// password in it, and errors are logged.
func parseTarget(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		if parse := (*url.Error)(nil); errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, err
	}
	switch port, _ := strconv.Atoi(u.Port()); {
	case u.User != nil:
		return nil, fmt.Errorf("%q has userinfo", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return nil, fmt.Errorf("%q is not an absolute URL with scheme http, https or h2c", target)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", target)
	case u.Port() != "" && (port < 1 || port > 65535):
		return nil, fmt.Errorf("%q has an impossible port", target)
	case strings.ContainsAny(target, "?#"):
		return nil, fmt.Errorf("%q has a query or a fragment", target)
	}
	if err := rawpath.Check(u.EscapedPath()); err != nil {
		return nil, fmt.Errorf("%q: %w", target, err)
	}
	return u, nil
}

// identity is the same for two spellings of one address.
func identity(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "h2c": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port + strings.TrimSuffix(u.EscapedPath(), "/")
}

func notNegative[N ~int | ~int64](name string, n N) error {
	if n < 0 {
		return fmt.Errorf("balancer: %s is negative: %v", name, n)
	}
	return nil
}
