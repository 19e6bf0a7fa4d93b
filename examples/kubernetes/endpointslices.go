package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gatewright/gateway/balancer"
)

// EndpointSlices is a [balancer.Resolver] for a Kubernetes service: its targets are the
// addresses in the service's EndpointSlices (discovery.k8s.io/v1) that are ready; if none
// is, those that serve until they have terminated. It lists them once, and then watches
// them. One value is for one pool.
//
// Where a watch breaks off it goes on from the last version that it has seen; where that is
// too old for the API server, it lists again. Meanwhile the pool keeps what it has.
type EndpointSlices struct {
	API       string                 // URL of the API server
	Namespace string                 // of the service
	Service   string                 // its name
	Port      string                 // the port's name. Empty: the one that has no name, or the only one
	Scheme    string                 // of the targets. Empty: http
	Client    *http.Client           // it must not limit the time that a response's body takes
	Token     func() (string, error) // what goes into Authorization, asked for each request. Nil: nothing does

	known   map[string]slice // by name
	version string           // of the list as a whole. Empty: there is none yet
	stream  *stream          // nil: none is open
	told    []balancer.Target
	pause   time.Duration // after a watch that has brought nothing. Zero: a second
}

// slice is what matters here of an EndpointSlice.
type slice struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	AddressType string     `json:"addressType"`
	Endpoints   []endpoint `json:"endpoints"`
	Ports       []port     `json:"ports"`
}

// endpoint has pointers where not known is not false.
type endpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready       *bool `json:"ready"`
		Serving     *bool `json:"serving"`
		Terminating *bool `json:"terminating"`
	} `json:"conditions"`
	Zone string `json:"zone"`
}

type port struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
}

// Resolve implements [balancer.Resolver]: it returns once the targets are other ones than
// the last time.
func (e *EndpointSlices) Resolve(ctx context.Context) ([]balancer.Target, time.Duration, error) {
	for {
		if err := e.step(ctx); err != nil {
			return nil, 0, fmt.Errorf("kubernetes: service %s/%s: %w", e.Namespace, e.Service, err)
		}
		targets := e.targets()
		if e.told == nil || !slices.Equal(targets, e.told) {
			e.told = targets
			return targets, 0, nil
		}
	}
}

// step brings what is known up to date: by a list, or by what a watch says next.
func (e *EndpointSlices) step(ctx context.Context) error {
	if e.version == "" {
		return e.list(ctx)
	}
	if e.stream == nil {
		s, err := e.watch(ctx)
		if errors.Is(err, errGone) {
			return e.list(ctx)
		}
		if err != nil {
			return err
		}
		e.stream = s
	}
	err := e.follow()
	if err == nil {
		return nil
	}
	idle := e.stream.events == 0
	e.stream.close()
	e.stream = nil
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errGone):
		return e.list(ctx)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case idle: // a server, or what is before it, that ends every watch must not be asked without pause
		return sleep(ctx, cmp.Or(e.pause, time.Second))
	}
	return nil // it ended, as watches do at any time
}

// follow takes the next event, and those that have already come behind it: a deployment
// makes many.
func (e *EndpointSlices) follow() error {
	for {
		if err := e.next(); err != nil {
			return err
		}
		if !e.stream.more() {
			return nil
		}
	}
}

func (e *EndpointSlices) next() error {
	event, err := e.stream.next()
	if err != nil {
		return err
	}
	switch s := event.slice; event.Type {
	case "ADDED", "MODIFIED":
		e.known[s.Metadata.Name] = s
	case "DELETED":
		delete(e.known, s.Metadata.Name)
	case "BOOKMARK": // nothing but a version
	default:
		return fmt.Errorf("an event of the unknown type %q", event.Type)
	}
	e.version = event.slice.Metadata.ResourceVersion
	return nil
}

// targets returns the targets that the slices known make. It is never nil.
func (e *EndpointSlices) targets() []balancer.Target {
	for _, serving := range []bool{false, true} {
		for _, family := range []string{"IPv4", "IPv6"} { // a pod that has both would be there twice
			if targets := e.filter(family, serving); len(targets) > 0 {
				return targets
			}
		}
	}
	return []balancer.Target{}
}

// filter returns the targets that are ready, or those that at least still serve. While
// slices are being rearranged an endpoint may be in two of them.
func (e *EndpointSlices) filter(family string, serving bool) (targets []balancer.Target) {
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(e.known)) {
		s := e.known[name]
		number := s.port(e.Port)
		if s.AddressType != family || number == 0 {
			continue
		}
		for _, p := range s.Endpoints {
			if !p.usable(serving) || len(p.Addresses) == 0 {
				continue
			}
			t := e.target(p, number)
			if !seen[t.URL] {
				seen[t.URL] = true
				targets = append(targets, t)
			}
		}
	}
	slices.SortFunc(targets, func(a, b balancer.Target) int { return cmp.Compare(a.URL, b.URL) })
	return targets
}

// target uses the first address: more than one would be of the same pod.
func (e *EndpointSlices) target(p endpoint, number int) balancer.Target {
	u := url.URL{Scheme: cmp.Or(e.Scheme, "http"), Host: net.JoinHostPort(p.Addresses[0], strconv.Itoa(number))}
	return balancer.Target{
		URL:  u.String(),
		Host: e.Service + "." + e.Namespace + ".svc",
		Zone: p.Zone,
	}
}

// usable goes by the API's documentation: what is not known of ready is true, and of
// serving what ready is.
func (p endpoint) usable(serving bool) bool {
	ready := p.Conditions.Ready == nil || *p.Conditions.Ready
	if !serving {
		return ready
	}
	if p.Conditions.Serving == nil {
		return ready
	}
	return *p.Conditions.Serving
}

// port returns the number of the port with the name, which may differ from slice to
// slice; 0 if there is none.
func (s slice) port(name string) int {
	var tcp []port
	for _, p := range s.Ports {
		if p.Protocol == "TCP" || p.Protocol == "" {
			tcp = append(tcp, p)
		}
	}
	for _, p := range tcp {
		if p.Name == name {
			return p.Port
		}
	}
	if name == "" && len(tcp) == 1 {
		return tcp[0].Port
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
