// Command kubernetes is a gateway in front of one Kubernetes service, whose endpoints it
// balances by itself: it watches the service's EndpointSlices, so that it knows of each pod,
// its zone and whether it is ready, rather than leave all that to kube-proxy, which
// balances connections and knows no requests. No client library is needed for that, nor
// any other dependency: see [EndpointSlices], which is a balancer.Resolver.
//
// In a cluster, for the port named http of the service orders in the pod's own namespace:
//
//	kubernetes -service orders -port http
//
// Elsewhere, through kubectl proxy:
//
//	kubectl proxy &
//	kubernetes -api http://127.0.0.1:8001 -namespace shop -service orders -port http
//
// where the pods' addresses must be ones that can be reached. The service account needs this
// role:
//
//	rules:
//	- apiGroups: [discovery.k8s.io]
//	  resources: [endpointslices]
//	  verbs: [list, watch]
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr, nil); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

// run is main without the process: it ends when ctx does. It tells listening, which may be
// nil, where it listens.
func run(ctx context.Context, args []string, stderr io.Writer, listening func(net.Addr)) error {
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", ":8080", "address to listen on")
	api := flags.String("api", "", "`URL` of the API server (default: the cluster's that this runs in)")
	account := flags.String("account", serviceAccount, "`directory` of the service account's files")
	namespace := flags.String("namespace", "", "the service's namespace (default: that of the service account)")
	service := flags.String("service", "", "the service's name")
	port := flags.String("port", "", "name of the service's port (default: its only one)")
	zone := flags.String("zone", "", "zone that this runs in (default: all zones are alike)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *service == "" {
		return errors.New("-service must say which service this is for")
	}
	slices, err := connect(*api, *account)
	if err != nil {
		return err
	}
	defer slices.Client.CloseIdleConnections()
	slices.Namespace = cmp.Or(*namespace, slices.Namespace)
	slices.Service, slices.Port = *service, *port

	log := slog.New(slog.NewTextHandler(stderr, nil))
	pool, err := balancer.New(balancer.Config{
		Resolver: slices,
		Zone:     *zone,
		Events: func(e balancer.Event) {
			log.Info("endpoints", "event", e.Kind, "endpoint", e.Endpoint, "error", e.Err)
		},
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	return serve(ctx, *addr, pool, listening)
}

// serve is the gateway. The rest of it would go here: other routes, middleware.
func serve(ctx context.Context, addr string, pool *balancer.Pool, listening func(net.Addr)) error {
	gw := gateway.New()
	gw.Handle("/", gateway.Proxy(pool))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	if listening != nil {
		listening(listener.Addr())
	}
	return gw.ServeListener(ctx, listener)
}
