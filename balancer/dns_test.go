package balancer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

func urls(targets []balancer.Target) (all []string) {
	for _, t := range targets {
		all = append(all, t.URL)
	}
	return all
}

func listed(p *balancer.Pool) (all []string) {
	for _, e := range p.Endpoints() {
		all = append(all, e.URL())
	}
	return all
}

func TestDNSMakesEachAddressATargetWithTheNameForItsHost(t *testing.T) {
	ns := newNameserver(t, zone(address("orders.test.", "10.0.0.2", 60), address("orders.test.", "10.0.0.1", 60)))
	targets, holds, err := balancer.DNS{URL: "http://orders.test.:8080/v1", Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []balancer.Target{
		{URL: "http://10.0.0.1:8080/v1", Host: "orders.test:8080"},
		{URL: "http://10.0.0.2:8080/v1", Host: "orders.test:8080"},
	}, targets)
	assert.Equal(t, time.Minute, holds)

	targets, _, err = balancer.DNS{URL: "https://orders.test", Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, balancer.Target{URL: "https://10.0.0.1", Host: "orders.test"}, targets[0])
}

func TestDNSUsesOneOfTheFamiliesThatServersHaveBothUnlessToldOtherwise(t *testing.T) {
	ns := newNameserver(t, zone(
		address("both.test.", "10.0.0.1", 60), address("both.test.", "fd00::1", 60),
		address("six.test.", "fd00::1", 60)))
	for _, c := range []struct {
		name, network string
		want          []string
	}{
		{"both.test.", "", []string{"http://10.0.0.1:80"}},
		{"both.test.", "ip", []string{"http://10.0.0.1:80", "http://[fd00::1]:80"}},
		{"both.test.", "ip4", []string{"http://10.0.0.1:80"}},
		{"both.test.", "ip6", []string{"http://[fd00::1]:80"}},
		{"six.test.", "", []string{"http://[fd00::1]:80"}},
		{"six.test.", "ip4", nil},
		{"both.test.", "tcp", nil},
	} {
		targets, _, err := balancer.DNS{URL: "http://" + c.name + ":80", Server: ns.addr, Network: c.network}.Resolve(t.Context())
		assert.Equal(t, c.want, urls(targets), "%v", c)
		assert.Equal(t, c.want == nil, err != nil, "%v", err)
	}
	targets, _, err := balancer.DNS{URL: "h2c://six.test.", Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"h2c://[fd00::1]"}, urls(targets), "without a port")
}

func TestDNSHoldsForTheShortestTTLWithinLimits(t *testing.T) {
	alias := resource("alias.test.", 7, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("a.test.")})
	for _, c := range []struct {
		records []dnsmessage.Resource
		want    time.Duration
	}{
		{[]dnsmessage.Resource{address("alias.test.", "10.0.0.1", 20), address("alias.test.", "10.0.0.2", 10)}, 10 * time.Second},
		{[]dnsmessage.Resource{alias, address("alias.test.", "10.0.0.2", 3600)}, 7 * time.Second},
		{[]dnsmessage.Resource{address("alias.test.", "10.0.0.1", 0)}, time.Second},
		{[]dnsmessage.Resource{address("alias.test.", "10.0.0.1", 1<<32-1)}, 5 * time.Minute},
	} {
		ns := newNameserver(t, zone(c.records...))
		_, holds, err := balancer.DNS{URL: "http://alias.test.", Server: ns.addr, Network: "ip4"}.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, c.want, holds)
	}
}

func TestDNSAsksNoServerAboutWhatItKnows(t *testing.T) {
	ns := newNameserver(t, failsWith(dnsmessage.RCodeServerFailure))
	for name, want := range map[string]string{
		"http://localhost:8080":  "http://127.0.0.1:8080", // /etc/hosts
		"http://192.0.2.7:8080":  "http://192.0.2.7:8080",
		"http://[fd00::7]:8080/": "http://[fd00::7]:8080/",
	} {
		targets, holds, err := balancer.DNS{URL: name, Server: ns.addr}.Resolve(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, targets[0].URL)
		assert.Equal(t, 30*time.Second, holds, "no TTL is known")
	}
	assert.Zero(t, ns.count(dnsmessage.TypeA))
}

func TestDNSAsksByTCPForWhatDoesNotFitIntoUDP(t *testing.T) {
	var many []dnsmessage.Resource
	for i := range 200 {
		many = append(many, address("big.test.", fmt.Sprintf("10.0.0.%d", i), 60))
	}
	ns := newNameserver(t, func(network string, query dnsmessage.Message) []dnsmessage.Message {
		if network == "udp" {
			m := reply(query, many[:3]...) // which is not all, and says so
			m.Truncated = true
			return []dnsmessage.Message{m}
		}
		for i := range many {
			many[i].Header.TTL = 42
		}
		return []dnsmessage.Message{reply(query, many...)}
	})
	targets, holds, err := balancer.DNS{URL: "http://big.test.", Server: ns.addr, Network: "ip4"}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Len(t, targets, 200)
	assert.Equal(t, 42*time.Second, holds)
}

// By TCP a message has up to 64 KiB.
func TestDNSUsesAsManyAddressesAsItSaysOfAHugeAnswer(t *testing.T) {
	var many []dnsmessage.Resource
	for i := range 3000 {
		many = append(many, address("big.test.", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), 60))
	}
	ns := newNameserver(t, func(network string, query dnsmessage.Message) []dnsmessage.Message {
		m := reply(query, many...)
		if network == "udp" {
			m.Truncated, m.Answers = true, nil
		}
		many = append(many[1:], many[0]) // in another order each time
		return []dnsmessage.Message{m}
	})
	dns := balancer.DNS{URL: "http://big.test.", Server: ns.addr, Network: "ip4"}
	first, _, err := dns.Resolve(t.Context())
	require.NoError(t, err)
	assert.Len(t, first, 1024)
	second, _, err := dns.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, first, second, "always the same")
}

func TestDNSIsNotTakenInByAnswersToOtherQuestions(t *testing.T) {
	ns := newNameserver(t, func(_ string, query dnsmessage.Message) []dnsmessage.Message {
		lie := address("orders.test.", "6.6.6.6", 1)
		wrongID, wrongName, wrongType, question := reply(query, lie), reply(query, lie), reply(query, lie), reply(query, lie)
		wrongID.ID++
		wrongName.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		wrongType.Questions = []dnsmessage.Question{{Name: query.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}}
		question.Response = false
		return []dnsmessage.Message{wrongID, wrongName, wrongType, question, reply(query, address("orders.test.", "10.0.0.1", 99))}
	})
	targets, holds, err := balancer.DNS{URL: "http://orders.test.", Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"http://10.0.0.1"}, urls(targets))
	assert.Equal(t, 99*time.Second, holds, "nor by their TTL")
}

// A server that says nothing has its five seconds, unless nobody wants to know any more.
func TestDNSStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ns := newNameserver(t, func(string, dnsmessage.Message) []dnsmessage.Message {
		cancel()
		return nil
	})
	start := time.Now()
	_, _, err := balancer.DNS{URL: "http://orders.test.", Server: ns.addr}.Resolve(ctx)
	require.Error(t, err)
	assert.Less(t, time.Since(start), 2*time.Second)
}

func TestDNSSaysWhatIsWrongWithItself(t *testing.T) {
	for _, d := range []balancer.DNS{
		{}, {URL: "orders.test"}, {URL: "http://u:secret@orders.test"}, {URL: "http://orders.test?x"}, {URL: "ftp://orders.test"},
		{URL: "http://orders.test.", Server: "127.0.0.1"}, {URL: "http://orders.test.", Network: "udp"},
	} {
		targets, _, err := d.Resolve(t.Context())
		assert.Empty(t, targets)
		assert.ErrorContains(t, err, "balancer: DNS: ")
		assert.NotContains(t, fmt.Sprint(err), "secret")
		_, atStart := balancer.New(balancer.Config{Resolver: d})
		assert.EqualError(t, atStart, err.Error())
	}
}

func TestAPoolAsksTheDNSAgainWhenTheTTLIsOver(t *testing.T) {
	ns := newNameserver(t, zone(address("orders.test.", "10.0.0.1", 60)))
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{
			Resolver: balancer.DNS{URL: "http://orders.test.:8080", Server: ns.addr},
			Base:     tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
		})
		status, _ := get(t, p)
		assert.Equal(t, 200, status)
		assert.Equal(t, []string{"http://10.0.0.1:8080"}, listed(p))

		ns.set(zone(address("orders.test.", "10.0.0.2", 5), address("orders.test.", "10.0.0.3", 9)))
		time.Sleep(50 * time.Second)
		assert.Equal(t, 1, ns.count(dnsmessage.TypeA), "before its TTL is over")
		time.Sleep(11 * time.Second)
		assert.Equal(t, []string{"http://10.0.0.2:8080", "http://10.0.0.3:8080"}, listed(p))
		time.Sleep(time.Minute)
		assert.InDelta(t, 2+60/5, ns.count(dnsmessage.TypeA), 2, "the new TTL is 5 seconds")
	})
}

func TestAPoolKeepsItsTargetsWhileTheDNSHasNoGoodAnswer(t *testing.T) {
	good := zone(address("orders.test.", "10.0.0.1", 1))
	for name, bad := range map[string]answerer{
		"SERVFAIL": failsWith(dnsmessage.RCodeServerFailure),
		"REFUSED":  failsWith(dnsmessage.RCodeRefused),
		"NXDOMAIN": failsWith(dnsmessage.RCodeNameError),
		"empty":    failsWith(dnsmessage.RCodeSuccess),
		"half": func(_ string, query dnsmessage.Message) []dnsmessage.Message {
			if query.Questions[0].Type == dnsmessage.TypeA {
				return []dnsmessage.Message{rcode(query, dnsmessage.RCodeServerFailure)}
			}
			return []dnsmessage.Message{reply(query, address("orders.test.", "fd00::1", 1))}
		},
		"broken off": func(_ string, query dnsmessage.Message) []dnsmessage.Message {
			m := reply(query, resource("orders.test.", 1, &dnsmessage.UnknownResource{Data: []byte{10, 0}}))
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: query.Questions[0].Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.UnknownResource{Type: query.Questions[0].Type, Data: []byte{10, 0}},
			}}
			return []dnsmessage.Message{m}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns := newNameserver(t, good)
			synctest.Test(t, func(t *testing.T) {
				var log eventLog
				p := newPool(t, balancer.Config{
					Resolver: balancer.DNS{URL: "http://orders.test.:8080", Server: ns.addr},
					Base:     tripper(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil }),
					Events:   log.add,
				})
				_, _ = get(t, p)
				ns.set(bad)
				time.Sleep(time.Hour)
				assert.Equal(t, []string{"http://10.0.0.1:8080"}, listed(p))
				assert.Positive(t, log.count(balancer.ResolveFailed))
				status, _ := get(t, p)
				assert.Equal(t, 200, status)

				ns.set(zone(address("orders.test.", "10.0.0.9", 1)))
				time.Sleep(time.Minute)
				assert.Equal(t, []string{"http://10.0.0.9:8080"}, listed(p))
			})
		})
	}
}

func TestBackendsBehindADNSNameGetItAsTheirHost(t *testing.T) {
	var mu sync.Mutex
	var hosts []string
	backend := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts = append(hosts, r.Host)
	})
	port := must(url.Parse(backend.URL)).Port()
	ns := newNameserver(t, zone(address("orders.test.", "127.0.0.1", 60)))
	p := newPool(t, balancer.Config{Resolver: balancer.DNS{URL: "http://orders.test.:" + port, Server: ns.addr}})

	status, _ := get(t, p)
	require.Equal(t, 200, status)
	r := request(t, "GET", "/", nil)
	r.Host = "shop.test"
	status, _ = exchange(t, p, r)
	require.Equal(t, 200, status)
	w := httptest.NewRecorder() // where the pool may change the request itself
	gateway.Proxy(p).ServeHTTP(w, httptest.NewRequest("GET", "http://gateway.test/", nil))
	require.Equal(t, 200, w.Code)
	assert.Equal(t, []string{"orders.test:" + port, "shop.test", "orders.test:" + port}, hosts)
}

func TestHealthChecksGetTheHostOfTheirTarget(t *testing.T) {
	hosts := make(chan string, 1)
	backend := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case hosts <- r.Host:
		default:
		}
	})
	newPool(t, balancer.Config{
		Resolver: balancer.Static{{URL: backend.URL, Host: "orders.test"}},
		Health:   balancer.Health{Path: "/healthz"},
	})
	assert.Equal(t, "orders.test", <-hosts)
}

// Each attempt is for another virtual host.
func TestARetryGetsTheHostOfItsOwnTarget(t *testing.T) {
	var mu sync.Mutex
	var hosts []string
	note := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts = append(hosts, r.Host)
		w.WriteHeader(503)
	}
	a, b := serve(t, note), serve(t, note)
	p := newPool(t, balancer.Config{
		Resolver: balancer.Static{{URL: a.URL, Host: "a.test"}, {URL: b.URL, Host: "b.test"}},
		Retry:    balancer.Retry{Attempts: 2},
	})
	w := httptest.NewRecorder()
	gateway.Proxy(p).ServeHTTP(w, httptest.NewRequest("GET", "http://gateway.test/", nil))
	assert.ElementsMatch(t, []string{"a.test", "b.test"}, hosts)
}

func TestTargetsWithAnImpossibleHostAreRefused(t *testing.T) {
	for _, host := range []string{"a b", "a/b", "a\r\nX: y", "u@a", "a:b:c", "a?", "bücher.test", ":80", "[::1", "\x00"} {
		_, err := balancer.New(balancer.Config{Resolver: balancer.Static{{URL: "http://10.0.0.1", Host: host}}})
		assert.ErrorContains(t, err, "impossible host", "%q", host)
	}
	for _, host := range []string{"a", "a.test:80", "[fd00::1]:80", "10.0.0.1"} {
		_, err := balancer.New(balancer.Config{Resolver: balancer.Static{{URL: "http://10.0.0.1", Host: host}}})
		assert.NoError(t, err)
	}
}

func TestHTTPSToADNSNameIsVerifiedAgainstTheName(t *testing.T) {
	backend := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	t.Cleanup(backend.Close)
	roots := x509.NewCertPool()
	roots.AddCert(backend.Certificate())
	ns := newNameserver(t, zone(address("example.com.", "127.0.0.1", 60)))
	dns := balancer.DNS{URL: "https://example.com.:" + must(url.Parse(backend.URL)).Port(), Server: ns.addr}

	config := &tls.Config{RootCAs: roots}
	right := newPool(t, balancer.Config{Resolver: dns, TLS: config, Health: balancer.Health{Path: "/"}})
	status, problem := get(t, right)
	assert.Equal(t, 200, status, "%v", problem)
	assert.Empty(t, config.ServerName, "the caller's is not touched")

	wrong := newPool(t, balancer.Config{Resolver: dns, TLS: &tls.Config{RootCAs: roots, ServerName: "evil.test"}})
	_, problem = get(t, wrong)
	require.NotNil(t, problem)
	assert.ErrorAs(t, problem.Err, new(x509.HostnameError))
}

func FuzzTheTTLOfAnAnswer(f *testing.F) {
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	q := must(query.Pack())
	good := reply(query, resource("a.test.", 9, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")}), address("b.test.", "10.0.0.1", 8))
	f.Add(q, must(good.Pack()))
	f.Add(q, q)
	f.Add(q, binary.BigEndian.AppendUint16(nil, 7))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, query, answer []byte) {
		ttl, err := balancer.AnswerTTL(query, answer)
		if err != nil {
			assert.Zero(t, ttl)
			return
		}
		// What was taken is what a full parser finds, if it finds anything.
		var m dnsmessage.Message
		if m.Unpack(answer) != nil {
			return
		}
		assert.True(t, m.Response)
		found := errors.New("no record has this TTL")
		for _, r := range m.Answers {
			if r.Header.TTL == ttl {
				found = nil
			}
		}
		assert.NoError(t, found)
	})
}
