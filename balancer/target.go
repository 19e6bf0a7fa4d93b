package balancer

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatewright/gateway/internal/rawpath"
)

// Target is where an endpoint is, and what is known of it beforehand.
type Target struct {
	// URL is absolute; a path is put before the path of each request. The scheme is http
	// for HTTP/1.1, https for HTTP/1.1 or HTTP/2 as the server chooses, or h2c for HTTP/2
	// without TLS. It is what identifies the endpoint when targets change.
	URL string

	// Host is what the Host field says where the request itself has none: the name, where
	// URL has an address that was found by it. Empty means URL's host.
	Host string

	Weight   int    // how much it can do, beside the others. Zero: 1
	Zone     string // where it stands; see Config.Zone. Empty: nowhere in particular
	Priority int    // its group: endpoints of a higher number are used only while those of lower ones fail. Zero: the first
}

// maxWeight keeps products of a weight and a latency within what a float tells apart.
const maxWeight = 1 << 16

// parse returns t's URL, or what is wrong with t. It does not quote what it cannot parse,
// nor userinfo: there may be a password in it, and errors are logged.
func (t *Target) parse() (*url.URL, error) {
	u, err := url.Parse(t.URL)
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
		return nil, fmt.Errorf("%q is not an absolute URL with scheme http, https or h2c", t.URL)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", t.URL)
	case u.Port() != "" && (port < 1 || port > 65535):
		return nil, fmt.Errorf("%q has an impossible port", t.URL)
	case strings.ContainsAny(t.URL, "?#"):
		return nil, fmt.Errorf("%q has a query or a fragment", t.URL)
	case t.Host != "" && !isHost(t.Host):
		return nil, fmt.Errorf("%q has an impossible host: %q", t.URL, t.Host)
	case t.Weight < 0 || t.Weight > maxWeight:
		return nil, fmt.Errorf("%q has an impossible weight: %d", t.URL, t.Weight)
	case t.Priority < 0:
		return nil, fmt.Errorf("%q has an impossible priority: %d", t.URL, t.Priority)
	}
	if err := rawpath.Check(u.EscapedPath()); err != nil {
		return nil, fmt.Errorf("%q: %w", t.URL, err)
	}
	return u, nil
}

// isHost reports whether host, with or without a port, can stand in a Host field.
func isHost(host string) bool {
	u, err := url.Parse("http://" + host)
	foreign := strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' })
	return err == nil && u.Host == host && u.Hostname() != "" && !foreign
}

// identity is the same for two spellings of one address.
func identity(u *url.URL) string {
	// As a URL, so that it can be parsed: with brackets, and the % of an IPv6 zone escaped.
	host := url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u))}
	return host.String() + strings.TrimSuffix(u.EscapedPath(), "/")
}

// portOf is the port of u, or that of its scheme.
func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
