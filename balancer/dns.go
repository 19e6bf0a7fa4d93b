package balancer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a [Resolver] that asks for a name's addresses, each of which becomes a target: with
// the scheme, port and path of URL, and the name for its Host. It asks again when the
// answer's TTL is over, but after a second at least and five minutes at most; after 30
// seconds where no TTL is known, as for a name in /etc/hosts. Up to 1024 addresses are used.
//
// The resolver is the one that is built into Go: it reads /etc/resolv.conf with its search
// list, and /etc/hosts, and asks again by TCP what does not fit into UDP. It does not
// know what only the system's C library knows, such as mDNS. A name that ends in a dot is not
// searched for. A server that fails half of a question fails it all, so that the targets
// stay, rather than lose half of them.
//
// For https the pool's own transport verifies certificates against the name, or against the
// ServerName of [Config].TLS if that has one. A Base of the caller's sees only addresses,
// and must have been told the name.
type DNS struct {
	// URL is as that of a [Target], with the name as its host.
	URL string

	// Server is the host and port of the DNS server to ask, 127.0.0.1:8600 say for a Consul
	// agent. Empty means those of the system.
	Server string

	// Network is "ip4" for IPv4 addresses (A), "ip6" for IPv6 addresses (AAAA), or "ip" for
	// both. Empty means the IPv4 addresses, or if there are none the IPv6 addresses: servers
	// that have both would be there twice.
	Network string
}

// Limits of what is asked of the DNS.
const (
	minTTL        = time.Second
	maxTTL        = 5 * time.Minute
	unknownTTL    = 30 * time.Second // as the answer did not come from a DNS server
	lookupTimeout = 30 * time.Second // for everything; each server has 5 s, twice
	maxAddresses  = 1024
)

// Resolve implements [Resolver].
func (d DNS) Resolve(ctx context.Context) ([]Target, time.Duration, error) {
	u, err := d.parse()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	l := newLookup(d.Server)
	addresses, err := l.addresses(ctx, u.Hostname(), d.Network)
	if err != nil {
		return nil, 0, fmt.Errorf("balancer: DNS: %w", err)
	}
	targets := make([]Target, len(addresses))
	for i, a := range addresses {
		targets[i] = Target{URL: at(u, a.String(), u.Port()), Host: authority(u.Hostname(), u.Port())}
	}
	return targets, l.holds(), nil
}

func (d DNS) parse() (*url.URL, error) {
	u, err := (&Target{URL: d.URL}).parse()
	if err == nil {
		err = checkLookup(d.Server, d.Network)
	}
	if err != nil {
		return nil, fmt.Errorf("balancer: DNS: %w", err)
	}
	return u, nil
}

func (d DNS) check() error {
	_, err := d.parse()
	return err
}

// serverName is what https targets' certificates must be for.
func (d DNS) serverName() string {
	u, err := d.parse()
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Hostname(), ".")
}

// at returns u at another host. No port stands for the scheme's.
func at(u *url.URL, host, port string) string {
	there := *u
	there.Host = authority(host, port)
	return there.String()
}

// authority is a host as it stands in a URL and in the Host field: without the dot that
// ends a name's search.
func authority(host, port string) string {
	host = strings.TrimSuffix(host, ".")
	switch {
	case port != "":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// lookup is one round of questions. Go's resolver knows how to ask, but keeps the TTL to
// itself: that is overheard on its connections.
type lookup struct {
	resolver net.Resolver
	ttl      atomic.Int64 // the shortest so far, in seconds and one more; 0: none is known
}

// newLookup returns a lookup that asks server, empty being those of the system.
func newLookup(server string) *lookup {
	l := &lookup{}
	l.resolver = net.Resolver{
		PreferGo:     true,
		StrictErrors: true,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if server != "" {
				address = server
			}
			return l.dial(ctx, network, address)
		},
	}
	return l
}

func (l *lookup) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	// The resolver would wait for an answer that nobody wants any more.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	o := &overheard{Conn: conn, lookup: l, stop: stop}
	if packets, ok := conn.(net.PacketConn); ok {
		return overheardPackets{o, packets}, nil
	}
	return o, nil
}

// addresses returns what addresses a name has, sorted.
func (l *lookup) addresses(ctx context.Context, name, network string) ([]netip.Addr, error) {
	prefer4 := network == ""
	if prefer4 {
		network = "ip"
	}
	found, err := l.resolver.LookupNetIP(ctx, network, name)
	if err != nil {
		return nil, err
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	if prefer4 && slices.ContainsFunc(found, netip.Addr.Is4) {
		found = slices.DeleteFunc(found, netip.Addr.Is6)
	}
	// Which ones are used must not depend on an order that changes with each answer.
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	return found[:min(len(found), maxAddresses)], nil
}

// holds is how long what was found may be taken to be true.
func (l *lookup) holds() time.Duration {
	ttl := l.ttl.Load()
	if ttl == 0 {
		return unknownTTL
	}
	return min(max(minTTL, time.Duration(ttl-1)*time.Second), maxTTL)
}

// overhear takes the TTL from an answer to query, if it is one.
func (l *lookup) overhear(query, answer []byte) {
	ttl, err := answerTTL(query, answer)
	if err != nil {
		return
	}
	for {
		known := l.ttl.Load()
		if known != 0 && known <= int64(ttl)+1 || l.ttl.CompareAndSwap(known, int64(ttl)+1) {
			return
		}
	}
}

var errNotTheAnswer = errors.New("not an answer to the question")

// answerTTL returns the shortest TTL of what answers query, in seconds; an error if
// nothing does. Both are messages as in RFC 1035 section 4.
func answerTTL(query, answer []byte) (uint32, error) {
	var asked, answered dnsmessage.Parser
	q, err := asked.Start(query)
	if err != nil {
		return 0, err
	}
	question, err := asked.Question()
	if err != nil {
		return 0, err
	}
	a, err := answered.Start(answer)
	if err != nil {
		return 0, err
	}
	// Whoever guesses the port but not these has sent something else.
	if again, err := answered.Question(); err != nil || a.ID != q.ID || !a.Response || !sameQuestion(question, again) {
		return 0, errNotTheAnswer
	}
	if err := answered.SkipAllQuestions(); err != nil {
		return 0, err
	}
	shortest, known := uint32(0), false
	for {
		h, err := answered.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) && known {
			return shortest, nil
		}
		if err != nil {
			return 0, err
		}
		if h.Type == question.Type || h.Type == dnsmessage.TypeCNAME {
			if !known || h.TTL < shortest {
				shortest, known = h.TTL, true
			}
		}
		if err := answered.SkipAnswer(); err != nil {
			return 0, err
		}
	}
}

func sameQuestion(a, b dnsmessage.Question) bool {
	return a.Type == b.Type && a.Class == b.Class && strings.EqualFold(a.Name.String(), b.Name.String())
}

// overheard is a connection to a DNS server for one question, by TCP.
type overheard struct {
	net.Conn
	lookup *lookup
	stop   func() bool
	query  []byte
	answer []byte // as much as has come
}

// Behind a length of two bytes, over TCP, a message has this many at most.
const maxMessage = 2 + 1<<16 - 1

func (o *overheard) Write(b []byte) (int, error) {
	o.query = append(o.query, b...)
	return o.Conn.Write(b)
}

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.answer = append(o.answer, b[:min(n, maxMessage-len(o.answer))]...)
	if have := len(o.answer); n > 0 && have > 2 && len(o.query) > 2 && have-2 == int(binary.BigEndian.Uint16(o.answer)) {
		o.lookup.overhear(o.query[2:], o.answer[2:])
	}
	return n, err
}

func (o *overheard) Close() error {
	o.stop()
	return o.Conn.Close()
}

// overheardPackets is the same by UDP, where a message is a packet. That it is a
// net.PacketConn is how the resolver knows.
type overheardPackets struct {
	*overheard
	packets net.PacketConn
}

func (o overheardPackets) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if err == nil {
		o.lookup.overhear(o.query, b[:n])
	}
	return n, err
}

func (o overheardPackets) ReadFrom(b []byte) (int, net.Addr, error) { return o.packets.ReadFrom(b) }

func (o overheardPackets) WriteTo(b []byte, a net.Addr) (int, error) { return o.packets.WriteTo(b, a) }
