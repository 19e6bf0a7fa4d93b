package balancer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatewright/gateway/balancer"
)

const ordersSRV = "_orders._tcp.shop.test."

func record(target string, port, priority, weight uint16, ttl uint32) dnsmessage.Resource {
	return resource(ordersSRV, ttl, &dnsmessage.SRVResource{
		Target: dnsmessage.MustNewName(target), Port: port, Priority: priority, Weight: weight,
	})
}

func TestSRVMakesRecordsTargets(t *testing.T) {
	ns := newNameserver(t, zone(
		record("b.shop.test.", 8002, 1, 5, 60), record("a.shop.test.", 8001, 0, 20, 60), record("c.shop.test.", 8003, 0, 10, 60),
		address("a.shop.test.", "10.0.0.1", 60), address("a.shop.test.", "fd00::1", 60),
		address("b.shop.test.", "10.0.0.2", 8),
		address("c.shop.test.", "10.0.0.3", 60), address("c.shop.test.", "10.0.0.4", 60)))
	targets, holds, err := balancer.SRV{URL: "http://" + ordersSRV + "/v1", Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []balancer.Target{
		{URL: "http://10.0.0.1:8001/v1", Host: "a.shop.test:8001", Weight: 20},
		{URL: "http://10.0.0.3:8003/v1", Host: "c.shop.test:8003", Weight: 10},
		{URL: "http://10.0.0.4:8003/v1", Host: "c.shop.test:8003", Weight: 10},
		{URL: "http://10.0.0.2:8002/v1", Host: "b.shop.test:8002", Weight: 5, Priority: 1},
	}, targets)
	assert.Equal(t, 8*time.Second, holds, "the shortest TTL, of an address")

	targets, _, err = balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr, Network: "ip6"}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"http://[fd00::1]:8001"}, urls(targets), "hosts without an address are left out")
}

func TestSRVWeightsKeepTheirRatiosAndZeroIsHardlyEver(t *testing.T) {
	for _, c := range []struct {
		weights []uint16
		want    []int
	}{
		{[]uint16{10, 20, 65535}, []int{10, 20, 65535}},
		{[]uint16{0, 0, 0}, []int{1, 1, 1}},
		{[]uint16{0, 1, 3}, []int{1, 10, 30}},
		{[]uint16{0, 4, 6}, []int{1, 12, 18}},
		{[]uint16{0, 10, 25}, []int{1, 10, 25}},
		{[]uint16{0, 1, 65535}, []int{1, 1, 65535}}, // there is no room for more
		{[]uint16{0, 1, 20000}, []int{1, 3, 60000}},
	} {
		var records []dnsmessage.Resource
		for i, w := range c.weights {
			host := fmt.Sprintf("h%d.test.", i)
			records = append(records, record(host, 80, 0, w, 60), address(host, fmt.Sprintf("10.0.0.%d", i), 60))
		}
		ns := newNameserver(t, zone(records...))
		targets, _, err := balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
		require.NoError(t, err)
		var got []int
		for _, target := range targets {
			got = append(got, target.Weight)
		}
		assert.Equal(t, c.want, got)
	}
}

func TestSRVLeavesOutWhatIsNotThere(t *testing.T) {
	ns := newNameserver(t, zone(
		record("gone.test.", 80, 0, 1, 60), record("a.test.", 0, 0, 1, 60), record(".", 80, 0, 1, 60), record("a.test.", 81, 0, 1, 60),
		record("a.test.", 81, 3, 1, 60), record("also-a.test.", 81, 1, 1, 60), // one address, three times
		address("a.test.", "10.0.0.1", 60), address("also-a.test.", "10.0.0.1", 60)))
	targets, _, err := balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []balancer.Target{{URL: "http://10.0.0.1:81", Host: "a.test:81", Weight: 1}}, targets)
}

func TestSRVFailsAsAWholeWhereHalfAnAnswerWouldLoseEndpoints(t *testing.T) {
	records := zone(record("a.test.", 80, 0, 1, 60), record("b.test.", 80, 0, 1, 60), address("a.test.", "10.0.0.1", 60))
	ns := newNameserver(t, func(network string, query dnsmessage.Message) []dnsmessage.Message {
		if query.Questions[0].Name.String() == "b.test." {
			return []dnsmessage.Message{rcode(query, dnsmessage.RCodeServerFailure)}
		}
		return records(network, query)
	})
	targets, _, err := balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
	assert.Empty(t, targets)
	assert.ErrorContains(t, err, "b.test")
}

func TestSRVSaysWhyThereIsNothing(t *testing.T) {
	for name, answer := range map[string]answerer{
		"is not offered":    zone(record(".", 0, 0, 0, 60)), // RFC 2782
		"no such host":      zone(),
		"server misbehavin": failsWith(dnsmessage.RCodeServerFailure),
	} {
		ns := newNameserver(t, answer)
		targets, _, err := balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
		assert.Empty(t, targets)
		assert.ErrorContains(t, err, name)
	}
	for _, s := range []balancer.SRV{{}, {URL: "http://_a._tcp.test:80"}, {URL: "_a._tcp.test"}} {
		_, _, err := s.Resolve(t.Context())
		assert.ErrorContains(t, err, "balancer: SRV: ")
		_, err = balancer.New(balancer.Config{Resolver: s})
		assert.ErrorContains(t, err, "balancer: SRV: ")
	}
}

// A certificate is for a name.
func TestSRVTargetsOfHTTPSAreNames(t *testing.T) {
	ns := newNameserver(t, zone(record("a.shop.test.", 8443, 0, 1, 60)))
	targets, holds, err := balancer.SRV{URL: "https://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []balancer.Target{{URL: "https://a.shop.test:8443", Host: "a.shop.test:8443", Weight: 1}}, targets)
	assert.Equal(t, time.Minute, holds)
	assert.Zero(t, ns.count(dnsmessage.TypeA))
}

// 3,000 records, each a host of its own.
func TestSRVUsesAsManyRecordsAsItSaysOfAHugeAnswer(t *testing.T) {
	var records []dnsmessage.Resource
	for i := range 3000 {
		records = append(records, record("a.", uint16(i+1), 0, 1, 60))
	}
	records = append(records, address("a.", "10.0.0.1", 60))
	answer := zone(records...)
	ns := newNameserver(t, func(network string, query dnsmessage.Message) []dnsmessage.Message {
		all := answer(network, query)
		if network == "udp" && len(all[0].Answers) > 10 {
			all[0].Truncated, all[0].Answers = true, nil
		}
		return all
	})
	targets, _, err := balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}.Resolve(t.Context())
	require.NoError(t, err)
	assert.Len(t, targets, 1024)
	assert.LessOrEqual(t, ns.count(dnsmessage.TypeA), 2, "one host is asked for once")
}

func TestAPoolFollowsSRVRecords(t *testing.T) {
	ns := newNameserver(t, zone(record("a.test.", 80, 0, 1, 5), address("a.test.", "10.0.0.1", 60)))
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, balancer.Config{Resolver: balancer.SRV{URL: "http://" + ordersSRV, Server: ns.addr}, Base: &farm{}})
		_, _ = get(t, p)
		assert.Equal(t, []string{"http://10.0.0.1:80"}, listed(p))
		ns.set(zone(record("a.test.", 81, 0, 0, 5), record("a.test.", 82, 0, 1, 5), address("a.test.", "10.0.0.1", 60)))
		time.Sleep(6 * time.Second)
		assert.Equal(t, []string{"http://10.0.0.1:81", "http://10.0.0.1:82"}, listed(p))
		ns.set(failsWith(dnsmessage.RCodeNameError))
		time.Sleep(time.Minute)
		assert.Len(t, p.Endpoints(), 2)
	})
}
