// Command bff is a backend-for-frontend for a shop: one endpoint for the app's home
// page, composed of three services, and the orders service behind the same door.
//
// Without flags it starts demo backends of its own, prints what to try and runs until
// Ctrl-C. With -users, -orders and -offers it stands in front of yours.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gatewright/gateway/balancer"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bff:", err)
		os.Exit(1)
	}
}

// run is main without the process: it ends when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "address to listen on")
	key := flags.String("key", "", "HMAC `key` of the tokens, 32 bytes or more (default: a random one, and a token to try it)")
	users := flags.String("users", "", "comma-separated `URLs` of the users service (default: demo backends)")
	orders := flags.String("orders", "", "comma-separated `URLs` of the orders service (default: demo backends)")
	offers := flags.String("offers", "", "comma-separated `URLs` of the offers service (default: demo backends)")
	if err := flags.Parse(args); err != nil {
		return err
	}

	demo := new(demo)
	defer demo.close()
	pools, err := connect(demo, *users, *orders, *offers)
	if err != nil {
		return err
	}
	defer pools.close()

	secret := []byte(cmp.Or(*key, rand.Text()+rand.Text()))
	gw := newGateway(pools.upstreams(), secret, slog.New(slog.NewTextHandler(stderr, nil)))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	token, err := demoToken(secret)
	if err != nil {
		return err
	}
	greet(stdout, "http://"+listener.Addr().String(), token, demo)
	return gw.ServeListener(ctx, listener)
}

// pools are the ways to the three services.
type pools struct{ users, orders, offers *balancer.Pool }

// connect returns the pools for the services, with demo backends for those that have
// no URLs.
func connect(demo *demo, users, orders, offers string) (p pools, err error) {
	open := func(urls, service string) *balancer.Pool {
		targets := strings.Split(urls, ",")
		if urls == "" {
			var fault error
			targets, fault = demo.start(service)
			err = errors.Join(err, fault)
		}
		pool, fault := balancer.New(balancer.Config{
			Targets: targets,
			Health:  balancer.Health{Path: "/healthz", Every: time.Second, Fall: 2, Rise: 1},
			Breaker: balancer.Breaker{Failures: 5, Cooldown: 5 * time.Second},
		})
		err = errors.Join(err, fault)
		return pool
	}
	p = pools{open(users, "users"), open(orders, "orders"), open(offers, "offers")}
	if err != nil {
		p.close()
	}
	return p, err
}

func (p pools) upstreams() upstreams { return upstreams{p.users, p.orders, p.offers} }

func (p pools) close() {
	for _, pool := range []*balancer.Pool{p.users, p.orders, p.offers} {
		if pool != nil {
			pool.Close()
		}
	}
}

// demoToken is what the identity provider would issue to Ada after her login.
func demoToken(secret []byte) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "ada",
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}).SignedString(secret)
}

func greet(w io.Writer, url, token string, demo *demo) {
	fmt.Fprintf(w, `The gateway listens on %[1]s. Try:

  TOKEN=%[2]s
  curl -i -H "Authorization: Bearer $TOKEN" %[1]s/app/home
  curl -i -H "Authorization: Bearer $TOKEN" %[1]s/app/orders/1
  curl -i %[1]s/app/home
`, url, token)
	if len(demo.replicas) > 0 {
		fmt.Fprintf(w, "  curl -X POST %s/die\n\n", demo.replicas[0].url)
		fmt.Fprintln(w, "The first asks three services, the second one of them, the third has no token. The last kills a demo backend:")
		for _, r := range demo.replicas {
			fmt.Fprintf(w, "  %-8s %s  %s\n", r.service, r.url, r.kind)
		}
	}
	fmt.Fprintln(w, "\nCtrl-C ends it.")
}
