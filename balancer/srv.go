package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SRV is a [Resolver] that asks for a service's SRV records (RFC 2782), which have ports,
// weights and priorities, and for the addresses of the hosts that these name. It asks again
// as [DNS] does. Each address is a target with the scheme and path of URL, the record's
// port, weight and priority, and the host's name for its Host.
//
// Weights keep their ratios; 0 beside others, which means hardly ever, becomes 1 while the
// others are ten or more, as far as that is possible. Records whose host has no address are
// left out; where the DNS fails, all targets stay as they were. Up to 1024 records are used.
//
// For https the targets are the hosts' names, which their certificates are for; they are
// resolved by the system whenever a connection is made.
type SRV struct {
	// URL is as that of a [Target], with the records' name as its host and no port:
	// http://_orders._tcp.shop.test/v1.
	URL string

	// Server is the host and port of the DNS server to ask. Empty means those of the system.
	Server string

	// Network is which addresses of the hosts are used; see [DNS].Network.
	Network string
}

const (
	maxRecords = 1024
	asksAtOnce = 8
)

// Resolve implements [Resolver].
func (s SRV) Resolve(ctx context.Context) ([]Target, time.Duration, error) {
	u, err := s.parse()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	l := newLookup(s.Server)
	records, err := l.records(ctx, u.Hostname())
	if err != nil {
		return nil, 0, fmt.Errorf("balancer: SRV: %w", err)
	}
	targets, err := l.locate(ctx, u, records, s.Network)
	if err != nil {
		return nil, 0, fmt.Errorf("balancer: SRV: %w", err)
	}
	return targets, l.holds(), nil
}

func (s SRV) parse() (*url.URL, error) {
	u, err := (&Target{URL: s.URL}).parse()
	if err == nil && u.Port() != "" {
		err = fmt.Errorf("%q has a port, and the records have others", s.URL)
	}
	if err == nil {
		err = checkLookup(s.Server, s.Network)
	}
	if err != nil {
		return nil, fmt.Errorf("balancer: SRV: %w", err)
	}
	return u, nil
}

func (s SRV) check() error {
	_, err := s.parse()
	return err
}

// records returns the records that can be used, sorted.
func (l *lookup) records(ctx context.Context, name string) ([]*net.SRV, error) {
	_, records, err := l.resolver.LookupSRV(ctx, "", "", name)
	if len(records) == 0 && err != nil {
		return nil, err
	}
	// With an error as well, some had invalid names, and these are the others.
	if len(records) == 1 && records[0].Target == "." {
		return nil, fmt.Errorf("%q is not offered, say its records", name) // RFC 2782
	}
	records = slices.DeleteFunc(records, func(r *net.SRV) bool { return r.Target == "." || r.Port == 0 })
	// The lookup has shuffled them.
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Target, b.Target),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	return records[:min(len(records), maxRecords)], nil
}

// locate returns the records' targets.
func (l *lookup) locate(ctx context.Context, u *url.URL, records []*net.SRV, network string) ([]Target, error) {
	hosts, err := l.hosts(ctx, records, u.Scheme == "https", network)
	if err != nil {
		return nil, err
	}
	var targets []Target
	seen := make(map[string]bool)
	weight := scale(records)
	for _, r := range records {
		port := strconv.Itoa(int(r.Port))
		for _, host := range hosts[r.Target] {
			t := Target{
				URL:      at(u, host, port),
				Host:     authority(r.Target, port),
				Weight:   weight(r),
				Priority: int(r.Priority),
			}
			if !seen[t.URL] { // of two records for one address the first in priority counts
				seen[t.URL] = true
				targets = append(targets, t)
			}
		}
	}
	return targets, nil
}

// hosts returns what stands for each name in a URL: its addresses, or the name itself.
func (l *lookup) hosts(ctx context.Context, records []*net.SRV, byName bool, network string) (map[string][]string, error) {
	hosts := make(map[string][]string)
	for _, r := range records {
		hosts[r.Target] = []string{r.Target}
	}
	if byName {
		return hosts, nil
	}
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		failed error
		slots  = make(chan struct{}, asksAtOnce)
		names  = make([]string, 0, len(hosts))
	)
	for name := range hosts {
		names = append(names, name)
	}
	for _, name := range names {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			found, err := l.addresses(ctx, name, network)
			mu.Lock()
			defer mu.Unlock()
			hosts[name] = nil
			for _, a := range found {
				hosts[name] = append(hosts[name], a.String())
			}
			if gone := (*net.DNSError)(nil); err != nil && (!errors.As(err, &gone) || !gone.IsNotFound) {
				failed = err
			}
		})
	}
	all.Wait()
	return hosts, failed
}

// rare is how many times as much as a weight of 0 the least of the others counts.
const rare = 10

// scale returns what a record's weight is as a target's, where zero means 1.
func scale(records []*net.SRV) func(*net.SRV) int {
	zero, least, most := false, 0, 0
	for _, r := range records {
		w := int(r.Weight)
		zero = zero || w == 0
		most = max(most, w)
		if w > 0 && (least == 0 || w < least) {
			least = w
		}
	}
	factor := 1
	if zero && most > 0 {
		factor = max(1, min((rare+least-1)/least, maxWeight/most))
	}
	return func(r *net.SRV) int { return max(1, int(r.Weight)*factor) }
}
