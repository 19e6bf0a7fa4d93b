package balancer_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// nameserver is a DNS server on loopback, by UDP and TCP on one port. Its answers can be
// changed while it runs. It is made outside of a bubble and can be asked from within: time
// stands still until it has answered.
type nameserver struct {
	addr string

	mu     sync.Mutex
	answer answerer
	asked  []dnsmessage.Question
}

// answerer returns the messages that are sent for a query, one after the other.
type answerer func(network string, query dnsmessage.Message) []dnsmessage.Message

func newNameserver(t *testing.T, answer answerer) *nameserver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameserver{addr: listener.Addr().String(), answer: answer}
	packets, err := net.ListenPacket("udp", s.addr)
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { s.servePackets(packets) })
	running.Go(func() { s.serveStreams(listener) })
	t.Cleanup(func() {
		_ = packets.Close()
		listener.Close()
		running.Wait()
	})
	return s
}

func (s *nameserver) servePackets(packets net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := packets.ReadFrom(b)
		if err != nil {
			return
		}
		for _, m := range s.ask("udp", b[:n]) {
			_, _ = packets.WriteTo(m, from)
		}
	}
}

func (s *nameserver) serveStreams(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.serveStream(conn)
	}
}

func (s *nameserver) serveStream(conn net.Conn) {
	defer conn.Close()
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return
	}
	for _, m := range s.ask("tcp", b) {
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
	}
}

func (s *nameserver) ask(network string, b []byte) (packed [][]byte) {
	var query dnsmessage.Message
	if query.Unpack(b) != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, query.Questions[0])
	for _, m := range s.answer(network, query) {
		p, err := m.Pack()
		if err != nil {
			panic(err)
		}
		packed = append(packed, p)
	}
	return packed
}

func (s *nameserver) set(answer answerer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// count is how many questions there were of a type.
func (s *nameserver) count(typ dnsmessage.Type) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		if q.Type == typ {
			n++
		}
	}
	return n
}

// reply is the answer to query, with those of the records that it asks for.
func reply(query dnsmessage.Message, records ...dnsmessage.Resource) dnsmessage.Message {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true},
		Questions: query.Questions,
	}
	for _, r := range records {
		r.Header.Type = typeOf(r.Body)
		if r.Header.Type == query.Questions[0].Type || r.Header.Type == dnsmessage.TypeCNAME {
			m.Answers = append(m.Answers, r)
		}
	}
	return m
}

func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	case *dnsmessage.SRVResource:
		return dnsmessage.TypeSRV
	}
	return dnsmessage.TypeCNAME
}

func rcode(query dnsmessage.Message, code dnsmessage.RCode) dnsmessage.Message {
	m := reply(query)
	m.RCode = code
	return m
}

// zone answers with the records of each name; a name that has none does not exist.
func zone(records ...dnsmessage.Resource) answerer {
	return func(_ string, query dnsmessage.Message) []dnsmessage.Message {
		var here []dnsmessage.Resource
		for _, r := range records {
			if r.Header.Name == query.Questions[0].Name {
				here = append(here, r)
			}
		}
		if here == nil {
			return []dnsmessage.Message{rcode(query, dnsmessage.RCodeNameError)}
		}
		return []dnsmessage.Message{reply(query, here...)}
	}
}

func failsWith(code dnsmessage.RCode) answerer {
	return func(_ string, query dnsmessage.Message) []dnsmessage.Message {
		return []dnsmessage.Message{rcode(query, code)}
	}
}

func address(name, ip string, ttl uint32) dnsmessage.Resource {
	a := netip.MustParseAddr(ip)
	if a.Is4() {
		return resource(name, ttl, &dnsmessage.AResource{A: a.As4()})
	}
	return resource(name, ttl, &dnsmessage.AAAAResource{AAAA: a.As16()})
}

func resource(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   body,
	}
}
